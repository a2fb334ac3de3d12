"""`flwr-swarm member`: keys, applications, votes, and who the members are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from . import output, rotation, voting
from .options import (
    TIMEOUT,
    URL_VARIABLE,
    Contract,
    Json,
    Keys,
    PasswordFile,
    Timeout,
    Url,
    key_cost,
)

VALID_DAYS: Final = 30.0

app = typer.Typer(no_args_is_help=True, help="A member's keys, applications and votes.")

Endpoint = Annotated[
    str, typer.Option(help="Enode URL of the site's chain node, for the others' node lists.")
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", help="The site's TLS certificate; its hash is listed.")
]
WeightClass = Annotated[
    int, typer.Option(help="Binary logarithm of the number of examples; 0 for undeclared.")
]
ValidDays = Annotated[float, typer.Option(help="Days until the signed consent expires.")]


@app.command(epilog="Example: flwr-swarm member keygen --dir keys")
@output.reports
def keygen(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", help="New folder for the keys.")],
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make a member's two keys, encrypted, in a folder of their own."""
    from ..keystore import Keystore  # noqa: PLC0415
    from . import passwords  # noqa: PLC0415

    store = Keystore.create(folder, passwords.new(password_file), cost=key_cost(context))
    made = store.newest
    fields = {
        "folder": str(folder),
        "account": made.account,
        "encryption_key": "0x" + made.encryption_key.hex(),
    }
    if as_json:
        output.show_json(fields)
        return
    output.console().print(
        output.facts(
            [
                ("keys", f"{folder} (back this folder up; without it the seat is lost)"),
                ("account", made.account),
                ("encryption key", made.encryption_key.hex()),
            ]
        )
    )


@app.command(
    epilog="Example: flwr-swarm member apply --url http://localhost:8545 --contract 0x… "
    "--keys keys --out card.json"
)
@output.reports
def apply(
    contract: Contract,
    keys: Keys,
    out: Annotated[Path, typer.Option(help="New file for the signed application.")],
    url: Annotated[
        str | None,
        typer.Option("--url", envvar=URL_VARIABLE, help="JSON-RPC address of your chain node."),
    ] = None,
    chain_id: Annotated[
        int | None, typer.Option(help="Instead of --url: the chain's id, to sign offline.")
    ] = None,
    endpoint: Endpoint = "",
    tls_cert: TlsCert = None,
    weight_class: WeightClass = 0,
    epsilon: Annotated[
        float, typer.Option(help="Epsilon that the site's data has spent before.")
    ] = 0.0,
    valid_days: ValidDays = VALID_DAYS,
    password_file: PasswordFile = None,
    timeout: Timeout = TIMEOUT,
    as_json: Json = False,
) -> None:
    """Sign an application for a seat, in a swarm that exists or is to be founded.

    The members get the file; it holds no secret. The founder tells the address of a swarm that
    is to be founded: flwr-swarm consortium address.
    """
    from ..keystore import Keystore  # noqa: PLC0415
    from . import applications, connection, passwords, strict  # noqa: PLC0415

    place = strict.given_address(contract, "--contract")
    expires = applications.valid_until(time.time(), valid_days)
    chain = connection.chain_id_of(url, chain_id, timeout)
    store = Keystore(keys)
    if url is not None:
        connection.check_no_seat(url, place, store, timeout)
    opened = store.unlock(store.newest, passwords.existing(password_file))
    card = applications.new_card(
        opened,
        chain_id=chain,
        contract=place,
        endpoint=endpoint,
        tls_certificate=tls_cert,
        epsilon=epsilon,
        weight_class=weight_class,
    )
    application = applications.Application.sign(
        opened, chain_id=chain, contract=place, seat=None, card=card, expires=expires
    )
    strict.save(out, application.to_json())
    if as_json:
        output.show_json({"file": str(out)} | application.to_json())
        return
    output.console().print(
        output.facts(
            [
                ("application", f"{out} (give it to the members)"),
                ("account", card.account),
                ("for", f"contract {place} on chain {chain}"),
                ("valid for", f"{valid_days:g} days"),
            ]
        )
    )


@app.command("list", epilog="Example: flwr-swarm member list --json")
@output.reports
def list_members(
    url: Url, contract: Contract, timeout: Timeout = TIMEOUT, as_json: Json = False
) -> None:
    """Show who the members are, and how they stand."""
    from . import connection, describe  # noqa: PLC0415

    ledger = connection.read_only(url, contract, timeout)
    view, endpoints = ledger.view(), ledger.endpoints()
    if as_json:
        output.show_json(
            {
                "contract": view.contract,
                "chain_id": view.chain_id,
                "epoch": view.epoch,
                "members": [
                    describe.member_json(member, endpoints[member.index]) for member in view.seated
                ],
            }
        )
        return
    rows = [describe.member_row(member) for member in view.seated]
    output.console().print(output.table(describe.MEMBER_COLUMNS, rows))


app.command(epilog=voting.EXAMPLES)(output.reports(voting.vote))
app.command(epilog=rotation.EXAMPLE)(output.reports(rotation.rotate))
