"""A consortium's life through its commands: found, apply, vote, admit, rotate, remove."""

import json

import pytest
from commands_support import PASSWORD, applied, found

from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.keystore import Keystore
from flwr_swarm.protocol.ledger import AbstainCall, SealCall
from flwr_swarm.protocol.terms import Terms

NAMES = ["a", "b", "c", "d"]


def members(desk):
    return {m["seat"]: m for m in desk.json("member", "list")["members"]}


def status(desk, *arguments):
    return desk.json("consortium", "status", *arguments)


def test_founding_gives_each_card_its_seat(desk):
    due = applied(desk, NAMES, b=("--weight-class", "11", "--epsilon", "0.25"))
    made = found(desk, NAMES, "--policy", "epsilon_cap=8", "--policy", "fixed_leader=none")
    assert made["contract"] == due
    seats = members(desk)
    assert [seats[i]["account"] for i in range(4)] == [desk.keys(name).account for name in NAMES]
    assert [seats[i]["encryption_key"] for i in range(4)] == [
        "0x" + desk.keys(name).encryption_key.hex() for name in NAMES
    ]
    assert (seats[1]["weight_class"], seats[1]["epsilon"]) == (11, 250_000)
    found_status = status(desk, "--document", desk.at("consortium.json"))
    assert found_status["policy"] == made["policy"]
    assert found_status["policy"]["epsilon_cap"] == 8_000_000
    assert (found_status["epoch"], found_status["required_votes"]) == (1, 3)


def test_members_can_seal_with_what_was_founded(founded):
    """The commitments that cards carry are those that the contract's reveals must open."""
    environment = founded.environment
    for name in NAMES:
        keys = founded.keys(name)
        ledger = ChainLedger(
            url=environment["FLWR_SWARM_URL"],
            contract=environment["FLWR_SWARM_CONTRACT"],
            key=keys.account_key,
        )
        chain_id, contract = ledger.view().chain_id, ledger.contract
        ledger.submit(
            SealCall(
                round=1,
                parent=b"\1" * 32,
                payload_hash=keys.encryption_key,
                shares_hash=b"\2" * 32,
                reveal=keys.secret(chain_id, contract, 0),
                commitment=keys.commitment(chain_id, contract, 1),
                epsilon=0,
                verified=False,
            )
        )
    now = status(founded)["round"]
    assert (now["phase"], now["sealed"]) == ("merging", [0, 1, 2, 3])


def test_a_fifth_is_admitted_by_two_thirds_and_one(founded):
    founded.run("member", "keygen", "--dir", founded.at("e"))
    card = founded.at("e.json")
    founded.run("member", "apply", "--keys", founded.at("e"), "--out", card)
    first = founded.vote("a", "--admit", card)
    assert (first["status"], first["supporters"], first["required"]) == ("open", [0], 3)
    # 2t > n + f: for five members t = 3 would not do, and everyone is still waited for.
    assert (first["change"]["policy"]["threshold"], first["change"]["policy"]["close_at"]) == (4, 5)
    assert founded.vote("b", "--proposal", first["id"])["status"] == "open"
    assert len(members(founded)) == 4
    assert founded.vote("c", "--proposal", first["id"])["status"] == "enacted"
    seats = members(founded)
    assert seats[4]["account"] == founded.keys("e").account
    assert (status(founded)["epoch"], status(founded)["proposals"]) == (2, [])
    late = founded.refused(
        "member", "vote", "--keys", founded.at("d"), "--proposal", first["id"], "--yes"
    )
    assert (late["error"], late["reason"]) == ("TransactionRefused", "StaleProposal")


def test_votes_against_reject(founded):
    one = founded.vote("a", "--policy", "max_misses=9")["id"]
    founded.vote("b", "--proposal", one, "--against")
    assert founded.vote("c", "--proposal", one, "--against")["status"] == "rejected"
    assert status(founded)["policy"]["max_misses"] == 3


def test_suspension_and_the_way_back(founded):
    one = founded.vote("a", "--suspend", "3")["id"]
    founded.vote("b", "--proposal", one)
    founded.vote("d", "--proposal", one)  # suspended members vote too, even on themselves
    assert members(founded)[3]["suspended"]
    two = founded.vote("d", "--reinstate", "3")["id"]
    founded.vote("a", "--proposal", two)
    founded.vote("b", "--proposal", two)
    assert not members(founded)[3]["suspended"]


def test_rotation_keeps_the_old_keys_until_the_vote_is_over(founded):
    old = founded.keys("b")
    out = founded.at("rotated.json")
    one = founded.json(
        "member", "rotate", "--keys", founded.at("b"), "--out", out, "--yes"
    )  # b proposes with its old account
    assert members(founded)[1]["account"] == old.account
    # Still with the old keys, although newer ones are in the folder.
    assert founded.vote("b", "--policy", "vote_seconds=99999")["proposer"] == 1
    again = founded.vote("b", "--rotate", out)  # which withdrew the rotation; propose it again
    assert again["change"] == one["change"]
    for name in ("a", "c"):
        last = founded.vote(name, "--proposal", again["id"])
    assert last["status"] == "enacted"
    new = founded.keys("b")
    assert members(founded)[1]["account"] == new.account != old.account
    assert members(founded)[1]["encryption_key"] == "0x" + new.encryption_key.hex()
    assert founded.vote("b", "--suspend", "3")["proposer"] == 1  # with the new account
    assert Keystore.open(founded.at("b"), PASSWORD, account=old.account) == old


def test_rotation_of_the_encryption_key_alone(founded):
    before = members(founded)[2]
    one = founded.json(
        "member",
        "rotate",
        "--keys",
        founded.at("c"),
        "--keep-account",
        "--out",
        founded.at("r.json"),
        "--yes",
    )
    for name in ("a", "b"):
        founded.vote(name, "--proposal", one["id"])
    after = members(founded)[2]
    assert after["account"] == before["account"]
    assert after["encryption_key"] == "0x" + founded.keys("c").encryption_key.hex()
    assert after["encryption_key"] != before["encryption_key"]


def test_a_removal_brings_the_policy_that_fits_who_stays(founded):
    for name in ("e", "f", "g"):
        founded.run("member", "keygen", "--dir", founded.at(name))
        card = founded.at(f"{name}.json")
        founded.run("member", "apply", "--keys", founded.at(name), "--out", card)
        one = founded.vote("a", "--admit", card)
        for voter in ["b", "c", "d", "e", "f"]:
            if one["status"] == "open":
                one = founded.vote(voter, "--proposal", one["id"])
    assert status(founded)["policy"]["threshold"] == 5  # n = 7, f = 2
    one = founded.vote("g", "--remove", "0", "--policy", "seal_seconds=900")
    for voter in ["b", "c", "d", "e"]:
        one = founded.vote(voter, "--proposal", one["id"])
    assert one["status"] == "enacted"
    now = status(founded)
    assert [m["seat"] for m in now["members"]] == [1, 2, 3, 4, 5, 6]
    assert {k: now["policy"][k] for k in ("threshold", "min_included", "close_at")} == {
        "threshold": 4,
        "min_included": 4,
        "close_at": 6,
    }
    assert now["policy"]["seal_seconds"] == 900
    gone = founded.refused("member", "vote", "--keys", founded.at("a"), "--suspend", "1", "--yes")
    assert gone["error"] == "NotAMember"


def test_what_will_change_is_shown_before_it_is_asked(founded):
    founded.run("member", "keygen", "--dir", founded.at("e"))
    card = founded.at("e.json")
    founded.run("member", "apply", "--keys", founded.at("e"), "--out", card)
    arguments = ("member", "vote", "--keys", founded.at("a"), "--admit", card)
    for answer in ("n\n", ""):
        result = founded.run(*arguments, code=1, input=answer)
        shown, asked = result.stderr.split("Propose this", 1)
        assert founded.keys("e").account in shown
        assert "3 -> 4" in shown
        assert "nothing was sent" in asked
    assert status(founded)["proposals"] == []
    assert "status" in founded.run(*arguments, input="y\n").stdout
    assert len(status(founded)["proposals"]) == 1


def test_a_removal_says_what_it_does_to_a_running_round(founded):
    ledger = ChainLedger(
        url=founded.environment["FLWR_SWARM_URL"],
        contract=founded.environment["FLWR_SWARM_CONTRACT"],
        key=founded.keys("a").account_key,
    )
    keys, view = founded.keys("a"), ledger.view()
    ledger.submit(
        SealCall(
            round=1,
            parent=b"\1" * 32,
            payload_hash=b"\3" * 32,
            shares_hash=b"\2" * 32,
            reveal=keys.secret(view.chain_id, ledger.contract, 0),
            commitment=keys.commitment(view.chain_id, ledger.contract, 1),
            epsilon=0,
            verified=False,
        )
    )
    result = founded.run("member", "vote", "--keys", founded.at("b"), "--remove", "3", "--yes")
    assert "round 1 becomes void at once" in result.stderr
    result = founded.run(
        "member", "vote", "--keys", founded.at("c"), "--policy", "max_misses=7", "--yes"
    )
    assert "when round 1 ends" in result.stderr
    for name in ("a", "b"):
        last = founded.vote(name, "--proposal", "2")
    assert last["status"] == "pending"
    assert [p["status"] for p in status(founded)["proposals"]] == ["open", "pending"]
    assert status(founded)["pending"] == 2
    held = founded.refused("member", "vote", "--keys", founded.at("d"), "--suspend", "1", "--yes")
    assert held["reason"] == "ChangePending"
    for name in ("b", "c", "d"):
        other = founded.keys(name)
        ChainLedger(
            url=founded.environment["FLWR_SWARM_URL"],
            contract=ledger.contract,
            key=other.account_key,
        ).submit(AbstainCall(round=1))
    assert status(founded)["policy"]["max_misses"] == 7


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "one change at a time"),
        (("--remove", "1", "--suspend", "2"), "one change at a time"),
        (("--remove", "9"), "nobody has seat 9"),
        (("--policy", "threshold=2"), "from 3 to 4"),
        (("--policy", "threshold"), "key=value"),
        (("--policy", "colour=red"), "key=value"),
        (("--policy", "threshold=3", "--policy", "threshold=4"), "set twice"),
        (("--policy", "threshold=3"), "nothing to propose"),
        (("--policy", "epsilon_cap=-1"), "epsilon_cap"),
        (("--policy", "relaying=maybe"), "true or false"),
        (("--policy", "min_members=5"), "min_members=5"),
        (("--proposal", "1"), "there is no proposal 1"),
        (("--proposal", "1", "--policy", "threshold=3"), "voted on as it is"),
        (("--suspend", "1", "--against"), "--against"),
        (("--reinstate", "1"), "NotSuspended"),
        (("--admit", "missing.json"), "missing.json"),
    ],
)
def test_a_vote_that_makes_no_sense_is_refused_in_words(founded, arguments, named):
    error = founded.refused("member", "vote", "--keys", founded.at("a"), *arguments, "--yes")
    assert named in error["message"]
    assert status(founded)["proposals"] == []


def test_nobody_applies_twice_and_no_file_is_overwritten(founded):
    twice = founded.refused(
        "member", "apply", "--keys", founded.at("a"), "--out", founded.at("again.json")
    )
    assert "seat 0 already" in twice["message"]
    before = founded.at("a.json").read_bytes()
    founded.run("member", "keygen", "--dir", founded.at("e"))
    kept = founded.refused(
        "member", "apply", "--keys", founded.at("e"), "--out", founded.at("a.json")
    )
    assert "choose another name" in kept["message"]
    assert founded.at("a.json").read_bytes() == before
    assert founded.refused("member", "keygen", "--dir", founded.at("a"))["error"] == (
        "KeystoreExists"
    )


def test_a_rotation_that_is_declined_makes_no_keys(founded):
    arguments = ("member", "rotate", "--keys", founded.at("a"), "--out", founded.at("r.json"))
    founded.run(*arguments, code=1, input="n\n")
    assert len(Keystore(founded.at("a")).generations) == 1
    assert not founded.at("r.json").exists()
    founded.at("r.json").write_text("mine")
    founded.refused(*arguments, "--yes")
    assert len(Keystore(founded.at("a")).generations) == 1


def test_tables_fit_in_a_hundred_columns(founded):
    founded.vote("a", "--suspend", "3")
    for command in (("member", "list"), ("consortium", "status")):
        lines = founded.run(*command).stdout.splitlines()
        assert max(map(len, lines)) <= 100
        assert any(founded.keys("d").account in line for line in lines)  # nothing is cut off


def test_json_is_one_object_on_stdout(founded):
    for command in (("member", "list"), ("consortium", "status")):
        assert isinstance(json.loads(founded.run(*command, "--json").stdout), dict)


def test_a_card_that_cannot_be_written_costs_no_keys(founded):
    before = len(Keystore(founded.at("b")).generations)
    taken = founded.at("taken.json")
    taken.write_text("mine")
    for out in (founded.at("missing") / "x.json", taken):
        error = founded.refused(
            "member", "rotate", "--keys", founded.at("b"), "--out", out, "--yes"
        )
        assert str(out) in error["message"]
    assert len(Keystore(founded.at("b")).generations) == before
    assert taken.read_text() == "mine"


@pytest.mark.parametrize("setting", ["min_included=1", "min_included=2"])
def test_a_policy_that_every_site_would_refuse_is_not_proposed(founded, setting):
    asked = ("member", "vote", "--keys", founded.at("a"), "--policy", setting, "--yes")
    error = founded.refused(*asked)
    assert setting.partition("=")[0] in error["message"]
    assert "every site would refuse to train" in error["message"]
    assert status(founded)["proposals"] == []


def test_terms_decide_what_sites_would_refuse(founded):
    """Terms are known by their default or by a file; of others only the hash is on the chain."""
    plain, other = founded.at("plain.json"), founded.at("other.json")
    plain.write_text(json.dumps(Terms(encryption="none", members=5).to_json()))
    other.write_text(json.dumps(Terms(encryption="threshold", members=5).to_json()))
    vote = ("member", "vote", "--keys", founded.at("a"), "--yes", "--policy", "min_included=1")
    taken = founded.run(*vote, "--policy", f"terms={plain}")
    assert "warning" not in taken.stderr
    refused = founded.refused(*vote, "--policy", f"terms={other}")
    assert "min_included" in refused["message"]
    warned = founded.run(*vote, "--policy", "terms=0x" + "11" * 32)
    assert "warning: if the swarm's terms encrypt, every site will refuse" in warned.stderr
    assert len(status(founded)["proposals"]) == 1  # the newer replaced the older
