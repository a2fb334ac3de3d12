"""The forms of a node's answers, by method: whoever uses one need not look at it again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from flwr_swarm._exceptions import WireError

_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*+")


def checked(method: str, answer: Any) -> Any:
    """`answer`, if it has the form that answers to `method` have.

    Raises
    ------
    WireError
        It has another. What it says may still be a lie.
    """
    form = _FORMS.get(method)
    if form is not None and not form(answer):
        raise WireError(
            f"the node's answer to {method} has not the form of one; check that the URL is a "
            "node's JSON-RPC address"
        )
    return answer


def _number(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _data(value: Any) -> bool:
    return isinstance(value, str) and _DATA.fullmatch(value) is not None


def _fields(forms: dict[str, Callable[[Any], bool]]) -> Callable[[Any], bool]:
    """An object that has these fields, and others as it likes."""

    def holds(value: Any) -> bool:
        return isinstance(value, dict) and all(form(value.get(n)) for n, form in forms.items())

    return holds


def _or_none(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or form(value)


def _list(form: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(form, value))


_LOG: Final = _fields(
    {
        "topics": _list(_data),
        "data": _data,
        "transactionHash": _data,
        "blockNumber": _number,
        "logIndex": _number,
    }
)
_RECEIPT: Final = _fields(
    {
        "status": _number,  # the place is missing where a node tells of a receipt before its block
        "blockNumber": _or_none(_number),
        "transactionIndex": _or_none(_number),
    }
)
_BLOCK: Final = _fields(
    {
        "hash": _data,
        "timestamp": _number,
        "gasLimit": _number,
        "baseFeePerGas": _or_none(_number),
    }
)
_FORMS: Final[dict[str, Callable[[Any], bool]]] = {
    "eth_chainId": _number,
    "eth_blockNumber": _number,
    "eth_estimateGas": _number,
    "eth_getTransactionCount": _number,
    "eth_maxPriorityFeePerGas": _number,
    "eth_call": _data,
    "eth_getCode": _data,
    "eth_getLogs": _list(_LOG),
    "eth_getTransactionReceipt": _or_none(_RECEIPT),
    "eth_getBlockByNumber": _or_none(_BLOCK),
    "eth_getTransactionByHash": lambda value: value is None or isinstance(value, dict),
}
