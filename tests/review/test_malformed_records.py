"""Records from strangers end in a SwarmError, whatever is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flwr.app import Array, ArrayRecord, RecordDict
from swarm_bench import Bench, set_field, twin

from flwr_swarm import _exceptions
from flwr_swarm._exceptions import NotAMember, SwarmError, WireError
from flwr_swarm.flower import records, write
from flwr_swarm.flower.read import Fields
from flwr_swarm.keystore.keys import MemberKeys
from flwr_swarm.protocol.messages import EnrolReply, EnrolRequest
from flwr_swarm.protocol.payload import decode_layout

OWN = {
    name
    for name, kind in vars(_exceptions).items()
    if isinstance(kind, type) and issubclass(kind, SwarmError)
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("malformed"), nodes=3) as swarm:
        swarm.round()
        yield swarm


def refused(swarm: Bench, content: RecordDict) -> str:
    error = swarm.refusal(1, content)
    assert error.split(":")[0] in OWN, error
    return error


@pytest.mark.parametrize(
    "fields",
    [
        {"chain_url": "http://[::1"},
        {"chain_url": "http://127.0.0.1:99999999"},
        {"chain_url": "ftp://127.0.0.1/"},
        {"chain_url": "\x00"},
        {"contract": "0x12"},
        {"contract": "\ud7ff"},
        {"chain_id": 2**63 - 1},
        {"terms": b'{"clip":1' + b"0" * 400 + b"}"},
        {"proof_round": 2**63 - 1},
        {"proof_holders": [255]},
    ],
)
def test_odd_fields_of_a_seal_request(trained: Bench, fields: dict[str, object]) -> None:
    content = twin(trained.plan()[1])
    for name, value in fields.items():
        set_field(content, name, value)
    refused(trained, content)


@pytest.mark.parametrize(
    ("stype", "data"),
    [
        ("numpy.ndarray", b""),
        ("numpy.ndarray", b"\x93NUMPY\x01\x00"),
        ("numpy.ndarray", b"not an array"),
        ("pickle", b"cos\nsystem\n."),
    ],
)
def test_odd_arrays(trained: Bench, stype: str, data: bytes) -> None:
    content = twin(trained.plan()[1])
    content["arrays"] = ArrayRecord(
        {"weight": Array(dtype="float32", shape=(1,), stype=stype, data=data)}
    )
    refused(trained, content)


@pytest.mark.parametrize("fields", [{"view": 256}, {"included": [2, 1]}, {"included": [1, 1]}])
def test_odd_certificates(trained: Bench, fields: dict[str, object]) -> None:
    (message, *_) = trained.messages("open", member=1)
    content = twin(message.content)
    for name, value in fields.items():
        set_field(content, name, value)
    assert "WireError" in refused(trained, content)


@pytest.mark.parametrize("contract", ["", "0x12", "0x" + "g" * 40, "0x" + "1" * 41])
def test_an_enrolment_in_no_contract_is_refused(trained: Bench, contract: str) -> None:
    request = EnrolRequest(run_id=1, node_id=2, chain_id=3, contract=contract)
    refused(trained, RecordDict(dict(write.enrol_request(request))))


def test_an_enrolled_account_is_an_address() -> None:
    reply = EnrolReply(
        account="0xabc", encryption_key=bytes(32), commitment=bytes(32), signature=bytes(65)
    )
    with pytest.raises(WireError):
        Fields(RecordDict(dict(write.enrol_reply(reply)))).enrol_reply()


def test_the_name_of_a_site_is_one_line(bench: Callable[..., Bench]) -> None:
    swarm = bench(nodes=3, grid={"node_config": {"swarm-name": "a\nb\x1b[2K"}})
    swarm.plan()
    assert swarm.swarm._relay.swarm is not None
    assert set(swarm.swarm._relay.swarm.labels.values()) == {"a?b?[2K"}


@pytest.mark.parametrize("key", [b"\x01".ljust(32, b"\0"), bytes(32)])
def test_a_key_to_which_nobody_can_seal_is_refused_at_enrolment(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, key: bytes
) -> None:
    """With it in the contract every member would fail to seal, in every round."""
    swarm = bench(nodes=3)
    with monkeypatch.context() as patch:
        patch.setattr(MemberKeys, "encryption_key", key)
        with pytest.raises(NotAMember, match="small order"):
            swarm.plan()


@pytest.mark.parametrize("metrics", [b'[["a",Infinity]]', b'[["a",1e999]]', b"null", b"{}", b"[1]"])
def test_odd_layouts(metrics: bytes) -> None:
    with pytest.raises(WireError):
        decode_layout(b'{"asked":"' + b"00" * 32 + b'","metrics":' + metrics + b"}")
    for odd in (b"[]", b"null", b'{"metrics":[]}', b'{"asked":"00","metrics":[]}'):
        with pytest.raises(WireError):
            decode_layout(odd)


def test_arrays_of_another_kind_are_named_in_the_error() -> None:
    record = ArrayRecord({"w": Array(dtype="f4", shape=(1,), stype="other", data=b"x")})
    with pytest.raises(WireError, match="'w'"):
        records.numpy_arrays(record)


def test_an_honest_round_follows(trained: Bench) -> None:
    assert trained.round() is not None


def test_a_value_out_of_bounds_stays_at_the_site(bench: Callable[..., Bench]) -> None:
    """The sites hold 20, 27, 34 and 41 examples."""
    swarm = bench(nodes=4, max_weight=30.0)
    assert swarm.round() is None
    assert set(swarm.errors) == {("seal", 2), ("seal", 3)}
    for member, weight in ((2, "34"), (3, "41")):
        error = swarm.errors["seal", member]
        assert error.startswith("CapacityExceeded: ")
        assert "max_weight" in error
        assert weight not in error
