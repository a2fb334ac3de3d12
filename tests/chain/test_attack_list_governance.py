"""Attacks on votes and policies, and by making others miss. None succeeds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attack_support import Table, drawn, four, removal, repelled, told, vote
from chain_support import Swarm

from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.protocol.ledger import CloseCall, ProposeCall
from flwr_swarm.protocol.types import Kind, Phase, Status

attack = Table()


# --- votes ------------------------------------------------------------------------------------


@attack("a member votes twice")
def _(swarm: Swarm):
    swarm.ledgers[0].submit(removal(swarm, 3))
    return 0, vote(1), "AlreadyVoted"


@attack("a member votes for and against")
def _(swarm: Swarm):
    swarm.ledgers[0].submit(removal(swarm, 3))
    swarm.ledgers[1].submit(vote(1, support=False))
    return 1, vote(1), "AlreadyVoted"


@attack("half of the members remove one: two of four votes decide nothing")
def _(swarm: Swarm):
    swarm.enact(removal(swarm, 3), 0, 1)
    assert swarm.reader.proposal(1).status is Status.OPEN
    assert len(swarm.view.seated) == 4


@attack("votes of an earlier epoch are completed in a later one")
def _(swarm: Swarm):
    swarm.enact(removal(swarm, 3), 0, 1)
    swarm.enact(swarm.change(Kind.POLICY, max_misses=2), 1, 2, 3)
    return 2, vote(1), "StaleProposal"


@attack("a vote is completed after its time")
def _(swarm: Swarm):
    swarm.enact(removal(swarm, 3), 0, 1)
    swarm.chain.advance_clock(604_801)
    return 2, vote(1), "ProposalExpired"


@attack("a rejected proposal is revived by a late vote")
def _(swarm: Swarm):
    swarm.ledgers[0].submit(removal(swarm, 3))
    for i in (1, 2):
        swarm.ledgers[i].submit(vote(1, support=False))
    return 3, vote(1), "ProposalClosed"


@attack("a member swaps its proposal under the votes that it has got")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, max_misses=3), 0, 1)
    swarm.ledgers[0].submit(removal(swarm, 3))
    assert swarm.reader.proposal(2).supporters == (0,)
    return 2, vote(1), "ProposalClosed"


@attack("a member votes on a proposal that nobody made yet")
def _(swarm: Swarm):
    return 0, vote(1), "UnknownProposal"


@attack("a change is hurried through while another waits for the round's end")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.enact(swarm.change(Kind.POLICY, max_misses=2))
    return 3, removal(swarm, 0), "ChangePending"


@attack("rules change under a running round")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.enact(swarm.change(Kind.POLICY, close_at=2, min_included=1))
    assert swarm.view.policy == swarm.policy
    swarm.seal(1, 1)
    assert swarm.view.current.phase is Phase.SEALING  # two would have closed it
    swarm.seal(2, 1)
    swarm.seal(3, 1)
    assert swarm.certify().policy.close_at == 2


@attack("a policy lets so few open a sum that no honest holder need be among them")
def _(swarm: Swarm):
    change = swarm.change(Kind.POLICY, threshold=2)
    return 0, ProposeCall(change=change), "ThresholdOutOfRange"


@attack("a policy asks for a committee of nobody")
def _(swarm: Swarm):
    return (
        0,
        ProposeCall(change=swarm.change(Kind.POLICY, max_committee=0)),
        "CommitteeOutOfRange",
    )


@attack("members are removed below the number that they agreed on")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.POLICY, min_members=4))
    change = replace(swarm.change(Kind.REMOVE, 3), policy=swarm.view.policy)
    return 0, ProposeCall(change=change), "MemberCountOutOfRange"


@attack("suspended members lose their votes, so that the rest has two thirds")
def _(swarm: Swarm):
    swarm.enact(swarm.change(Kind.SUSPEND, 3))
    swarm.enact(swarm.change(Kind.SUSPEND, 2))
    swarm.enact(removal(swarm, 3), 0, 1)
    assert len(swarm.view.seated) == 4
    swarm.enact(swarm.change(Kind.REINSTATE, 3), 1, 2, 3)  # and the suspended vote it back
    assert not swarm.view.members[3].suspended


# --- mass suspension --------------------------------------------------------------------------


@attack("a member opens a round that nobody else hears of, to make them miss: it is its own miss")
def _(swarm: Swarm):
    swarm.seal(0, 1)
    swarm.chain.advance_clock(601)
    swarm.close(1)
    assert [m.misses for m in swarm.view.members] == [1, 0, 0, 0]
    assert [m.suspended for m in swarm.view.members] == [True, False, False, False]


@attack("half of the others are made to miss a deadline: at most f are suspended")
def _(swarm: Swarm):
    swarm.seal_all(1, 0, 1)
    swarm.chain.advance_clock(601)
    swarm.close(1)
    assert [m.absences for m in swarm.view.members] == [0, 0, 1, 1]
    assert [m.suspended for m in swarm.view.members] == [False, False, True, False]


@attack("leader after leader is made to fail: at most f are suspended")
def _(swarm: Swarm):
    drawn(swarm)
    for view in range(4):
        swarm.chain.advance_clock((60 << view) + 1)
        swarm.advance(1, view)
    assert swarm.view.current.phase is Phase.VOID
    assert sum(m.suspended for m in swarm.view.members) == 1


@attack("f members abstain to have an honest opener blamed")
def _(swarm: Swarm):
    swarm.seal(1, 1)
    swarm.abstain(0, 1)
    swarm.chain.advance_clock(601)
    events = [name for name, _ in told_close(swarm)]
    assert "RoundVoided" in events
    assert "OpenerBlamed" not in events


def told_close(swarm: Swarm):

    return told(swarm, 2, CloseCall(round=1))


@attack("members abstain ahead, to have whoever opens after them blamed")
def _(swarm: Swarm):
    for i in (0, 2, 3):
        swarm.abstain(i, 1)
    events = told(swarm, 1, swarm.seal_call(1, 1))
    assert [name for name, _ in events] == ["SealingOpened", "Sealed", "RoundVoided"]
    assert swarm.view.members[1].misses == 0


@pytest.fixture(scope="module")
def founded(module_chain: EmbeddedChain) -> Swarm:
    return four(module_chain)


@pytest.mark.parametrize("story", attack)
def test_attack(founded: Swarm, chain: EmbeddedChain, story: str) -> None:
    repelled(founded.again(), attack[story])
