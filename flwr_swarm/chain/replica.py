"""The contract's rules in Python, without an EVM: a state, a call, and the state after it.

Whoever verifies a run re-executes the members' calls with this; whoever tests the contract runs
it beside the EVM and compares. Refusals carry the contract's own error names. States are
immutable, so a refused call changes nothing.
"""

from __future__ import annotations

from flwr_swarm._exceptions import NotAMember
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AccuseCall,
    AdvanceCall,
    CarryCall,
    CertifyCall,
    CloseCall,
    LateCall,
    LedgerCall,
    ProposeCall,
    SealCall,
    VoteCall,
)

from . import conduct, governance, merging, sealing
from .state import Event, State


def apply(  # noqa: PLR0911 - one for each call
    state: State, sender: str, call: LedgerCall, now: int
) -> tuple[State, list[Event]]:
    """Execute one call in a block of time `now`.

    Returns
    -------
    tuple of State and list
        The state after the call, and the events that the contract emits.

    Raises
    ------
    TransactionRefused, NotAMember
        As the contract refuses it.
    """
    who = seat_of(state, sender)
    match call:
        case SealCall():
            return sealing.seal(state, who, call, now)
        case CarryCall():
            return sealing.carry(state, call, now)
        case AbstainCall():
            return sealing.abstain(state, who, call, now)
        case LateCall():
            return sealing.late(state, who, call, now)
        case CloseCall():
            return sealing.close(state, call, now)
        case CertifyCall():
            return merging.certify(state, call)
        case AdvanceCall():
            return merging.advance(state, call, now)
        case ProposeCall():
            return governance.propose(state, who, call, now)
        case VoteCall():
            return governance.vote(state, who, call, now)
        case AccuseCall():
            return conduct.accuse(state, call)


def seat_of(state: State, account: str) -> int:
    """Return the seat of `account`.

    Raises
    ------
    NotAMember
    """
    seated = (m.index for m in state.members if not m.vacant)
    wanted = account.lower()
    who = next((i for i in seated if state.members[i].account.lower() == wanted), None)
    if who is None:
        raise NotAMember(f"{account} is not a member of this swarm")
    return who
