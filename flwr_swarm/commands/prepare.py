"""`flwr-swarm prepare`: a site's folder on a machine of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from . import output
from .options import CONTRACT_VARIABLE, URL_VARIABLE, Json

EXAMPLE: Final = (
    "Example: flwr-swarm prepare --dir site --name 'Hospital A' --url http://127.0.0.1:8545 "
    "--contract 0x… --relay a.example:9092 --relay b.example:9092 --relay-at a.example:9092"
)


@output.reports
def prepare(
    folder: Annotated[Path, typer.Option("--dir", help="The site's folder; 700, or new.")],
    name: Annotated[str, typer.Option(help="What the site is called in logs and reports.")],
    url: Annotated[
        str, typer.Option("--url", envvar=URL_VARIABLE, help="JSON-RPC address of its chain node.")
    ],
    contract: Annotated[
        str, typer.Option("--contract", envvar=CONTRACT_VARIABLE, help="Address of the swarm.")
    ],
    relay: Annotated[
        list[str] | None, typer.Option(help="A relay, host:port; once for each, in order.")
    ] = None,
    relay_at: Annotated[
        str | None, typer.Option(help="host:port at which the others reach this site as a relay.")
    ] = None,
    bind: Annotated[
        str, typer.Option(help="Interface on which it then listens; :: for all.")
    ] = "127.0.0.1",
    node_port: Annotated[
        int, typer.Option(help="Port on the loopback interface between SuperNode and ClientApp.")
    ] = 9094,
    node: Annotated[
        list[str] | None,
        typer.Option(help="Further node config for the app, key=value with a TOML value."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a site's settings and its node key, in a folder that only its owner can read."""
    from ..deployment.address import Address  # noqa: PLC0415 - slow to import
    from ..deployment.layout import SiteFolder  # noqa: PLC0415
    from ..deployment.relays import Relays  # noqa: PLC0415
    from ..deployment.settings import Settings  # noqa: PLC0415
    from ..flower.compat import parse_config  # noqa: PLC0415
    from .strict import given_address  # noqa: PLC0415

    relays = tuple(Address.parse(text) for text in relay or [])
    if relays:
        Relays(relays)  # refuses one that is there twice
    settings = Settings(
        name=name,
        chain=url,
        contract=given_address(contract, "--contract"),
        relays=relays,
        relay=None if relay_at is None else Address.parse(relay_at),
        bind=bind,
        node_port=node_port,
        node=parse_config(node or []),
    )
    made = SiteFolder(folder)
    made.create(settings)
    missing = [
        f"{path} ({what})"
        for path, what in (
            (made.keys, "flwr-swarm member keygen"),
            (made.trust_root, "certificate of the relays' authority"),
        )
        if not path.exists()
    ]
    if as_json:
        output.show_json({"folder": str(folder), "node_key": str(made.node_public)})
        return
    rows = [
        ("site", f"{settings.name}: {made.settings_file}"),
        ("node key", f"{made.node_public} (give it to every member that may relay)"),
        ("still missing", ", ".join(missing) or "nothing"),
    ]
    output.console().print(output.facts(rows))
