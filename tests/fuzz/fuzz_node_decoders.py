"""Decoders of what a node answers over JSON-RPC, which is anybody's word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fuzz_chain_decoders import answer
from fuzz_decoder import Decoder
from fuzz_json import document
from fuzz_material import dumped, history, swarm

from flwr_swarm._exceptions import LedgerError, WireError
from flwr_swarm.chain import codec, envelopes
from flwr_swarm.chain.client import ReadOnlyLedger
from flwr_swarm.chain.errors import refusal
from flwr_swarm.chain.jsonrpc import RpcError
from flwr_swarm.chain.provider import MAX_NESTING
from flwr_swarm.protocol.hashing import parse_json


class _Node:
    """A node that answers what it was given, by method; anything else as the real chain does."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers if isinstance(answers, dict) else {}

    def request(self, method: str, params: Sequence[Any], *, timeout: float | None = None) -> Any:
        answer = self._answers.get(method, ...)
        if answer is ...:
            return swarm().chain.request(method, params, timeout=timeout)
        if isinstance(answer, dict) and "message" in answer:
            raise RpcError(0, str(answer["message"]), answer.get("data"))
        return answer


def _json(data: bytes) -> Any:
    """As `HttpNode` reads what a node answers."""
    try:
        return parse_json(data, deepest=MAX_NESTING)
    except ValueError:
        raise WireError("the node's answer is not read") from None


def _ask_node(data: bytes) -> Any:
    ledger = ReadOnlyLedger(
        url=_Node(_json(data)), contract=swarm().contract, chain_id=77, timeout=60
    )
    return ledger.view()


def _node_answers() -> tuple[bytes, ...]:
    look = "0x" + answer("look").hex()
    refused = {
        "message": "execution reverted",
        "data": "0x" + codec.error_selector("BadSeal").hex(),
    }
    return (
        dumped({"eth_chainId": "0x4d", "eth_call": look}),
        dumped({"eth_chainId": "0x4d", "eth_call": look, "x": refused}),
    )


def _refused(data: bytes) -> LedgerError:
    error = _json(data)
    return refusal(error if isinstance(error, dict) else {}, account="0x")


def _from_rpc(data: bytes) -> Any:
    fields = _json(data)
    if not isinstance(fields, dict):
        raise WireError("no object")
    return envelopes.from_rpc(fields, 77)


def _rpc_forms() -> tuple[bytes, ...]:
    made = swarm()
    digests = [entry["hash"] for entry in history()["transactions"]]
    forms = [made.chain.request("eth_getTransactionByHash", [d]) for d in digests[1:4]]
    return tuple(dumped({k: v for k, v in form.items() if k != "blockHash"}) for form in forms)


def _reverted() -> bytes:
    data = codec.error_selector("NotAMember") + bytes(12) + b"\x07" * 20
    return dumped({"code": 3, "message": "execution reverted", "data": {"x": "0x" + data.hex()}})


def decoders() -> list[Decoder]:
    """All of them."""
    return [
        Decoder(
            name="node's transaction",
            read=_from_rpc,
            corpus=_rpc_forms(),
            mutate=document,
            constant=1 << 18,
            share=2,
        ),
        Decoder(
            name="node's answers",
            read=_ask_node,
            corpus=_node_answers(),
            mutate=document,
            refusals=(LedgerError, WireError),
            constant=1 << 22,
            share=2,
        ),
        Decoder(
            name="node's refusal",
            read=_refused,
            corpus=(dumped({"code": 3, "message": "reverted", "data": "0x00"}), _reverted()),
            mutate=document,
            faithful=lambda _, error: isinstance(error, LedgerError),
        ),
    ]
