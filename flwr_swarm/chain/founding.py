"""The contract's rules of seats in Python: which cards and which policy it takes, and founding."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from flwr_swarm._exceptions import TransactionRefused
from flwr_swarm.protocol.types import ZERO_ACCOUNT, ZERO_HASH, Card, Member, Policy

from .state import Event, State
from .translate import NO_SEAT, policy_fields

MAX_MEMBERS: Final = 64
MAX_COMMITTEE: Final = 7
MAX_VIEWS: Final = 8
MAX_ENDPOINT: Final = 256
BLANK: Final = Card(account=ZERO_ACCOUNT, encryption_key=ZERO_HASH, commitment=ZERO_HASH)
"""The card of a change that brings none."""


def found(
    cards: Sequence[Card], policy: Policy, *, chain_id: int, contract: str
) -> tuple[State, list[Event]]:
    """Found a swarm as the contract's constructor does; member i is `cards[i]`.

    Raises
    ------
    TransactionRefused
        By the contract's own error names.
    """
    if len(cards) > MAX_MEMBERS:
        raise TransactionRefused("MemberCountOutOfRange", f"{len(cards)} members")
    check_policy(policy, range(len(cards)))
    state = State(chain_id=chain_id, contract=contract, policy=policy, members=())
    for index, card in enumerate(cards):
        check_card(state, card, index)
        if card.epsilon > policy.epsilon_cap:
            raise TransactionRefused("BudgetExceeded", f"{card.epsilon} > {policy.epsilon_cap}")
        state = seat(state, index, card, since=0)
    return state, [("Founded", {"members": len(cards), "policy": policy_fields(policy)})]


def check_policy(policy: Policy, taken: Collection[int]) -> None:
    """Refuse a policy that cannot rule the members of the seats `taken`.

    Two sets of `threshold` openers share an honest holder, since 2 * threshold > n + f.

    Raises
    ------
    TransactionRefused
    """
    n = len(taken)
    if not 1 <= n <= MAX_MEMBERS or n < policy.min_members:
        raise TransactionRefused("MemberCountOutOfRange", f"members={n}; 1 to {MAX_MEMBERS}")
    leader = policy.fixed_leader
    seconds = (policy.seal_seconds, policy.merge_seconds, policy.vote_seconds)
    in_range = {
        "ThresholdOutOfRange": n + (n - 1) // 3 < 2 * policy.threshold <= 2 * n,
        "MinIncludedOutOfRange": 1 <= policy.min_included <= n,
        "WitnessesOutOfRange": 0 <= policy.witnesses <= n,
        "CommitteeOutOfRange": 1 <= policy.max_committee <= MAX_COMMITTEE,
        "QuorumOutOfRange": 0 <= policy.quorum <= policy.max_committee,
        "CloseAtOutOfRange": policy.min_included <= policy.close_at <= MAX_MEMBERS,
        "FixedLeaderOutOfRange": leader is None or leader in taken,
        "SecondsOutOfRange": min(seconds) >= 1,
        "ViewsOutOfRange": 1 <= policy.max_views <= MAX_VIEWS,
    }
    for name, holds in in_range.items():
        if not holds:
            raise TransactionRefused(name, f"{n} members, {policy}")


def check_card(state: State, card: Card, index: int, *, rotates: bool = False) -> None:
    """Refuse a card that cannot have a seat.

    Parameters
    ----------
    index : int
        The seat as the change names it; 255 for an admission.
    rotates : bool
        Whether the member of that seat changes its card, and so may keep account and key.

    Raises
    ------
    TransactionRefused
    """
    account = card.account.lower()
    if account == ZERO_ACCOUNT:
        raise TransactionRefused("ZeroAccount", f"member={index}")
    keeps = rotates and state.members[index].account.lower() == account
    used = state.retired.union(m.account.lower() for m in state.members if not m.vacant)
    if not keeps and account in used:
        raise TransactionRefused("AccountUsed", f"account={card.account}")
    if card.encryption_key == ZERO_HASH or (not keeps and card.commitment == ZERO_HASH):
        raise TransactionRefused("ZeroHash", f"member={index}")
    holders = {m.index for m in state.members if m.encryption_key == card.encryption_key}
    if holders.difference({index} if rotates else ()):
        raise TransactionRefused("KeyUsed", f"0x{card.encryption_key.hex()}")
    check_endpoint(card)


def check_endpoint(card: Card) -> None:
    """Refuse an endpoint that the contract would not keep."""
    length = len(card.endpoint.encode("utf-8", "surrogateescape"))
    if length > MAX_ENDPOINT:
        raise TransactionRefused("EndpointTooLong", f"{length} bytes")


def lowest_vacant(state: State) -> int:
    """Return the seat that the next member gets."""
    return next(i for i in range(NO_SEAT) if i not in state.taken)


def seat(state: State, index: int, card: Card, *, since: int) -> State:
    """Give a vacant seat, or a new one at the end, to who is on `card`."""
    member = Member(
        index=index,
        account=card.account,
        encryption_key=card.encryption_key,
        commitment=card.commitment,
        epsilon=card.epsilon,
        weight_class=card.weight_class,
        tls_hash=card.tls_hash,
        since=since,
    )
    return replace(
        state,
        members=(*state.members[:index], member, *state.members[index + 1 :]),
        endpoints=(*state.endpoints[:index], card.endpoint, *state.endpoints[index + 1 :]),
    )


def vacate(state: State, index: int) -> State:
    """Take the member of a seat out of everything that outlives it; its account is retired."""
    vacant = Member(
        index=index, account=ZERO_ACCOUNT, encryption_key=ZERO_HASH, commitment=ZERO_HASH
    )
    return replace(
        state,
        members=(*state.members[:index], vacant, *state.members[index + 1 :]),
        endpoints=(*state.endpoints[:index], "", *state.endpoints[index + 1 :]),
        retired=state.retired | {state.members[index].account.lower()},
        led=state.led - {index},
        benched=state.benched - {index},
        ahead=state.ahead - {index},
    )
