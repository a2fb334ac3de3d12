"""Files for Besu: extraData as Besu's documentation has it, and nothing malformed gets in."""

import json
import tomllib

import pytest
import rlp
from eth_keys import keys as eth_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.chain import besu
from flwr_swarm.chain.besu import Qbft, extra_data, genesis, permissions, static_nodes
from flwr_swarm.chain.enode import Enode

# besu.hyperledger.org, "Configure QBFT consensus": the example genesis file, and the example of
# `besu rlp encode --type=QBFT_EXTRA_DATA`.
DOCUMENTED = {
    "genesis file": (
        [
            "0x64a702e6263b7297a96638cac6ae65e6541f4169",
            "0x3923390ad55e90c237593b3b0e401f3b08a03185",
            "0xaefdb9a738c9f433e5b6b212a6d62f6370c2f692",
            "0xc7eeb9a4e00ce683cf93039b212648e01c6c6b78",
        ],
        "f87aa00000000000000000000000000000000000000000000000000000000000000000f8549464a702e6263b"
        "7297a96638cac6ae65e6541f4169943923390ad55e90c237593b3b0e401f3b08a0318594aefdb9a738c9f433"
        "e5b6b212a6d62f6370c2f69294c7eeb9a4e00ce683cf93039b212648e01c6c6b78c080c0",
    ),
    "rlp encode": (
        [
            "0x4592c8e45706cc08b8f44b11e43cba0cfc5892cb",
            "0x06e23768a0f59cf365e18c2e0c89e151bcdedc70",
            "0xc5327f96ee02d7bcbc1bf1236b8c15148971e1de",
            "0xab5e7f4061c605820d3744227eed91ff8e2c8908",
        ],
        "f87aa00000000000000000000000000000000000000000000000000000000000000000f854944592c8e45706"
        "cc08b8f44b11e43cba0cfc5892cb9406e23768a0f59cf365e18c2e0c89e151bcdedc7094c5327f96ee02d7bc"
        "bc1bf1236b8c15148971e1de94ab5e7f4061c605820d3744227eed91ff8e2c8908c080c0",
    ),
    "no validators": ([], "e5a0" + "00" * 32 + "c0c080c0"),
}
# The same documentation's account for testing: private key and address.
KNOWN_KEY = "8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63"
KNOWN_ADDRESS = "0xFE3B557E8Fb62b89F4916B721be55cEb828dBd73"

keys = st.binary(min_size=32, max_size=32).filter(
    lambda b: 0 < int.from_bytes(b, "big") < 2**256 - 2**32 * 2**97
)
addresses = st.binary(min_size=20, max_size=20).filter(any).map(lambda b: "0x" + b.hex())


def node(key, host="10.0.0.1", port=30303):
    public = eth_keys.PrivateKey(key).public_key
    return f"enode://{public.to_bytes().hex()}@{host}:{port}", public.to_checksum_address()


def nodes(count):
    return [Enode.parse(node(i.to_bytes(32, "big"), f"10.0.0.{i}")[0]) for i in range(1, count + 1)]


@pytest.mark.parametrize(("validators", "expected"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_extra_data_is_the_documentations(validators, expected):
    assert extra_data(validators).hex() == expected


@given(st.lists(addresses, max_size=40))
def test_extra_data_decodes_to_the_validators_and_nothing_else(validators):
    vanity, found, vote, number, seals = rlp.decode(extra_data(validators))
    assert ["0x" + address.hex() for address in found] == validators
    assert (vanity, vote, number, seals) == (bytes(32), [], b"", [])


def test_a_node_id_gives_the_validators_address():
    text, address = node(bytes.fromhex(KNOWN_KEY))
    assert Enode.parse(text).address == address == KNOWN_ADDRESS


@given(
    key=keys,
    host=st.one_of(
        st.ip_addresses(v=4).filter(lambda a: not (a.is_multicast or a.is_unspecified)).map(str),
        st.ip_addresses(v=6)
        .filter(lambda a: not (a.is_multicast or a.is_unspecified))
        .map(lambda a: f"[{a}]"),
        st.from_regex(r"[a-z]{1,9}\.[a-z]{2,5}", fullmatch=True),
    ),
    port=st.integers(1, 65535),
    discovery=st.none() | st.integers(0, 65535),
)
@settings(max_examples=60)
def test_an_enode_reads_back_as_it_was_written(key, host, port, discovery):
    text, address = node(key, host, port)
    if discovery is not None:
        text += f"?discport={discovery}"
    found = Enode.parse(text)
    assert str(found) == text
    assert Enode.parse(str(found)) == found
    assert (found.address, found.port, found.discovery) == (address, port, discovery)


ID = node(b"\1" * 32)[0][8:136]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "enode://",
        f"http://{ID}@10.0.0.1:30303",
        f"enode://{ID}@10.0.0.1",
        f"enode://{ID}@10.0.0.1:0",
        f"enode://{ID}@10.0.0.1:65536",
        f"enode://{ID}@10.0.0.1:x",
        f"enode://{ID}@:30303",
        f"enode://{ID}@0.0.0.0:30303",
        f"enode://{ID}@224.0.0.1:30303",
        f"enode://{ID}@[::]:30303",
        f"enode://{ID}@[::1:30303",
        f"enode://{ID}@host with spaces:30303",
        f"enode://{ID}@-x.example:30303",
        f"enode://{ID}@999.1.1.1:30303",
        f"enode://{ID}:password@10.0.0.1:30303",
        f"enode://{ID}@10.0.0.1:30303/path",
        f"enode://{ID}@10.0.0.1:30303#x",
        f"enode://{ID}@10.0.0.1:30303?discport=65536",
        f"enode://{ID}@10.0.0.1:30303?discport=0&discport=1",
        f"enode://{ID}@10.0.0.1:30303?other=1",
        f"enode://{ID[:-1]}@10.0.0.1:30303",
        f"enode://{ID}0@10.0.0.1:30303",
        f"enode://{ID[:-1]}g@10.0.0.1:30303",
        f"enode://{'00' * 64}@10.0.0.1:30303",
        f"enode://{ID[:126]}00@10.0.0.1:30303",  # a point that is not on the curve
        f"enode://{ID}@10.0.0.1:30303\n",
        f'enode://{ID}@10.0.0.1:30303","enode://{ID}@10.0.0.2:30303',
        f"enode://{ID}@{'a' * 200}.example:30303",
    ],
)
def test_what_is_no_enode_is_refused(text):
    with pytest.raises(ConfigurationError, match="enode"):
        Enode.parse(text)


@given(st.text(max_size=300))
def test_any_other_text_is_refused_in_one_printable_line(text):
    with pytest.raises(ConfigurationError) as refused:
        Enode.parse("enode://" + text)
    assert str(refused.value).isascii() or "…" in str(refused.value)
    assert str(refused.value).isprintable()


@given(st.lists(addresses, min_size=4, max_size=20, unique=True), st.integers(2, 2**40))
def test_genesis_is_what_a_free_gas_qbft_chain_needs(validators, chain_id):
    found = json.loads(json.dumps(genesis(Qbft(chain_id=chain_id), validators)))
    assert found["config"] == {
        "chainId": chain_id,
        "berlinBlock": 0,
        "londonBlock": 0,
        "zeroBaseFee": True,
        "qbft": {"blockperiodseconds": 2, "epochlength": 30000, "requesttimeoutseconds": 4},
    }
    assert (found["difficulty"], found["alloc"]) == ("0x1", {})
    assert found["mixHash"] == (
        "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
    )
    listed = rlp.decode(bytes.fromhex(found["extraData"][2:]))[1]
    assert ["0x" + a.hex() for a in listed] == sorted(validators)  # whatever order they came in


def test_every_organisation_writes_the_same_genesis():
    own = [found.address for found in nodes(5)]
    assert genesis(Qbft(chain_id=77), own) == genesis(Qbft(chain_id=77), own[::-1])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda v: v[:3], "got 3"),
        (lambda v: [], "got 0"),
        (lambda v: [*v, v[0]], "given twice"),
        (lambda v: [*v[:3], v[0].lower()], "given twice"),
        (lambda v: [*v, "0x" + "00" * 20], "zero"),
        (lambda v: [*v, v[0][:-1]], "no chain address"),
        (lambda v: [*v, v[0][2:]], "no chain address"),
        (lambda v: [*v, v[0].swapcase().replace("X", "x")], "checksum"),
        (lambda v: [*v, "validator-1"], "no chain address"),
    ],
)
def test_validators_that_would_not_do_are_refused(change, named):
    own = [found.address for found in nodes(4)]
    with pytest.raises(ConfigurationError, match=named):
        genesis(Qbft(chain_id=77), change(own))


def test_few_validators_only_for_who_says_so():
    own = [found.address for found in nodes(1)]
    assert genesis(Qbft(chain_id=77), own, allow_few=True)["alloc"] == {}
    with pytest.raises(ConfigurationError):
        genesis(Qbft(chain_id=77), [], allow_few=True)


def test_two_nodes_on_one_host_are_no_two_organisations():
    own = nodes(4)
    twin = Enode.parse(node(b"\7" * 32, "10.0.0.1", 30304)[0])
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.1"):
        besu.check_nodes([*own, twin])
    assert len(besu.check_nodes([*own, twin], allow_few=True)) == 5
    with pytest.raises(ConfigurationError, match="twice"):
        besu.check_nodes([*own, own[2]])


@pytest.mark.parametrize(
    "numbers",
    [
        {"chain_id": 0},
        {"chain_id": 1},
        {"chain_id": 2**53},
        {"chain_id": 9, "block_seconds": 0},
        {"chain_id": 9, "block_seconds": 4},
        {"chain_id": 9, "epoch_blocks": 0},
        {"chain_id": 9, "gas_limit": 1_000_000},
        {"chain_id": 9, "gas_limit": 2**53},
    ],
)
def test_numbers_no_chain_should_have_are_refused(numbers):
    with pytest.raises(ConfigurationError, match="got"):
        Qbft(**numbers)


def test_node_lists_are_json_and_toml_that_name_the_same_nodes():
    own = nodes(4)
    listed = [str(found) for found in own]
    account = "0x" + "Ab" * 20
    assert json.loads(static_nodes(own)) == listed
    allowed = tomllib.loads(permissions(own, [account.lower()]))
    assert allowed == {"nodes-allowlist": listed, "accounts-allowlist": [account.lower()]}
    assert tomllib.loads(permissions(own)) == {"nodes-allowlist": listed}
    with pytest.raises(ConfigurationError):
        permissions(own, ['0x"], x=["'])
