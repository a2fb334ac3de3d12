"""Attacks on consents, keys, seats and budgets. None succeeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attack_support import Table, drawn, four, removal, repelled, told, vote
from chain_support import Swarm, digest

from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.protocol.ledger import AbstainCall, LateCall, ProposeCall
from flwr_swarm.protocol.types import Kind, Phase

attack = Table()


# --- consents and keys ------------------------------------------------------------------------


@attack("a member seats a company that never asked for it")
def _(swarm: Swarm):
    return 0, replace(swarm.admit_call(10), consent=b""), "BadConsent"


@attack("a member changes the key on an applicant's card")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    card = replace(call.change.card, encryption_key=digest("mine"))
    return 0, replace(call, change=replace(call.change, card=card)), "BadConsent"


@attack("a member leads an applicant's shares to an endpoint of its own")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    card = replace(call.change.card, endpoint="https://mine.example")
    return 0, replace(call, change=replace(call.change, card=card)), "BadConsent"


@attack("a member clears what an applicant's data has spent")
def _(swarm: Swarm):
    call = swarm.admit_call(10, card={"epsilon": 90})
    card = replace(call.change.card, epsilon=0)
    return 0, replace(call, change=replace(call.change, card=card)), "BadConsent"


@attack("an applicant's consent outlives its date")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    change = replace(call.change, expires=1_600_000_000)
    consent = swarm.consent(10, change.card, None, change.expires)
    return 0, ProposeCall(change=change, consent=consent), "ConsentExpired"


@attack("the date of a consent is changed")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    return 0, replace(call, change=replace(call.change, expires=2**63)), "BadConsent"


@attack("a consent to a seat is used to take another member's seat over")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    change = replace(swarm.change(Kind.ROTATE, 1), card=call.change.card)
    return 0, ProposeCall(change=change, consent=call.consent), "BadConsent"


@attack("a consent is used again after its member has left")
def _(swarm: Swarm):
    call = swarm.admit_call(10)
    swarm.enact(call)
    swarm.enact(removal(swarm, 4))
    policy = swarm.change(Kind.ADMIT).policy
    return 0, replace(call, change=replace(call.change, policy=policy)), "AccountUsed"


@attack("an account that was rotated away comes back with all its old secrets")
def _(swarm: Swarm):
    swarm.enact(swarm.rotate_call(1, 10))
    return 0, swarm.rotate_call(1, 1, encryption_key=digest("fresh")), "AccountUsed"


@attack("a member takes a second seat")
def _(swarm: Swarm):
    return 0, swarm.admit_call(0, card={"encryption_key": digest("second")}), "AccountUsed"


@attack("an applicant pins another member's encryption key, to be sent its shares")
def _(swarm: Swarm):
    return 0, swarm.admit_call(10, card={"encryption_key": digest("encryption", 2)}), "KeyUsed"


@attack("the key that was rotated away still signs")
def _(swarm: Swarm):
    swarm.enact(swarm.rotate_call(1, 10))
    return 1, AbstainCall(round=1), "NotAMember"


# --- seats ------------------------------------------------------------------------------------


def replaced(swarm: Swarm, seat: int = 3, key: int = 10) -> None:
    """Somebody else takes a seat."""
    swarm.enact(removal(swarm, seat))
    swarm.enact(swarm.admit_call(key))
    assert swarm.view.members[seat].account == swarm.keys[key].address


@attack("a removed member acts from the seat that is another's now")
def _(swarm: Swarm):
    replaced(swarm)
    return 3, AbstainCall(round=1), "NotAMember"


@attack("a removed member has abstained for whoever gets its seat")
def _(swarm: Swarm):
    swarm.abstain(3, 1)
    replaced(swarm)
    swarm.seal(10, 1)
    assert [seal.member for seal in swarm.view.current.seals] == [3]
    assert swarm.view.current.abstained == ()


@attack("a removed member's vote counts on for its seat")
def _(swarm: Swarm):
    swarm.ledgers[3].submit(ProposeCall(change=swarm.change(Kind.SUSPEND, 0)))
    replaced(swarm)
    return 10, vote(1), "StaleProposal"


@attack("a removed member's signature stands for its seat in a certificate")
def _(swarm: Swarm):
    replaced(swarm)
    swarm.seal_all(1, 0, 1, 2, 10)
    view = swarm.view
    signers = sorted({*swarm.officers(view), 3})
    call = swarm.certify_call(swarm.certificate(view), signers)  # key 3 signs for seat 3
    name = "BadSignature" if 3 in swarm.officers(view) else "NoOffice"
    return 0, call, name


@attack("a certificate of a round comes after a member of it was removed")
def _(swarm: Swarm):
    call = drawn(swarm)
    swarm.enact(removal(swarm, 3))
    return 0, call, "NotMerging"


@attack("the seals of a round with a removed member are certified without it")
def _(swarm: Swarm):
    view = swarm.seal_all(1)
    call = swarm.certify_call(swarm.certificate(view, included=(0, 1, 2)), swarm.officers(view))

    swarm.enact(removal(swarm, 3), 0, 1)
    events = told(swarm, 2, vote(1))
    assert ("RoundVoided", {"round": 1, "reason": 3}) in events
    return 0, call, "NotMerging"


@attack("a new member vouches for a model in its predecessor's place")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, witnesses=1))
    committee = swarm.whole_round(1).current.committee
    seat = committee[0]
    replaced(swarm, seat, 10)
    others = [i for i in range(4) if i != seat]
    swarm.seal_all(2, *others)
    swarm.seal(10, 2, verified=True)  # the only one to vouch
    assert swarm.view.current.phase is Phase.VOID


@attack("a new member is spared its turn because its predecessor has led")
def _(swarm: Swarm):
    leader = swarm.whole_round(1).current.leader
    replaced(swarm, leader, 10)
    keys = [10 if i == leader else i for i in range(4)]
    leaders = set()
    for number in (2, 3, 4, 5):
        view = swarm.seal_all(number, *keys)
        leaders.add(view.current.leader)
        call = swarm.certify_call(swarm.certificate(view), [])
        signed = tuple(
            (seat, swarm.signature(keys[seat], call.certificate)) for seat in swarm.officers(view)
        )
        swarm.ledgers[keys[0]].submit(replace(call, signatures=signed))
        if leader in leaders:
            break
    assert leader in leaders


# --- budgets ----------------------------------------------------------------------------------


@attack("a member reports less epsilon than it has spent")
def _(swarm: Swarm):
    swarm.whole_round(1, epsilon=50)
    return 0, swarm.seal_call(0, 2, epsilon=49), "EpsilonDecreased"


@attack("a member that has spent its budget seals on")
def _(swarm: Swarm):
    return 0, swarm.seal_call(0, 1, epsilon=101), "BudgetExceeded"


@attack("a member forgets what it has spent by changing its keys")
def _(swarm: Swarm):
    swarm.whole_round(1, epsilon=50)
    swarm.enact(swarm.rotate_call(0, 10, epsilon=0))
    assert swarm.view.members[0].epsilon == 50
    return 10, swarm.seal_call(10, 2, epsilon=0), "EpsilonDecreased"


@attack("a member spends in time what a lower cap, passed during the round, would forbid")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.enact(swarm.change(Kind.POLICY, epsilon_cap=40))
    return 1, swarm.seal_call(1, 1, epsilon=41), "BudgetExceeded"


@attack("a member overspends in a round that it is too late for")
def _(swarm: Swarm):
    swarm.whole_round(1)
    swarm.seal_all(2, 0, 1, 2)
    swarm.chain.advance_clock(601)
    return 3, LateCall(round=2, epsilon=101), "BudgetExceeded"


@attack("the cap is voted below what somebody has spent")
def _(swarm: Swarm):
    swarm.whole_round(1, epsilon=50)
    change = swarm.change(Kind.POLICY, epsilon_cap=49)
    return 0, ProposeCall(change=change), "CapBelowSpent"


@pytest.fixture(scope="module")
def founded(module_chain: EmbeddedChain) -> Swarm:
    return four(module_chain)


@pytest.mark.parametrize("story", attack)
def test_attack(founded: Swarm, chain: EmbeddedChain, story: str) -> None:
    repelled(founded.again(), attack[story])
