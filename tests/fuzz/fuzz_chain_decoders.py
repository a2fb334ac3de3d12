"""Decoders of what the chain carries, and of what a node answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from fuzz_abi import transaction, words
from fuzz_bytes import blind
from fuzz_decoder import Decoder
from fuzz_json import document
from fuzz_material import calls, dumped, history, odd_transactions, swarm

from flwr_swarm._exceptions import ConfigurationError, EvidenceError
from flwr_swarm.chain import codec, envelopes, transactions
from flwr_swarm.chain.artifact import load
from flwr_swarm.chain.calldata import decode_call, decode_creation
from flwr_swarm.chain.enode import Enode
from flwr_swarm.chain.replay import replay
from flwr_swarm.chain.signing import recover_signer
from flwr_swarm.chain.translate import call_data, call_from, change_bytes, change_from, view_from
from flwr_swarm.protocol.hashing import parse_json

_WORD = 32
_CODE = len(load().bytecode)


def _raw() -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(entry["raw"][2:]) for entry in history()["transactions"])


def _call(data: bytes) -> Any:
    return call_from(*decode_call(data))


def _means(data: bytes, call: Any) -> bool:
    """Calldata has many encodings; what is read must survive the usual one."""
    return call is None or _call(call_data(call)) == call


def _events() -> tuple[bytes, ...]:
    found = [
        (event["topics"], event["data"])
        for entry in history()["transactions"]
        for event in entry["events"]
    ]
    usual = {topics[0]: (topics, data) for topics, data in found}
    return tuple(
        bytes([len(topics)]) + bytes.fromhex("".join(t[2:] for t in topics) + data[2:])
        for topics, data in usual.values()
    )


def _event(data: bytes) -> Any:
    count = data[0] if data else 0
    topics = [data[1 + _WORD * i :][:_WORD] for i in range(count)]
    return codec.decode_event(topics, data[1 + _WORD * count :])


def _event_again(data: bytes, value: Any) -> bool:
    name, fields = value
    inputs = codec._entries("event")[name]["inputs"]
    sides = [[c for c in inputs if c["indexed"] is side] for side in (True, False)]
    return data[1 + _WORD :] == b"".join(codec._encode(side, fields) for side in sides)


def answer(method: str, fields: dict[str, Any] | None = None) -> bytes:
    made = swarm()
    call = {"to": made.contract, "data": "0x" + codec.encode_call(method, fields or {}).hex()}
    return bytes.fromhex(made.chain.request("eth_call", [call, "latest"])[2:])


def _look(data: bytes) -> Any:
    view_from(data, chain_id=77, contract=swarm().contract)
    return codec.decode_result("look", data)


def _look_again(data: bytes, fields: Any) -> bool:
    return codec._encode(codec._entries("function")["look"]["outputs"], fields) == data


def _change(data: bytes) -> Any:
    return change_from(codec.decode_struct("propose", "change", data))


def _history(data: bytes) -> Any:
    try:
        found = parse_json(data, deepest=16)
    except ValueError:
        raise EvidenceError("not JSON") from None
    return replay(found)


def _signature(data: bytes) -> str:
    return recover_signer(bytes(range(32)), data)


def _certificate_signature() -> bytes:
    made = swarm()
    return made.signature(0, made.certificate())


def _signed(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    data = bytearray(message)
    at = random.choice((0, 32))
    value = random.choice((0, 1, order - 1, order, order // 2, order // 2 + 1, 2**256 - 1))
    data[at : at + 32] = value.to_bytes(32, "big")
    data[64:] = random.choice((b"\x1b", b"\x1c", b"\x00", b"\x1d", b"", b"\x1b\x00"))
    return blind(random, message, others) if random.random() < 0.3 else bytes(data)


_ENODES = (
    b"enode://79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    b"483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8@10.0.0.7:30303?discport=0",
    b"enode://79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    b"483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8@[::1]:30303",
)


_PLAIN_PARTS = b"10.0.0.7 [::1] 0.0.0.0 site-1.example [::ffff:1.2.3.4] a_b xn--nxasmq6b 127.1"
_PARTS = (*_PLAIN_PARTS.split(), b"[fe80::1%25eth0]", b"\xff", b"", b"1" * 300)
_PORTS = (b"30303", b"0", b"1", b"65535", b"65536", b"+80", b"\xd9\xa1", b"", b"080", b"9" * 5000)
_TAILS = (b"", b"?discport=0", b"?discport=65536", b"?discport=1&discport=2", b"?x=1", b"#a", b"/")


def _addresses(random: Random, message: bytes, others: Sequence[bytes]) -> bytes:
    node, _, _ = message.partition(b"@")
    made = node + b"@" + random.choice(_PARTS) + b":" + random.choice(_PORTS)
    made += random.choice(_TAILS)
    return blind(random, made, others) if random.random() < 0.2 else made


def _enode(data: bytes) -> Any:
    return Enode.parse(data.decode("utf-8", "surrogateescape"))


def decoders() -> list[Decoder]:
    """All of them."""
    raw = _raw()
    creation = transactions.parse(raw[0]).data
    return [
        Decoder(
            name="calldata",
            read=_call,
            corpus=tuple(map(call_data, calls())),
            mutate=words(4),
            faithful=_means,
            constant=1 << 18,
            share=5,
        ),
        Decoder(
            name="init code",
            read=lambda tail: decode_creation(creation[:_CODE] + tail),
            corpus=(creation[_CODE:],),
            mutate=words(0),
            constant=1 << 20,
        ),
        Decoder(
            name="event",
            read=_event,
            corpus=_events(),
            mutate=words(1),
            faithful=_event_again,
            constant=1 << 18,
        ),
        Decoder(
            name="ledger's answer",
            read=_look,
            corpus=(answer("look"),),
            mutate=words(0),
            faithful=_look_again,
            constant=1 << 20,
        ),
        Decoder(
            name="proposed change",
            read=_change,
            corpus=tuple(change_bytes(call.change) for call in calls()[2:4]),
            mutate=words(0),
            faithful=lambda data, change: _change(change_bytes(change)) == change,
            constant=1 << 18,
        ),
        Decoder(
            name="transaction",
            read=transactions.parse,
            corpus=raw[1:5] + odd_transactions()[3:],
            mutate=transaction,
            faithful=lambda data, value: value.raw == data and _rebuilds(value),
            constant=1 << 18,
            share=3,
        ),
        Decoder(
            name="any transaction",
            read=lambda data: envelopes.parse(data, 77),
            corpus=raw[1:5] + odd_transactions(),
            mutate=transaction,
            faithful=lambda data, value: value.raw == data,
            constant=1 << 18,
            share=3,
        ),
        Decoder(
            name="signature",
            read=_signature,
            corpus=(_certificate_signature(),),
            mutate=_signed,
            constant=1 << 18,
        ),
        Decoder(
            name="history",
            read=_history,
            corpus=(dumped(history()),),
            mutate=document,
            refusals=(EvidenceError,),
            constant=1 << 22,
            share=1,
        ),
        Decoder(
            name="enode",
            read=_enode,
            corpus=_ENODES,
            mutate=_addresses,
            refusals=(ConfigurationError,),
            faithful=lambda _, value: Enode.parse(str(value)) == value,
            constant=1 << 18,
            share=2,
        ),
    ]


def _rebuilds(value: Any) -> bool:
    told = json.loads(json.dumps(transactions.to_rpc(value)))
    return transactions.from_rpc(told).raw == value.raw
