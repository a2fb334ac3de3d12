"""A study is stopped and started again by vote, and what the members are asked is clear."""

import json

import pytest
from commands_support import applied, found

from flwr_swarm.chain.client import ReadOnlyLedger
from flwr_swarm.protocol.stopped import is_stopped, stopped_terms
from flwr_swarm.protocol.terms import Terms

OURS = Terms(encryption="threshold", members=16)
"""The terms that `consortium found` pins by default."""


def view(desk):
    where = desk.environment
    return ReadOnlyLedger(url=where["FLWR_SWARM_URL"], contract=where["FLWR_SWARM_CONTRACT"]).view()


def agreed(desk, *arguments, voters=("a", "b", "c")):
    """`arguments` proposed by the first voter, and voted for by the others."""
    first, *others = voters
    proposal = desk.vote(first, *arguments)
    for name in others:
        proposal = desk.vote(name, "--proposal", proposal["id"])
    return proposal


def test_two_thirds_and_one_stop_a_study_and_start_it_again(founded):
    before = view(founded).policy
    assert not is_stopped(view(founded), OURS)
    one = founded.vote("a", "--stop")
    assert one["change"]["policy"]["terms"] == "0x" + stopped_terms(OURS.hash()).hex()
    founded.vote("b", "--proposal", one["id"])
    assert not is_stopped(view(founded), OURS)  # two of four do not
    founded.vote("d", "--proposal", one["id"])
    assert is_stopped(view(founded), OURS)
    assert agreed(founded, "--restart")["status"] == "enacted"
    assert view(founded).policy == before  # and nothing else was changed on the way


def test_a_study_is_stopped_more_than_once_and_never_twice(founded):
    for _ in range(2):
        agreed(founded, "--stop")
        again = founded.refused("member", "vote", "--keys", founded.at("b"), "--stop", "--yes")
        assert "stopped already" in again["message"]
        agreed(founded, "--restart", voters=("d", "c", "b"))
        assert view(founded).policy.terms == OURS.hash()


def test_other_changes_leave_a_stopped_study_stopped(founded):
    agreed(founded, "--stop")
    agreed(founded, "--suspend", "3")
    agreed(founded, "--policy", "seal_seconds=900")
    assert is_stopped(view(founded), OURS)
    agreed(founded, "--restart")
    now = view(founded)
    assert (now.policy.terms, now.policy.seal_seconds) == (OURS.hash(), 900)


def test_terms_that_only_the_consortium_has_are_found_again(desk):
    """The chain holds hashes; the one that the study was stopped on is in its past."""
    names = ["a", "b", "c", "d"]
    custom = Terms(encryption="threshold", members=16, clip=0.125, max_weight=77.0)
    applied(desk, names)
    desk.at("terms.json").write_text(json.dumps(custom.to_json()))
    found(desk, names, "--terms", desk.at("terms.json"))
    agreed(desk, "--stop")
    agreed(desk, "--restart")
    assert view(desk).policy.terms == custom.hash()
    agreed(desk, "--stop")
    other = desk.refused(
        "member", "vote", "--keys", desk.at("a"), "--restart", "--policy",
        f"terms=0x{OURS.hash().hex()}", "--yes",
    )  # fmt: skip
    assert "was not stopped on the terms" in other["message"]
    agreed(desk, "--restart", "--policy", f"terms={desk.at('terms.json')}")
    assert view(desk).policy.terms == custom.hash()


def test_terms_that_were_voted_in_later_are_found_again_too(founded):
    later = Terms(encryption="threshold", members=16, clip=0.5)
    founded.at("later.json").write_text(json.dumps(later.to_json()))
    agreed(founded, "--policy", f"terms={founded.at('later.json')}")
    agreed(founded, "--stop")
    assert is_stopped(view(founded), later)
    agreed(founded, "--restart")
    assert view(founded).policy.terms == later.hash()


def test_voters_see_that_the_study_is_at_stake(founded):
    shown = founded.run("member", "vote", "--keys", founded.at("a"), "--stop", "--yes")
    assert "stop the study" in shown.stderr
    assert "every site refuses to train" in shown.stderr
    assert "stop the study" in shown.stdout
    assert "stop the study" in founded.run("consortium", "status").stdout
    asked = founded.run("member", "vote", "--keys", founded.at("b"), "--proposal", "1", "--yes")
    assert "every site refuses to train" in asked.stderr
    founded.vote("c", "--proposal", "1")
    again = founded.run("member", "vote", "--keys", founded.at("b"), "--restart", "--yes")
    assert "start the study again" in again.stdout
    assert "by the terms that it was stopped on" in again.stderr


def test_a_stop_can_be_declined(founded):
    founded.run("member", "vote", "--keys", founded.at("a"), "--stop", code=1, input="n\n")
    assert founded.json("consortium", "status")["proposals"] == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--restart",), "the study is not stopped"),
        (("--stop", "--restart"), "one change at a time"),
        (("--stop", "--remove", "1"), "one change at a time"),
        (("--stop", "--proposal", "1"), "one change at a time"),
        (("--stop", "--policy", "terms=0x" + "11" * 32), "set twice"),
        (("--restart", "--policy", "terms=0x" + "11" * 32), "was not stopped on the terms"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(founded, arguments, named):
    error = founded.refused("member", "vote", "--keys", founded.at("a"), *arguments, "--yes")
    assert named in error["message"]
    assert founded.json("consortium", "status")["proposals"] == []
