"""Attacks by outsiders, and on sealing. None succeeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attack_support import Table, drawn, four, raw_refusal, reason, repelled, skipped, told
from chain_support import Swarm, digest, key_of
from eth_account import Account

from flwr_swarm.chain.codec import encode_call
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.signing import sign_seal
from flwr_swarm.chain.translate import seal_fields
from flwr_swarm.protocol.ledger import (
    AbstainCall,
    AdvanceCall,
    CloseCall,
    LateCall,
    ProposeCall,
    VoteCall,
)
from flwr_swarm.protocol.types import Kind, Phase

OUTSIDER = 50
attack = Table()


# --- outsiders --------------------------------------------------------------------------------


@attack("an outsider seals with a secret of its own")
def _(swarm: Swarm):
    return OUTSIDER, swarm.seal_call(OUTSIDER, 1), "NotAMember"


@attack("an outsider abstains to hold up the coming round")
def _(swarm: Swarm):
    return OUTSIDER, AbstainCall(round=1), "NotAMember"


@attack("an outsider closes a round whose time is over")
def _(swarm: Swarm):
    swarm.seal_all(1, 0, 1)
    swarm.chain.advance_clock(601)
    return OUTSIDER, CloseCall(round=1), "NotAMember"


@attack("an outsider submits a certificate with all its valid signatures")
def _(swarm: Swarm):
    return OUTSIDER, drawn(swarm), "NotAMember"


@attack("an outsider deposes a leader who is late")
def _(swarm: Swarm):
    drawn(swarm)
    swarm.chain.advance_clock(61)
    return OUTSIDER, AdvanceCall(round=1, view=0), "NotAMember"


@attack("an outsider proposes itself, with its consent")
def _(swarm: Swarm):
    return OUTSIDER, swarm.admit_call(OUTSIDER), "NotAMember"


@attack("an outsider votes itself in")
def _(swarm: Swarm):
    swarm.ledgers[0].submit(swarm.admit_call(OUTSIDER))
    return OUTSIDER, VoteCall(proposal=1, support=True), "NotAMember"


@attack("an outsider accuses with true evidence")
def _(swarm: Swarm):
    return OUTSIDER, swarm.accusation(1, 1, 1), "NotAMember"


@attack("an outsider carries seals that members signed")
def _(swarm: Swarm):
    call = swarm.carry_call(*((i, swarm.seal_call(i, 1)) for i in range(4)))
    return OUTSIDER, call, "NotAMember"


@attack("whoever paid for the deployment acts as an owner")
def _(swarm: Swarm):
    founder = swarm.ledger(Account.from_key(digest("founder")))
    swarm.ledgers[OUTSIDER] = founder
    return OUTSIDER, ProposeCall(change=swarm.change(Kind.REMOVE, 0)), "NotAMember"


@attack("a member calls the batch's inner entry with another's signed seal")
def _(swarm: Swarm):
    call = swarm.seal_call(1, 1)
    signature = sign_seal(key_of(1), swarm.chain.chain_id, swarm.contract, call)
    data = encode_call("sealSigned", {"call_": seal_fields(call), "signature": signature})
    for key in (0, 1, OUTSIDER):
        assert raw_refusal(swarm, key, data) == "NotAMember"


# --- sealing ----------------------------------------------------------------------------------


@attack("a member reveals another's secret as its own")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    return 1, swarm.seal_call(1, 1, reveal=swarm.secret(0, 0)), "WrongReveal"


@attack("a member grinds: it reveals another secret than it committed to")
def _(swarm: Swarm):
    return 1, swarm.seal_call(1, 1, reveal=digest("ground")), "WrongReveal"


@attack("a member replaces its sealed update")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    return 0, swarm.seal_call(0, 1, payload_hash=digest("second thoughts")), "AlreadySealed"


@attack("a member seals, then takes its seal back by abstaining")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    return 0, AbstainCall(round=1), "AlreadySealed"


@attack("a member abstains, sees the others' reveals, and seals after all")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.abstain(1, 1)
    return 1, swarm.seal_call(1, 1), "AlreadyAbstained"


@attack("a member trains on a model of its own and seals beside the others")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    return 1, swarm.seal_call(1, 1, parent=digest("crafted")), "ParentMismatch"


@attack("a member opens the round on a crafted model: the round is void and it pays for it")
def _(swarm: Swarm):
    swarm.seal(1, 1, parent=digest("crafted"))
    swarm.abstain(0, 1)
    swarm.abstain(2, 1)
    events = told(swarm, 3, AbstainCall(round=1))
    assert ("OpenerBlamed", {"round": 1, "member": 1}) in events
    assert swarm.view.current.phase is Phase.VOID
    assert (swarm.view.members[1].misses, swarm.view.members[1].suspended) == (1, True)


@attack("a member seals for a round that is over")
def _(swarm: Swarm):
    swarm.whole_round(1)
    return 0, swarm.seal_call(0, 1), "SealingClosed"


@attack("a member seals ahead, for the round after the next")
def _(swarm: Swarm):
    return 0, swarm.seal_call(0, 2), "WrongRound"


@attack("a member's own seal is replayed a round later")
def _(swarm: Swarm):
    old = swarm.seal_call(0, 1)
    swarm.whole_round(1)
    swarm.seal(1, 2)
    return 0, old, "WrongRound"


@attack("a member's own seal is replayed with the new round's number")
def _(swarm: Swarm):
    old = swarm.seal_call(0, 1)
    swarm.whole_round(1)
    return 0, replace(old, round=2), "WrongReveal"


@attack("a member seals a second after the deadline")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.chain.advance_clock(602)
    return 1, swarm.seal_call(1, 1), "SealingClosed"


@attack("a member shuts the others out by closing early")
def _(swarm: Swarm):
    swarm.seal_all(1, 0, 1)
    return 0, CloseCall(round=1), "DeadlineNotReached"


@attack("a member leaves no commitment, to have no secret to reveal")
def _(swarm: Swarm):
    return 0, swarm.seal_call(0, 1, commitment=bytes(32)), "ZeroHash"


@attack("a member reports a late seal while it may still seal, to have two tries")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    return 1, LateCall(round=1, epsilon=0), "SealingOpen"


@attack("a late update slips into the sum")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, max_misses=0))
    swarm.seal_all(1, 0, 1, 2)
    swarm.chain.advance_clock(601)
    swarm.close(1)
    swarm.late(3, 1, 0)
    view = swarm.view
    certificate = swarm.certificate(view, included=(0, 1, 2, 3))
    return 0, swarm.certify_call(certificate, swarm.officers(view)), "NotSealed"


@attack("a suspended member seals")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.SUSPEND, 3))
    return 3, swarm.seal_call(3, 1), "MemberIsSuspended"


@attack("a suspended member has its seal carried")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.SUSPEND, 3))
    events = told(swarm, 0, swarm.carry_call((3, swarm.seal_call(3, 1))))
    assert skipped(events) == {0: reason("MemberIsSuspended")}
    assert swarm.view.current.number == 0


@pytest.fixture(scope="module")
def founded(module_chain: EmbeddedChain) -> Swarm:
    return four(module_chain)


@pytest.mark.parametrize("story", attack)
def test_attack(founded: Swarm, chain: EmbeddedChain, story: str) -> None:
    repelled(founded.again(), attack[story])
