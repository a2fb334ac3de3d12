"""`flwr-swarm member rotate`: new keys for one's own seat, and the proposal that installs them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from . import output, voting
from .options import (
    TIMEOUT,
    Contract,
    Json,
    Keys,
    PasswordFile,
    Timeout,
    Url,
    Yes,
    key_cost,
)

EXAMPLE: Final = "Example: flwr-swarm member rotate --keys keys --out rotated.json"


def rotate(
    context: typer.Context,
    url: Url,
    contract: Contract,
    keys: Keys,
    out: Annotated[Path, typer.Option(help="New file for the signed card.")],
    keep_account: Annotated[
        bool, typer.Option("--keep-account", help="Change the encryption key only.")
    ] = False,
    endpoint: Annotated[
        str | None, typer.Option(help="Enode URL of the chain node; by default as before.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="TLS certificate; by default as before.")
    ] = None,
    weight_class: Annotated[
        int | None, typer.Option(help="Size of the data; by default as before.")
    ] = None,
    valid_days: Annotated[float, typer.Option(help="Days until the consent expires.")] = 30.0,
    password_file: PasswordFile = None,
    timeout: Timeout = TIMEOUT,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make new keys beside the old ones, and propose them for your own seat.

    The old keys stay in the folder, and in use until the others have voted. Your clients take
    whichever keys the chain lists.
    """
    from ..protocol.types import Change, Kind  # noqa: PLC0415
    from . import applications, connection, strict  # noqa: PLC0415

    expires = applications.valid_until(time.time(), valid_days)
    strict.check_new(out)  # before keys are made in vain
    acting = connection.as_member(url, contract, keys, password_file, timeout)
    output.confirm(
        f"Make new keys in {keys} for seat {acting.member.index} of {acting.view.contract}?",
        yes=yes,
    )
    member, view = acting.member, acting.view
    made = acting.store.rotate(acting.password, keep_account=keep_account, cost=key_cost(context))
    opened = acting.store.unlock(made, acting.password)
    card = applications.new_card(
        opened,
        chain_id=view.chain_id,
        contract=view.contract,
        endpoint=endpoint or "",
        tls_certificate=tls_cert,
        weight_class=member.weight_class if weight_class is None else weight_class,
    )
    if tls_cert is None:
        card = replace(card, tls_hash=member.tls_hash)
    if endpoint is None:
        card = replace(card, endpoint=acting.ledger.endpoints()[member.index])
    application = applications.Application.sign(
        opened,
        chain_id=view.chain_id,
        contract=view.contract,
        seat=member.index,
        card=card,
        expires=expires,
    )
    strict.save(out, application.to_json())
    output.note(
        f"the signed card is in {out}; the old keys stay in use until the vote is over. Should the "
        f"proposal fail, repeat it with flwr-swarm member vote --rotate {out}"
    )
    change = Change(
        kind=Kind.ROTATE, policy=view.policy, seat=member.index, card=card, expires=expires
    )
    voting.propose(acting, change, application.consent, (), yes=yes, as_json=as_json)
