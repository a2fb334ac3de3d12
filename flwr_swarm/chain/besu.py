"""Files for a Besu QBFT chain: genesis, static nodes, permissions. Besu itself is not run here.

Written after the documentation of Hyperledger Besu 24.7 and later (*Configure QBFT consensus*,
*Genesis file items*, *Configure free gas networks*, *Static nodes*, *Use local permissioning*).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import rlp  # type: ignore[import-untyped]
from eth_utils.address import is_checksum_address, to_canonical_address, to_checksum_address
from eth_utils.exceptions import ValidationError

from flwr_swarm._exceptions import ConfigurationError

from .enode import Enode

FEWEST_VALIDATORS: Final = 4
"""QBFT tolerates floor((n - 1) / 3) faulty validators: with fewer than four, none."""
LARGEST_CHAIN_ID: Final = (1 << 53) // 2 - 36
"""Beyond it, wallets cannot compute a signature's v in a double."""
GAS_LIMIT: Final = 100_000_000
VANITY: Final = bytes(32)
QBFT_MIX_HASH: Final = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
"""By this constant Besu knows a block of the Istanbul family."""
_ZERO_ADDRESS: Final = "0x" + "00" * 20


def extra_data(validators: Sequence[str]) -> bytes:
    """Return the genesis block's `extraData`: RLP([vanity, validators, no vote, 0, no seals]).

    Parameters
    ----------
    validators : sequence of str
        Addresses, in the order in which they shall stand.
    """
    addresses = [to_canonical_address(_address(validator)) for validator in validators]
    return bytes(rlp.encode([VANITY, addresses, [], 0, []]))


@dataclass(frozen=True, kw_only=True)
class Qbft:
    """The numbers of a chain; members see its block time as the grain of all deadlines.

    Parameters
    ----------
    chain_id : int
        One that no other network of the members has: it is part of everything that they sign.
    block_seconds : int
        Time between blocks. The documentation suggests twice as much for `timeout_seconds`.
    timeout_seconds : int
        After it, the next validator proposes the block; doubles with each failure.
    epoch_blocks : int
        Votes for and against validators that are not decided after so many blocks are void.
    gas_limit : int
        Gas a block. Founding a swarm of 64 is the largest transaction.
    """

    chain_id: int
    block_seconds: int = 2
    timeout_seconds: int = 4
    epoch_blocks: int = 30_000
    gas_limit: int = GAS_LIMIT

    def __post_init__(self) -> None:
        if not 1 < self.chain_id <= LARGEST_CHAIN_ID:
            raise ConfigurationError(
                f"chain_id must be from 2 to {LARGEST_CHAIN_ID}, got {self.chain_id}; draw one at "
                "random, so that no other chain has it"
            )
        if not 1 <= self.block_seconds < self.timeout_seconds:
            raise ConfigurationError(
                f"block and timeout seconds must satisfy 1 <= block < timeout, got "
                f"{self.block_seconds} and {self.timeout_seconds}; try 2 and 4"
            )
        if self.epoch_blocks < 1:
            raise ConfigurationError(f"epoch_blocks must be >= 1, got {self.epoch_blocks}")
        if not GAS_LIMIT // 5 <= self.gas_limit < 1 << 53:
            raise ConfigurationError(
                f"gas_limit must be from {GAS_LIMIT // 5} to 2^53 - 1, got {self.gas_limit}; "
                f"{GAS_LIMIT} leaves room to found a swarm of 64"
            )


def check_validators(validators: Sequence[str], *, allow_few: bool = False) -> tuple[str, ...]:
    """Return checksummed validator addresses in ascending order.

    Raises
    ------
    ConfigurationError
        One is malformed, zero or twice there, or fewer than four and not `allow_few`.
    """
    found = tuple(sorted((_address(validator) for validator in validators), key=str.lower))
    for validator in found:
        if validator == _ZERO_ADDRESS or found.count(validator) > 1:
            raise ConfigurationError(
                f"validator {validator} is zero or given twice; each organisation names the "
                "address of its own node, from `besu public-key export-address`"
            )
    if len(found) < FEWEST_VALIDATORS and not (allow_few and found):
        raise ConfigurationError(
            f"QBFT needs {FEWEST_VALIDATORS} validators to survive one that fails or lies, got "
            f"{len(found)}; find more organisations, or allow few for a trial"
        )
    return found


def check_nodes(nodes: Sequence[Enode], *, allow_few: bool = False) -> tuple[Enode, ...]:
    """Return nodes in the order of their addresses, each in a machine of its own.

    Raises
    ------
    ConfigurationError
        Two have one key or one host, or fewer than four and not `allow_few`.
    """
    found = tuple(sorted(nodes, key=lambda node: node.address.lower()))
    check_validators([node.address for node in found], allow_few=allow_few)
    hosts = [node.host if not allow_few else f"{node.host}:{node.port}" for node in found]
    for host in hosts:
        if hosts.count(host) > 1:
            raise ConfigurationError(
                f"two nodes are at {host}; they would fail together, so each organisation runs "
                "its own"
            )
    return found


def genesis(numbers: Qbft, validators: Sequence[str], *, allow_few: bool = False) -> dict[str, Any]:
    """Return the genesis file's content: QBFT with header voting, London rules, free gas.

    The contracts are compiled for Paris, whose bytecode has no opcode that London lacks. London
    has neither Shanghai's limit of creation code nor a later one's of gas a transaction.

    Raises
    ------
    ConfigurationError
        As `check_validators`.
    """
    checked = check_validators(validators, allow_few=allow_few)
    return {
        "config": {
            "chainId": numbers.chain_id,
            "berlinBlock": 0,
            "londonBlock": 0,
            "zeroBaseFee": True,
            "qbft": {
                "blockperiodseconds": numbers.block_seconds,
                "epochlength": numbers.epoch_blocks,
                "requesttimeoutseconds": numbers.timeout_seconds,
            },
        },
        "nonce": "0x0",
        "timestamp": "0x0",
        "gasLimit": hex(numbers.gas_limit),
        "difficulty": "0x1",
        "mixHash": QBFT_MIX_HASH,
        "coinbase": _ZERO_ADDRESS,
        "alloc": {},
        "extraData": "0x" + extra_data(checked).hex(),
    }


def static_nodes(nodes: Sequence[Enode]) -> str:
    """Return the content of `static-nodes.json`: the same file at every node."""
    return json.dumps([str(node) for node in nodes], indent=2) + "\n"


def permissions(nodes: Sequence[Enode], accounts: Sequence[str] = ()) -> str:
    """Return the content of `permissions_config.toml`: who may connect, and who may send.

    Parameters
    ----------
    accounts : sequence of str
        Chain accounts of the members, and of whoever founds the swarm; empty leaves the list out.
    """
    # JSON's strings and lists of plain characters are TOML's as well.
    lines = [f"nodes-allowlist={json.dumps([str(node) for node in nodes])}"]
    if accounts:
        allowed = [_address(account).lower() for account in accounts]
        lines.append(f"accounts-allowlist={json.dumps(allowed)}")
    return "\n".join(lines) + "\n"


def _address(text: str) -> str:
    mixed = text.removeprefix("0x") not in {text[2:].lower(), text[2:].upper()}
    try:
        found = str(to_checksum_address(text))
    except (ValueError, TypeError, ValidationError):
        found = ""
    if not found or not text.startswith("0x") or (mixed and not is_checksum_address(text)):
        raise ConfigurationError(
            f"{text[:60]!a} is no chain address, or its checksum is wrong; give 0x and 40 "
            "hex digits"
        )
    return found
