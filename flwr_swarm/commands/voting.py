"""`flwr-swarm member vote`: propose a change, or vote on one; proposing is voting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .._exceptions import ConfigurationError
from . import output
from .options import TIMEOUT, Contract, Json, Keys, PasswordFile, Timeout, Url, Yes

if TYPE_CHECKING:
    from ..protocol.types import Change, Kind, LedgerView, Policy, Proposal
    from .connection import Acting

EXAMPLES: Final = (
    "Examples:\n\nflwr-swarm member vote --admit card.json\n\n"
    "flwr-swarm member vote --remove 3 --policy threshold=4\n\n"
    "flwr-swarm member vote --policy epsilon_cap=8 --policy seal_seconds=900\n\n"
    "flwr-swarm member vote --stop\n\n"
    "flwr-swarm member vote --proposal 7 --against"
)


def vote(
    url: Url,
    contract: Contract,
    keys: Keys,
    admit: Annotated[Path | None, typer.Option(help="Admit the applicant of this file.")] = None,
    remove: Annotated[int | None, typer.Option(help="Remove the member of this seat.")] = None,
    suspend: Annotated[int | None, typer.Option(help="Suspend the member of this seat.")] = None,
    reinstate: Annotated[int | None, typer.Option(help="Lift its suspension.")] = None,
    rotate: Annotated[
        Path | None, typer.Option(help="Change a member's keys to those of this file.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Setting of the policy, key=value; also beside another change."),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the study: no site trains any more.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start a stopped study again, on its old terms.")
    ] = False,
    proposal: Annotated[int | None, typer.Option(help="Vote on this proposal.")] = None,
    against: Annotated[bool, typer.Option("--against", help="Vote against it.")] = False,
    password_file: PasswordFile = None,
    timeout: Timeout = TIMEOUT,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Propose a change and vote for it, or vote on a proposal.

    Two thirds of the members and one more enact it. What would change is shown first.
    """
    from ..protocol.types import Kind  # noqa: PLC0415
    from . import connection, study  # noqa: PLC0415

    changes = {
        "--admit": admit,
        "--remove": remove,
        "--suspend": suspend,
        "--reinstate": reinstate,
        "--rotate": rotate,
        "--stop": stop or None,
        "--restart": restart or None,
        "--proposal": proposal,
    }
    chosen = [name for name, value in changes.items() if value is not None]
    if len(chosen) > 1 or not (chosen or policy):
        raise ConfigurationError(
            f"one change at a time, got {', '.join(chosen) or 'none'}; give one of "
            f"{', '.join(changes)}, or --policy alone"
        )
    if proposal is None and against:
        raise ConfigurationError("--against is for --proposal: what you propose you vote for")
    if proposal is not None and policy:
        raise ConfigurationError("a proposal is voted on as it is; --policy cannot change it")
    acting = connection.as_member(url, contract, keys, password_file, timeout)
    if proposal is not None:
        _vote(acting, proposal, support=not against, yes=yes, as_json=as_json)
        return
    settings = policy or []
    view = acting.view
    if stop:
        settings = [*settings, *study.stop_settings(view, url, timeout)]
    elif restart:
        settings = [*settings, *study.restart_settings(view, url, settings, timeout)]
    if admit is not None:
        made = _with_card(view, admit, settings, rotating=False)
    elif rotate is not None:
        made = _with_card(view, rotate, settings, rotating=True)
    elif remove is not None:
        made = _without_card(view, Kind.REMOVE, remove, settings)
    elif suspend is not None:
        made = _without_card(view, Kind.SUSPEND, suspend, settings)
    elif reinstate is not None:
        made = _without_card(view, Kind.REINSTATE, reinstate, settings)
    else:
        made = _without_card(view, Kind.POLICY, None, settings)
    propose(acting, *made, yes=yes, as_json=as_json)


def propose(
    acting: Acting,
    change: Change,
    consent: bytes,
    adaptations: tuple[str, ...],
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Show a change, ask, propose it, and show what became of it."""
    from ..protocol.ledger import ProposeCall  # noqa: PLC0415

    for words in adaptations:
        output.note(f"with another number of members: {words}")
    show_change(acting, change)
    output.confirm("Propose this, and vote for it?", yes=yes)
    acting.ledger.submit(ProposeCall(change=change, consent=consent))
    ledger, mine = acting.ledger, acting.member.index
    for number in range(ledger.proposals(), 0, -1):
        found = ledger.proposal(number)
        if found is not None and (found.proposer, found.change) == (mine, change):
            _show(acting, found, as_json=as_json)
            return
    raise ConfigurationError("the proposal is not on the chain; see flwr-swarm consortium status")


def show_change(acting: Acting, change: Change) -> None:
    """Print on stderr what a change would alter."""
    from . import describe  # noqa: PLC0415

    rows = describe.effects(change, acting.view, acting.ledger.endpoints())
    for name, words in rows:
        output.note(f"  {name:18} {words}")


def _vote(acting: Acting, number: int, *, support: bool, yes: bool, as_json: bool) -> None:
    from ..protocol.ledger import VoteCall  # noqa: PLC0415

    found = acting.ledger.proposal(number)
    if found is None:
        raise ConfigurationError(
            f"there is no proposal {number}; flwr-swarm consortium status lists the open ones"
        )
    show_change(acting, found.change)
    output.confirm(f"Vote {'for' if support else 'against'} proposal {number}?", yes=yes)
    acting.ledger.submit(VoteCall(proposal=number, support=support))
    after = acting.ledger.proposal(number)
    _show(acting, after or found, as_json=as_json)


def _show(acting: Acting, proposal: Proposal, *, as_json: bool) -> None:
    from . import describe  # noqa: PLC0415

    # A vote that enacts a removal can take the voter's own seat; the count is then of the rest.
    view = acting.ledger.view()
    if as_json:
        members = len(acting.view.seated)
        output.show_json(describe.proposal_json(proposal, view, members=members))
        return
    needed = describe.required_votes(len(acting.view.seated))
    output.console().print(
        output.facts(
            [
                ("proposal", f"{proposal.id}: {describe.title(proposal.change, acting.view)}"),
                ("status", describe.proposal_state(proposal, view)),
                (
                    "votes",
                    f"{len(proposal.supporters)} for, {len(proposal.opponents)} against; "
                    f"{needed} of {len(acting.view.seated)} enact it",
                ),
                ("open until", describe.when(proposal.closes)),
            ]
        )
    )


def _with_card(
    view: LedgerView, file: Path, settings: Sequence[str], *, rotating: bool
) -> tuple[Change, bytes, tuple[str, ...]]:
    from ..protocol.types import Change, Kind  # noqa: PLC0415
    from . import applications  # noqa: PLC0415

    application = applications.load(file)
    application.check(chain_id=view.chain_id, contract=view.contract, now=view.now)
    if rotating != (application.seat is not None):
        kind = "for a new seat" if application.seat is None else f"of seat {application.seat}"
        raise ConfigurationError(
            f"the application in {file} is {kind}; propose it with "
            f"{'--admit' if application.seat is None else '--rotate'}"
        )
    seats = [member.index for member in view.seated]
    vacant = next((i for i in range(len(seats) + 1) if i not in seats), len(seats))
    after = seats if rotating else [*seats, vacant]
    policy, words = _policy(view, after, settings)
    change = Change(
        kind=Kind.ROTATE if rotating else Kind.ADMIT,
        policy=policy,
        seat=application.seat,
        card=application.card,
        expires=application.expires,
    )
    return change, application.consent, words


def _without_card(
    view: LedgerView, kind: Kind, seat: int | None, settings: Sequence[str]
) -> tuple[Change, bytes, tuple[str, ...]]:
    from ..protocol.types import Change, Kind  # noqa: PLC0415

    seats = [member.index for member in view.seated]
    if seat is not None and seat not in seats:
        raise ConfigurationError(
            f"nobody has seat {seat}; the seats are {', '.join(map(str, seats))}"
        )
    after = [other for other in seats if other != seat] if kind is Kind.REMOVE else seats
    policy, words = _policy(view, after, settings)
    if kind is Kind.POLICY and policy == view.policy:
        raise ConfigurationError("the settings are those that hold already; nothing to propose")
    return Change(kind=kind, policy=policy, seat=seat), b"", words


def _policy(
    view: LedgerView, after: Sequence[int], settings: Sequence[str]
) -> tuple[Policy, tuple[str, ...]]:
    """The policy that a change brings: adapted to its members, then as the settings have it."""
    from . import policies  # noqa: PLC0415

    before = [member.index for member in view.seated]
    policy, words = policies.adapted(view.policy, before, after)
    policy = policies.adjusted(policy, settings)
    policies.check(policy, after)
    if policy != view.policy:  # a change that leaves the rules alone does not make them worse
        terms = policies.known_terms(policy.terms, settings)
        warning = policies.check_obeyed(policy, len(after), terms)
        if warning:
            output.note(f"warning: {warning}")
    return policy, words
