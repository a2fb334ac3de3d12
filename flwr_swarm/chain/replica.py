"""The contract's rules in Python, without an EVM: a state, a call, and the state after it.

Whoever verifies a run re-executes the members' calls with this; whoever tests the contract runs
it beside the EVM and compares. Refusals carry the contract's own error names. States are
immutable, so a refused call changes nothing.
"""

from __future__ import annotations

from flwr_swarm._exceptions import NotAMember
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CertifyCall,
    CloseCall,
    LedgerCall,
    SealCall,
)

from . import merging, sealing
from .state import Event, State


def apply(state: State, sender: str, call: LedgerCall, now: int) -> tuple[State, list[Event]]:
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
    who = next((m.index for m in state.members if m.account.lower() == sender.lower()), None)
    if who is None:
        raise NotAMember(f"{sender} is not a member of this swarm")
    match call:
        case SealCall():
            return sealing.seal(state, who, call, now)
        case AbstainCall():
            return sealing.abstain(state, who, call, now)
        case CloseCall():
            return sealing.close(state, call, now)
        case CertifyCall():
            return merging.certify(state, call)
        case AdvanceCall():
            return merging.advance(state, call, now)
