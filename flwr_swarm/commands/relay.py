"""`flwr-swarm relay`: run an app with this member as the relay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from . import output
from .options import Json

EXAMPLE: Final = "Example: flwr-swarm relay examples/support2_swarm --dir swarm-local/a --stream"
_INTERRUPTED: Final = 130


@output.reports
def relay(
    app: Annotated[Path, typer.Argument(help="Folder of the Flower app.")],
    folder: Annotated[Path, typer.Option("--dir", help="This member's site folder.")],
    superlink: Annotated[
        str | None,
        typer.Option(help="host:port of a SuperLink that runs on this machine already."),
    ] = None,
    run_config: Annotated[
        list[str] | None,
        typer.Option("--run-config", help="Overrides of the app's run config, key=value."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Nodes to wait for; by default all that are known.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for them; then as many as a sum needs do.")
    ] = 180.0,
    retries: Annotated[
        int, typer.Option(help="How often to begin again when the run did not complete.")
    ] = 2,
    stream: Annotated[bool, typer.Option("--stream", help="Show the run's log.")] = False,
    as_json: Json = False,
) -> None:
    """Start this member's SuperLink, wait for the sites, and run the app to its end.

    Any member can do this, also after another relay died: the swarm goes on from its chain.
    Exit code 0 says that the run completed.
    """
    from ..deployment.address import Address  # noqa: PLC0415 - slow to import
    from ..deployment.layout import SiteFolder  # noqa: PLC0415
    from ..deployment.order import Order  # noqa: PLC0415
    from ..deployment.relay import Relay  # noqa: PLC0415
    from .foreground import narrator, stoppable  # noqa: PLC0415

    say = narrator(as_json)

    def show(text: str) -> None:
        print(text, end="", flush=True, file=sys.stderr if as_json else sys.stdout)

    order = Order(
        app=app,
        config=tuple(run_config or ()),
        superlink=None if superlink is None else Address.parse(superlink),
        needed=nodes,
        wait=wait,
        retries=retries,
        stream=show if stream else None,
    )
    with stoppable():
        try:
            with Relay(SiteFolder(folder), order, say=say) as relaying:
                run = relaying.run()
        except KeyboardInterrupt:
            say("stopped; the run and everything that was started have ended")
            raise typer.Exit(_INTERRUPTED) from None
    results = SiteFolder(folder).relay
    if as_json:
        output.show_json({"run": run, "status": "finished:completed", "results": str(results)})
    else:
        say(f"run {run} completed; what it wrote is in {results}")
