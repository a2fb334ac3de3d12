"""Attacks on carried seals, offices and certificates. None succeeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attack_support import Table, drawn, four, reason, repelled, skipped, told
from chain_support import Swarm, digest
from test_certificates import other_form

from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.protocol.ledger import AdvanceCall, CarryCall, CertifyCall, SealCall
from flwr_swarm.protocol.types import Kind, Phase

OUTSIDER = 50
attack = Table()


# --- relaying ---------------------------------------------------------------------------------


def carried(swarm: Swarm, *calls: tuple[int, SealCall]) -> dict[int, bytes]:
    return skipped(told(swarm, 0, swarm.carry_call(*calls)))


@attack("whoever carries seals slips in one that it signed for another member")
def _(swarm: Swarm):
    forged = (0, swarm.seal_call(1, 1))
    good = (2, swarm.seal_call(2, 1))
    assert carried(swarm, forged, good) == {0: reason("WrongReveal")}
    assert [seal.member for seal in swarm.view.current.seals] == [2]


@attack("whoever carries seals adds an outsider's")
def _(swarm: Swarm):
    found = carried(swarm, (OUTSIDER, swarm.seal_call(OUTSIDER, 1)), (2, swarm.seal_call(2, 1)))
    assert found == {0: reason("BadSeal")}
    assert [seal.member for seal in swarm.view.current.seals] == [2]


@attack("whoever carries seals changes the hash in one")
def _(swarm: Swarm):
    call = swarm.carry_call((1, swarm.seal_call(1, 1)), (2, swarm.seal_call(2, 1)))
    changed = replace(call.seals[0], payload_hash=digest("other"))
    events = told(swarm, 0, replace(call, seals=(changed, call.seals[1])))
    assert skipped(events) == {0: reason("BadSeal")}


@attack("whoever carries seals carries one twice")
def _(swarm: Swarm):
    item = (1, swarm.seal_call(1, 1))
    assert carried(swarm, item, item) == {1: reason("AlreadySealed")}


@attack("whoever carries seals brings those of another round")
def _(swarm: Swarm):
    old = (1, swarm.seal_call(1, 1))
    swarm.whole_round(1)
    assert carried(swarm, old, (2, swarm.seal_call(2, 2))) == {0: reason("SealingClosed")}


@attack("whoever carries seals brings just enough to close the round on reveals of its choice")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, close_at=2))
    carried(swarm, (0, swarm.seal_call(0, 1)), (1, swarm.seal_call(1, 1)))
    assert swarm.view.current.phase is Phase.SEALING  # two would do if they had come directly
    swarm.seal(2, 1)
    swarm.seal(3, 1)
    assert sorted(swarm.view.current.succession) == [0, 1, 2, 3]


@attack("somebody carries seals where the members have not agreed to it")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, relaying=False))
    return 0, swarm.carry_call((1, swarm.seal_call(1, 1))), "RelayingOff"


@attack("a carried seal in the other form of its signature passes for a second one")
def _(swarm: Swarm):
    call = swarm.carry_call((1, swarm.seal_call(1, 1)))
    malleable = replace(call, signatures=(other_form(call.signatures[0]),))
    assert skipped(told(swarm, 0, malleable)) == {0: reason("BadSeal")}
    assert swarm.view.current.number == 0


@attack("seals are carried with too few signatures")
def _(swarm: Swarm):
    call = swarm.carry_call((1, swarm.seal_call(1, 1)), (2, swarm.seal_call(2, 1)))
    return 0, CarryCall(seals=call.seals, signatures=call.signatures[:1]), "SignatureCount"


# --- offices and certificates -----------------------------------------------------------------


def only(call: CertifyCall, keep: set[int]) -> CertifyCall:
    return replace(call, signatures=tuple(s for s in call.signatures if s[0] in keep))


@attack("the leader certifies alone")
def _(swarm: Swarm):
    call = drawn(swarm)
    return 0, only(call, {swarm.view.current.leader}), "BelowQuorum"


@attack("the committee certifies behind its leader's back")
def _(swarm: Swarm):
    call = drawn(swarm)
    leader = swarm.view.current.leader
    return 0, only(call, {i for i, _ in call.signatures} - {leader}), "LeaderNotSigned"


@attack("a member without office signs to fill the quorum")
def _(swarm: Swarm):
    for number in range(1, 9):  # until a draw leaves somebody without an office
        drawn(swarm, number)
        idle = sorted({0, 1, 2, 3} - set(swarm.officers()))
        if idle:
            break
        swarm.certify()
    call = swarm.certify_call(swarm.certificate(), [*swarm.officers(), idle[0]])
    return 0, call, "NoOffice"


@attack("the officers leave most of the members out of the sum")
def _(swarm: Swarm):
    view = swarm.seal_all(1)
    certificate = swarm.certificate(view, included=(2,))
    return 0, swarm.certify_call(certificate, swarm.officers(view)), "TooFewIncluded"


@attack("the officers include an update that nobody sealed")
def _(swarm: Swarm):
    view = swarm.seal_all(1)
    certificate = swarm.certificate(view, included=(0, 1, 2, 3, 200))
    return 0, swarm.certify_call(certificate, swarm.officers(view)), "NotSealed"


@attack("the officers certify a second sum")
def _(swarm: Swarm):
    swarm.ledgers[0].submit(drawn(swarm))
    other = swarm.certificate(aggregate_hash=digest("other sum"))
    return 0, swarm.certify_call(other, swarm.officers()), "AlreadyCertified"


@attack("a deposed leader's certificate comes after all")
def _(swarm: Swarm):
    call = drawn(swarm)
    swarm.chain.advance_clock(61)
    swarm.advance(1, 0)
    return 0, call, "WrongView"


@attack("an impatient member deposes the leader")
def _(swarm: Swarm):
    drawn(swarm)
    return 1, AdvanceCall(round=1, view=0), "DeadlineNotReached"


@attack("a member deposes the next leader with the same late deadline")
def _(swarm: Swarm):
    drawn(swarm)
    swarm.chain.advance_clock(61)
    swarm.advance(1, 0)
    return 1, AdvanceCall(round=1, view=0), "WrongView"


@attack("a leader that let its time pass takes office again in the next round")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, max_misses=0))
    drawn(swarm)
    failed = swarm.view.current.leader
    swarm.chain.advance_clock(61)
    swarm.advance(1, 0)
    swarm.certify(failed)
    current = swarm.seal_all(2).current
    assert failed not in {*current.succession, *current.committee}


@attack("an officer signs two sums of one round: whoever sees both has it suspended")
def _(swarm: Swarm):
    view = swarm.seal_all(1)
    leader = view.current.leader
    events = told(swarm, (leader + 1) % 4, swarm.accusation(leader, leader, 1))
    assert ("FaultProven", {"round": 1, "view_": 0, "member": leader}) in events
    guilty = swarm.view.members[leader]
    assert (guilty.faults, guilty.suspended) == (1, True)


@attack("a member accuses another with statements that it signed itself")
def _(swarm: Swarm):
    return 0, swarm.accusation(0, 1, 1), "BadSignature"


@attack("a member accuses another of signing in two rounds")
def _(swarm: Swarm):
    call = swarm.accusation(1, 1, 1)
    later = swarm.accusation(1, 1, 2)
    return 0, replace(call, second=later.second), "NotEquivocation"


@attack("a member accuses twice for one fault, to count it double")
def _(swarm: Swarm):
    call = swarm.accusation(1, 1, 1)
    swarm.ledgers[0].submit(call)
    return 2, replace(call, first=call.second, second=call.first), "AlreadyAccused"


@pytest.fixture(scope="module")
def founded(module_chain: EmbeddedChain) -> Swarm:
    return four(module_chain)


@pytest.mark.parametrize("story", attack)
def test_attack(founded: Swarm, chain: EmbeddedChain, story: str) -> None:
    repelled(founded.again(), attack[story])
