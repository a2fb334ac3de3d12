"""`contributions`: what rounds and votes left on the chain, counted; the same from a kept file."""

from commands_support import PASSWORD

from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.chain.signing import sign_certificate
from flwr_swarm.keystore import Keystore
from flwr_swarm.protocol.ledger import AbstainCall, CertifyCall, SealCall
from flwr_swarm.protocol.types import Certificate, Phase


def opened(desk, name):
    keys = Keystore.open(desk.at(name), PASSWORD)
    return keys, ChainLedger(
        url=desk.environment["FLWR_SWARM_URL"],
        contract=desk.environment["FLWR_SWARM_CONTRACT"],
        key=keys.account_key,
    )


def play_round(desk, names, absent=()):
    """One round in which all but `absent` seal, and the committee certifies all of them."""
    at = {name: opened(desk, name) for name in names}
    view = at[names[0]][1].view()
    number = view.current.number + 1
    for name, (keys, ledger) in at.items():
        view = ledger.view()
        mine = view.member_at(keys.account)
        if name in absent:
            ledger.submit(AbstainCall(round=number))
            continue
        ledger.submit(
            SealCall(
                round=number,
                parent=bytes([number]) * 32,
                payload_hash=keys.encryption_key,
                shares_hash=b"\2" * 32,
                reveal=keys.secret(view.chain_id, view.contract, mine.reveals),
                commitment=keys.commitment(view.chain_id, view.contract, mine.reveals + 1),
                epsilon=mine.epsilon + 500_000,
                verified=True,
            )
        )
    view = ledger.view()
    assert view.current.phase is Phase.MERGING
    certificate = Certificate(
        round=number,
        view=0,
        included=tuple(seal.member for seal in view.current.seals),
        aggregate_hash=b"\7" * 32,
    )
    signatures = tuple(
        sorted(
            (
                member.index,
                sign_certificate(keys.account_key, view.chain_id, view.contract, certificate),
            )
            for keys, _ in at.values()
            if (member := view.member_at(keys.account)).index in view.current.committee
        )
    )
    ledger.submit(CertifyCall(certificate=certificate, signatures=signatures))
    return view.current.leader


def test_contributions_are_what_happened(founded):
    leaders = [play_round(founded, "abcd")]
    founded.run("contributions", "--db", founded.at("events.sqlite"))  # and again, below
    leaders.append(play_round(founded, "abcd", absent="c"))
    one = founded.vote("a", "--remove", "3")["id"]
    for name in "bc":
        founded.vote(name, "--proposal", one)

    fresh = founded.json("contributions")
    assert founded.json("contributions", "--db", founded.at("events.sqlite")) == fresh
    counted = {each["seat"]: each for each in fresh["members"]}
    keys = {name: founded.keys(name) for name in "abcd"}
    assert [counted[i]["account"] for i in range(4)] == [keys[n].account for n in "abcd"]
    assert [counted[i]["sealed"] for i in range(4)] == [2, 2, 1, 2]
    assert [counted[i]["included"] for i in range(4)] == [2, 2, 1, 2]
    assert [counted[i]["abstained"] for i in range(4)] == [0, 0, 1, 0]
    assert [counted[i]["epsilon"] for i in range(4)] == [1_000_000, 1_000_000, 500_000, 1_000_000]
    assert [counted[i]["led"] for i in range(4)] == [leaders.count(i) for i in range(4)]
    assert [counted[i]["witnessed"] for i in range(4)] == [1, 1, 0, 1]  # of round 1, in round 2
    assert [counted[i]["status"] for i in range(4)] == ["seated"] * 3 + ["removed"]

    shown = founded.run("contributions").stdout
    assert max(map(len, shown.splitlines())) <= 100
    for each in counted.values():
        assert each["account"][:6] in shown


def test_the_file_is_of_one_swarm(founded, desk):
    founded.run("contributions", "--db", founded.at("events.sqlite"))
    other = founded.environment | {"FLWR_SWARM_CONTRACT": "0x" + "12" * 20}
    error = founded.refused("contributions", "--db", founded.at("events.sqlite"), environment=other)
    assert error["error"] == "NoContract"
