"""`chain besu`: a new chain from enodes or cards, node lists from a swarm's registry."""

import json
import tomllib

import rlp
from commands_support import applied, found
from eth_keys import keys as eth_keys


def enode(number, port=30303):
    public = eth_keys.PrivateKey(number.to_bytes(32, "big")).public_key
    return f"enode://{public.to_bytes().hex()}@10.0.0.{number}:{port}"


def address(number):
    return eth_keys.PrivateKey(number.to_bytes(32, "big")).public_key.to_checksum_address()


def given(numbers):
    return [word for number in numbers for word in ("--enode", enode(number))]


def test_a_new_chain_of_four_organisations(desk):
    out = desk.at("besu")
    made = desk.json("chain", "besu", "--out", out, *given(range(1, 5)), "--chain-id", "4242")
    assert (made["chain_id"], made["validators"], made["tolerated"]) == (4242, 4, 1)
    genesis = json.loads((out / "genesis.json").read_text())
    validators = rlp.decode(bytes.fromhex(genesis["extraData"][2:]))[1]
    expected = sorted(address(n).lower() for n in range(1, 5))
    assert ["0x" + v.hex() for v in validators] == expected
    assert genesis["config"]["chainId"] == 4242
    listed = json.loads((out / "static-nodes.json").read_text())
    assert sorted(listed) == sorted(enode(n) for n in range(1, 5))
    allowed = tomllib.loads((out / "permissions_config.toml").read_text())
    assert allowed == {"nodes-allowlist": listed}


def test_a_chain_id_is_drawn_where_none_is_given(desk):
    made = [
        desk.json("chain", "besu", "--out", desk.at(name), *given(range(1, 5)))["chain_id"]
        for name in "xy"
    ]
    assert made[0] != made[1]


def test_three_organisations_are_too_few_unless_one_says_so(desk):
    few = ("chain", "besu", "--out", desk.at("few"), *given(range(1, 4)))
    assert "got 3" in desk.refused(*few)["message"]
    assert not desk.at("few").exists()
    desk.run(*few, "--allow-few")


def test_what_is_there_is_not_overwritten(desk):
    arguments = ("chain", "besu", "--out", desk.at("x"), *given(range(1, 5)))
    desk.run(*arguments, "--chain-id", "5")
    assert "new folder" in desk.refused(*arguments, "--chain-id", "6")["message"]
    assert json.loads((desk.at("x") / "genesis.json").read_text())["config"]["chainId"] == 5


def test_neither_nodes_nor_a_swarm_is_an_error(desk):
    error = desk.refused("chain", "besu", "--out", desk.at("x"))
    assert "--enode" in error["message"]


def test_lists_come_from_the_registry_of_a_swarm(desk):
    names = ["a", "b", "c", "d", "e"]
    nodes = {name: ("--endpoint", enode(i)) for i, name in enumerate(names[:4], start=1)}
    applied(desk, names, **nodes)
    found(desk, names)
    out = desk.at("lists")
    result = desk.run("chain", "besu", "--out", out)
    assert "seat 4 names no enode" in result.stderr
    assert not (out / "genesis.json").exists()  # a chain that runs keeps its own
    listed = json.loads((out / "static-nodes.json").read_text())
    assert sorted(listed) == sorted(enode(n) for n in range(1, 5))
    allowed = tomllib.loads((out / "permissions_config.toml").read_text())
    assert allowed["nodes-allowlist"] == listed
    assert sorted(allowed["accounts-allowlist"]) == sorted(
        desk.keys(name).account.lower() for name in names
    )


def test_validators_can_come_from_applications_that_were_signed_offline(desk):
    cards = []
    for number in range(1, 5):
        name = str(number)
        desk.run("member", "keygen", "--dir", desk.at(name))
        card = desk.at(f"{name}.json")
        desk.run(
            *("member", "apply", "--keys", desk.at(name), "--contract", "0x" + "12" * 20),
            *("--chain-id", "4242", "--endpoint", enode(number), "--out", card),
            environment={"FLWR_SWARM_URL": ""},
        )
        cards += ["--card", card]
    made = desk.json("chain", "besu", "--out", desk.at("x"), *cards, "--chain-id", "4242")
    assert made["validators"] == 4
    wrong = desk.refused("chain", "besu", "--out", desk.at("y"), *cards, "--chain-id", "9")
    assert "--chain-id 4242" in wrong["message"]


def test_an_endpoint_that_is_no_enode_is_refused_when_one_applies(desk):
    desk.run("member", "keygen", "--dir", desk.at("a"))
    error = desk.refused(
        "member",
        "apply",
        "--keys",
        desk.at("a"),
        "--contract",
        "0x" + "12" * 20,
        "--endpoint",
        "http://10.0.0.1:8545",
        "--out",
        desk.at("a.json"),
    )
    assert "no enode URL" in error["message"]
