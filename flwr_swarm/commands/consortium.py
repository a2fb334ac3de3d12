"""`flwr-swarm consortium`: found a swarm, and see how it stands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .._exceptions import ConfigurationError
from . import output
from .options import TIMEOUT, Contract, Json, Keys, PasswordFile, Timeout, Url, Yes

if TYPE_CHECKING:
    from ..chain.client import ReadOnlyLedger
    from ..protocol.types import LedgerView, Proposal
    from .plan import Plan

app = typer.Typer(no_args_is_help=True, help="Found a swarm, and see how it stands.")

Cards = Annotated[
    list[Path], typer.Option("--card", help="A site's application; once for each, in seat order.")
]


@app.command(epilog="Example: flwr-swarm consortium address --keys keys")
@output.reports
def address(url: Url, keys: Keys, timeout: Timeout = TIMEOUT, as_json: Json = False) -> None:
    """Show the address of the swarm that these keys would found next.

    The sites apply for this address. It holds until the account of the keys sends a transaction.
    """
    from ..chain.deploy import contract_address  # noqa: PLC0415
    from ..keystore import Keystore  # noqa: PLC0415
    from . import connection  # noqa: PLC0415

    founder = Keystore(keys).newest.account
    chain_id = connection.chain_id_of(url, None, timeout)
    due = contract_address(founder, connection.nonce_of(url, founder, timeout))
    if as_json:
        output.show_json({"chain_id": chain_id, "founder": founder, "contract": due})
        return
    rows = [("contract", due), ("chain", chain_id), ("founder", founder)]
    output.console().print(output.facts(rows))


@app.command(
    epilog="Example: flwr-swarm consortium found --card a.json --card b.json --card c.json "
    "--card d.json --policy epsilon_cap=8 --out consortium.json"
)
@output.reports
def found(
    url: Url,
    keys: Keys,
    card: Cards,
    out: Annotated[Path, typer.Option(help="New file for the founding document.")],
    policy: Annotated[
        list[str] | None, typer.Option(help="Setting of the policy, key=value.")
    ] = None,
    terms: Annotated[
        Path | None, typer.Option(help="File of terms; by default those of SwarmStrategy(FedAvg).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the document; found nothing.")
    ] = False,
    password_file: PasswordFile = None,
    timeout: Timeout = TIMEOUT,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Check the sites' applications, and found their swarm.

    The account that founds pays for one transaction and has no power over the swarm. After a
    dry run the members can read the document, and chain deploy founds exactly that.
    """
    from ..chain.deploy import contract_address  # noqa: PLC0415
    from ..keystore import Keystore  # noqa: PLC0415
    from . import applications, connection, policies, strict  # noqa: PLC0415
    from .plan import Plan  # noqa: PLC0415

    store = Keystore(keys)
    founder = store.newest.account
    chosen = policies.default_terms(len(card)) if terms is None else policies.load_terms(terms)
    rules = policies.adjusted(policies.default_policy(len(card), chosen), policy or [])
    plan = Plan(
        chain_id=connection.chain_id_of(url, None, timeout),
        contract=contract_address(founder, connection.nonce_of(url, founder, timeout)),
        founder=founder,
        policy=rules,
        terms=chosen,
        applications=tuple(applications.load(file) for file in card),
    )
    if dry_run:
        check(plan, url, timeout)
        strict.save(out, plan.to_json())
        show_plan(plan, as_json=as_json, done="to be founded")
        return
    deploy_plan(plan, url, store, password_file, timeout, yes=yes, out=out)
    show_plan(plan, as_json=as_json, done="founded")


@app.command(epilog="Example: flwr-swarm consortium status --document consortium.json")
@output.reports
def status(
    url: Url,
    contract: Contract,
    document: Annotated[
        Path | None, typer.Option(help="Founding document that this must be the swarm of.")
    ] = None,
    timeout: Timeout = TIMEOUT,
    as_json: Json = False,
) -> None:
    """Show policy, members, running round, and what is voted on."""
    from . import connection, describe, policies, strict  # noqa: PLC0415
    from .plan import Plan  # noqa: PLC0415

    ledger = connection.read_only(url, contract, timeout)
    view, endpoints = ledger.view(), ledger.endpoints()
    if document is not None:
        Plan.from_json(strict.read_json(document)).compare(view)
    proposals = _current(ledger, view)
    if as_json:
        fields: dict[str, Any] = {
            "contract": view.contract,
            "chain_id": view.chain_id,
            "now": view.now,
            "epoch": view.epoch,
            "required_votes": describe.required_votes(len(view.seated)),
            "pending": view.pending,
            "policy": policies.policy_json(view.policy),
            "round": describe.round_json(view),
            "members": [describe.member_json(m, endpoints[m.index]) for m in view.seated],
            "proposals": [
                describe.proposal_json(proposal, view, members=len(view.seated))
                for proposal in proposals
            ],
        }
        output.show_json(fields)
        return
    console = output.console()
    console.print(
        output.facts(
            [
                ("swarm", f"{view.contract} on chain {view.chain_id}"),
                ("epoch", f"{view.epoch}, at {describe.when(view.now)}"),
                ("newest round", describe.round_words(view)),
                (
                    "a change needs",
                    f"{describe.required_votes(len(view.seated))} of {len(view.seated)} votes",
                ),
            ]
        )
    )
    console.print()
    console.print(
        output.facts([(name, policies.shown(view.policy, name)) for name in policies.NAMES])
    )
    rows = [describe.member_row(member) for member in view.seated]
    console.print(output.table(describe.MEMBER_COLUMNS, rows))
    if proposals:
        console.print(
            output.table(
                (">id", "proposal", ">for", ">against", "open until", "status"),
                [
                    (
                        proposal.id,
                        describe.title(proposal.change, view),
                        len(proposal.supporters),
                        len(proposal.opponents),
                        describe.when(proposal.closes),
                        describe.proposal_state(proposal, view),
                    )
                    for proposal in proposals
                ],
            )
        )
    else:
        console.print("nothing is voted on")


def check(plan: Plan, url: str, timeout: float) -> None:
    """Check a plan against the chain that is there."""
    from . import connection  # noqa: PLC0415

    plan.check(
        chain_id=connection.chain_id_of(url, None, timeout),
        nonce=connection.nonce_of(url, plan.founder, timeout),
        now=int(time.time()),
    )


def deploy_plan(
    plan: Plan,
    url: str,
    store: Any,
    password_file: Path | None,
    timeout: float,
    *,
    yes: bool,
    out: Path | None,
) -> None:
    """Check a plan, ask, write its document, and deploy."""
    from . import passwords, strict  # noqa: PLC0415

    check(plan, url, timeout)
    output.confirm(
        f"Found a swarm of {len(plan.applications)} at {plan.contract} on chain {plan.chain_id}?",
        yes=yes,
    )
    keys = store.unlock(store.pick(plan.founder), passwords.existing(password_file))
    if out is not None:
        strict.save(out, plan.to_json())
    plan.found(url, keys.account_key, timeout=timeout)


def show_plan(plan: Plan, *, as_json: bool, done: str) -> None:
    """Say what was founded, or will be."""
    from . import policies  # noqa: PLC0415

    if as_json:
        output.show_json({"status": done} | plan.to_json())
        return
    console = output.console()
    console.print(
        output.facts(
            [
                (done, f"{plan.contract} on chain {plan.chain_id}"),
                ("members", len(plan.applications)),
                ("strategy", f"{plan.terms.strategy}, sums of up to {plan.terms.members}"),
            ]
        )
    )
    rows = [(seat, card.account, card.endpoint[:40]) for seat, card in enumerate(plan.cards)]
    console.print(output.table((">seat", "account", "node"), rows))
    console.print(
        output.facts([(name, policies.shown(plan.policy, name)) for name in policies.NAMES])
    )


def _current(ledger: ReadOnlyLedger, view: LedgerView) -> list[Proposal]:
    """The proposals of this epoch that are open, and the one that waits for the round's end."""
    from ..protocol.types import Status  # noqa: PLC0415

    found = []
    for number in range(ledger.proposals(), 0, -1):
        proposal = ledger.proposal(number)
        if proposal is None or proposal.epoch < view.epoch:
            break  # ids grow with epochs
        if proposal.status in {Status.OPEN, Status.PENDING}:
            found.append(proposal)
    return found[::-1]


def read_plan(file: Path) -> Plan:
    """Read a founding document."""
    from . import strict  # noqa: PLC0415
    from .plan import Plan  # noqa: PLC0415

    plan = Plan.from_json(strict.read_json(file))
    if not plan.applications:
        raise ConfigurationError(f"{file} names no members; write it with consortium found")
    return plan
