"""`flwr-swarm site`: one member's SuperNode, with whichever relay answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from . import output
from .options import Json

EXAMPLE: Final = (
    "Example: flwr-swarm site --dir site --relay a.hospital.example:9092 "
    "--relay b.hospital.example:9092"
)


@output.reports
def site(
    folder: Annotated[Path, typer.Option("--dir", help="The site's folder.")],
    relay: Annotated[
        list[str] | None,
        typer.Option(help="A relay, host:port; once for each, in the order of trying."),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds that a relay may be away before another is tried.")
    ] = 20.0,
    no_restart: Annotated[
        bool, typer.Option("--no-restart", help="Do not start a SuperNode again that ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run this site's SuperNode until Ctrl-C.

    It tries the relays in turn, those of its settings by default, and stays with the first that
    answers with a certificate of the trust root.
    """
    from ..deployment.address import Address  # noqa: PLC0415 - slow to import
    from ..deployment.layout import SiteFolder  # noqa: PLC0415
    from ..deployment.site import Site  # noqa: PLC0415
    from .foreground import narrator, stoppable  # noqa: PLC0415

    say = narrator(as_json)
    relays = tuple(Address.parse(text) for text in relay or [])
    found = Site(SiteFolder(folder), relays, say=say, restart=not no_restart, patience=patience)
    say(f"{found.node.name}: {found.node.apps}")
    with stoppable():
        try:
            with found:
                found.run(lambda: False)
        except KeyboardInterrupt:
            say("stopped; the SuperNode has ended")
