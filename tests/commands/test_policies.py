"""Policies that commands propose are ones that the contract takes and that protect members."""

import json
from dataclasses import replace

import pytest
from commands_support import applied, found
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError, WireError
from flwr_swarm.chain.founding import check_policy
from flwr_swarm.commands import policies
from flwr_swarm.commands.plan import Plan
from flwr_swarm.protocol.quorum import check_protects, tolerated_faults
from flwr_swarm.protocol.types import NO_CAP

sizes = st.integers(3, 64)
seats = st.sets(st.integers(0, 63), min_size=4, max_size=63)


def default(n):
    return policies.default_policy(n, policies.default_terms(n))


@given(sizes)
def test_the_default_is_taken_and_protects(n):
    policy = default(n)
    check_policy(policy, range(n))
    check_protects(policy, n)
    assert policy.witnesses == tolerated_faults(min(n, 7)) + 1
    assert (policy.max_misses, policy.relaying) == (3, False)
    terms = policies.default_terms(n)
    assert terms.members >= n
    assert policy.terms == terms.hash()


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_members_found_no_encrypted_swarm(n):
    with pytest.raises(ConfigurationError, match="at least 3"):
        default(n)


@given(before=seats, data=st.data())
def test_a_change_of_members_brings_a_policy_that_rules_them(before, data):
    if data.draw(st.booleans()):
        after = before | {next(i for i in range(64) if i not in before)}
    else:
        after = before - {data.draw(st.sampled_from(sorted(before)))}
    n = len(before)
    least = (n + tolerated_faults(n)) // 2 + 1
    start = replace(
        default(n),
        threshold=data.draw(st.integers(least, n)),
        min_included=(low := data.draw(st.integers(3, n))),
        witnesses=data.draw(st.integers(0, n)),
        close_at=data.draw(st.integers(low, 64)),
        fixed_leader=data.draw(st.none() | st.sampled_from(sorted(before))),
        max_committee=(most := data.draw(st.integers(1, 7))),
        quorum=data.draw(st.integers(0, most)),
    )
    check_policy(start, before)
    made, words = policies.adapted(start, before, after)
    check_policy(made, after)
    check_protects(made, len(after))
    assert (made == start) == (not words)
    untouched = {"threshold", "min_included", "witnesses", "quorum", "close_at", "fixed_leader"}
    assert all(
        getattr(made, name) == getattr(start, name)
        for name in policies.NAMES
        if name not in untouched
    )


@given(sizes.filter(lambda n: n < 64))
def test_defaults_stay_defaults(n):
    grown, _ = policies.adapted(default(n), range(n), range(n + 1))
    expected = default(n + 1)
    for name in ("threshold", "min_included", "witnesses", "quorum", "close_at"):
        assert getattr(grown, name) == getattr(expected, name)


def test_what_stops_a_removal_does_not_move():
    strict = replace(default(4), min_members=4)
    made, _ = policies.adapted(strict, range(4), range(3))
    with pytest.raises(ConfigurationError, match="min_members=4"):
        policies.check(made, range(3))


@given(sizes, st.data())
def test_settings_are_shown_as_they_are_typed(n, data):
    policy = replace(
        default(n),
        epsilon_cap=data.draw(st.just(NO_CAP) | st.integers(1, 100).map(lambda e: e * 1_000_000)),
        fixed_leader=data.draw(st.none() | st.integers(0, n - 1)),
        relaying=data.draw(st.booleans()),
    )
    typed = [f"{name}={policies.shown(policy, name)}" for name in policies.NAMES]
    assert policies.adjusted(default(3), typed) == policy


@pytest.mark.parametrize(
    "setting",
    [
        "threshold=256",
        "threshold=-1",
        "threshold=1.5",
        "threshold=٣",
        "seal_seconds=4294967296",
        "fixed_leader=255",
        "epsilon_cap=0",
        "epsilon_cap=nan",
        "epsilon_cap=1e300",
        "terms=0x12",
        "terms=no-such-file",
        "=3",
        "threshold",
    ],
)
def test_a_setting_that_does_not_fit_is_refused(setting):
    with pytest.raises(ConfigurationError):
        policies.adjusted(default(4), [setting])


def test_a_document_is_the_swarm_or_it_is_refused(desk):
    names = ["a", "b", "c", "d"]
    applied(desk, names)
    found(desk, names, "--dry-run")
    assert desk.refused("consortium", "status")["error"] == "NoContract"  # nothing was founded
    file = desk.at("consortium.json")
    plan = json.loads(file.read_text())
    desk.run("chain", "deploy", "--genesis", file, "--keys", desk.at("a"), "--yes")
    desk.run("consortium", "status", "--document", file)

    for change, named in (
        (lambda p: p["policy"].update(max_misses=9), "max_misses 9 -> 3"),
        (lambda p: p["applications"].reverse(), "not those of the document"),
        (lambda p: p.update(chain_id=5), "document is for"),
        (lambda p: p["code"].update(swarm="0x" + "00" * 32), "install the version"),
    ):
        other = json.loads(json.dumps(plan))
        change(other)
        path = desk.at("other.json")
        path.write_text(json.dumps(other))
        error = desk.refused("consortium", "status", "--document", path)
        assert error["error"] == "WrongChain"
        assert named in error["message"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p["policy"].update(threshold=2), "threshold=2"),
        (lambda p: p["policy"].update(terms="0x" + "11" * 32), "terms"),
        (lambda p: p["applications"].__delitem__(slice(1, None)), "does not fit 1 members"),
        (lambda p: p["applications"].__setitem__(1, p["applications"][0]), "AccountUsed"),
        (lambda p: p["applications"][1]["card"].update(epsilon=1), "is signed by"),
        (lambda p: p["applications"][1].update(seat=1), "is signed by"),
        (lambda p: p.update(contract=p["founder"]), "would now create"),
        (lambda p: p.update(founder=p["contract"]), "would now create"),
        (lambda p: p.update(note="x"), "has the fields"),
        (lambda p: p["policy"].update(relaying=1), "relaying"),
        (lambda p: p["terms"].update(clip=1.0), "terms"),
    ],
)
def test_a_plan_that_was_tampered_with_founds_nothing(desk, change, named):
    names = ["a", "b", "c", "d"]
    applied(desk, names)
    found(desk, names, "--dry-run")
    file = desk.at("consortium.json")
    plan = json.loads(file.read_text())
    change(plan)
    file.write_text(json.dumps(plan))
    error = desk.refused("chain", "deploy", "--genesis", file, "--keys", desk.at("a"), "--yes")
    assert named in error["message"]


def test_cards_for_an_address_that_is_gone_found_nothing(desk):
    """The founder's account sent a transaction in between, so its next contract is elsewhere."""
    names = ["a", "b", "c", "d"]
    applied(desk, names)
    found(desk, names)
    desk.at("consortium.json").unlink()
    cards = [word for name in names for word in ("--card", desk.at(f"{name}.json"))]
    error = desk.refused(
        "consortium",
        "found",
        "--keys",
        desk.at("a"),
        *cards,
        "--out",
        desk.at("again.json"),
        "--yes",
    )
    assert error["error"] == "WrongChain"
    assert not desk.at("again.json").exists()


def test_a_document_reads_back(desk):
    names = ["a", "b", "c", "d"]
    applied(desk, names)
    found(desk, names, "--policy", "epsilon_cap=8", "--dry-run")
    document = json.loads(desk.at("consortium.json").read_text())
    assert Plan.from_json(document).to_json() == document
    with pytest.raises(WireError):
        Plan.from_json([document])
