"""What a round costs on chain: gas, transactions and seconds, direct and batched.

    python -m benchmarks.chain [--rounds 3] [--json FILE]

For n = 4, 16 and 64 members, on the embedded engine and on anvil, a swarm is founded and whole
rounds are played: every member seals, a quorum's certificate ends the round. Direct: each seals by
its own transaction. Batched: each signs its seal, and one member carries them, 16 to a
transaction. One process plays all members one after the other, so that the seconds are those
of the chain and its clients, without parallelism; encryption and training are no part of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from eth_account import Account

from flwr_swarm.chain import artifact
from flwr_swarm.chain.client import ChainLedger
from flwr_swarm.chain.deploy import contract_address, deploy
from flwr_swarm.chain.embedded import EmbeddedChain
from flwr_swarm.chain.provider import Node, node_of
from flwr_swarm.chain.signing import sign_certificate, sign_seal
from flwr_swarm.protocol.election import commitment, derive_secret
from flwr_swarm.protocol.ledger import CarryCall, CertifyCall, SealCall
from flwr_swarm.protocol.quorum import smallest_threshold
from flwr_swarm.protocol.types import Card, Certificate, Policy

from .anvil import anvil

CHAIN_ID = 4242
SEALS_A_BATCH = 16
CODE_LIMIT = 24_576


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case; gas, transactions and seconds are medians over its rounds."""

    engine: str
    path: str
    members: int
    rounds: int
    founding_gas: int
    gas: int
    gas_a_member: int
    transactions: int
    seconds: float


class Players:
    """All members of one swarm, with their keys."""

    def __init__(self, node: Node | str, members: int, *, relaying: bool) -> None:
        self.node = node_of(node, timeout=60)
        self.keys = [Account.create() for _ in range(members)]
        deployer = Account.create()
        self.contract = contract_address(deployer.address)
        self.secrets = [0] * members
        cards = [
            Card(
                account=key.address,
                encryption_key=os.urandom(32),
                commitment=self.commitment(i),
                weight_class=10,
            )
            for i, key in enumerate(self.keys)
        ]
        policy = Policy(
            threshold=smallest_threshold(members),
            min_included=3,
            witnesses=0,
            close_at=members,
            relaying=relaying,
        )
        deploy(node, cards=cards, policy=policy, key=deployer, timeout=120)
        self.founding_gas = self.used(self.height())[0]
        self.ledgers = [
            ChainLedger(
                url=node, contract=self.contract, key=key, chain_id=CHAIN_ID, timeout=60
            ).connect()
            for key in self.keys
        ]

    def secret(self, i: int) -> bytes:
        return derive_secret(bytes(self.keys[i].key), CHAIN_ID, self.contract, self.secrets[i])

    def commitment(self, i: int) -> bytes:
        return commitment(CHAIN_ID, self.contract, self.keys[i].address, self.secret(i))

    def seal(self, i: int, number: int) -> SealCall:
        reveal = self.secret(i)
        self.secrets[i] += 1
        return SealCall(
            round=number,
            parent=b"model".rjust(32),
            payload_hash=os.urandom(32),
            shares_hash=os.urandom(32),
            reveal=reveal,
            commitment=self.commitment(i),
            epsilon=number * 1000,
            verified=False,
        )

    def certificate(self) -> CertifyCall:
        current = self.ledgers[0].view().current
        certificate = Certificate(
            round=current.number,
            view=current.view,
            included=tuple(seal.member for seal in current.seals),
            aggregate_hash=os.urandom(32),
        )
        officers = sorted({*current.committee, current.leader or 0})
        signed = tuple(
            (i, sign_certificate(self.keys[i], CHAIN_ID, self.contract, certificate))
            for i in officers
        )
        return CertifyCall(certificate=certificate, signatures=signed)

    def height(self) -> int:
        return int(self.node.request("eth_blockNumber", []), 16)

    def used(self, number: int) -> tuple[int, int]:
        """Gas and transactions of one block."""
        block = self.node.request("eth_getBlockByNumber", [hex(number), False])
        return int(block["gasUsed"], 16), len(block["transactions"])


def play(players: Players, number: int, *, batches: bool) -> tuple[int, int, float]:
    """Play one round; return its gas, transactions and seconds."""
    first = players.height() + 1
    seals = [players.seal(i, number) for i in range(len(players.keys))]
    started = time.perf_counter()
    if batches:
        signed = [
            (seal, sign_seal(key, CHAIN_ID, players.contract, seal))
            for seal, key in zip(seals, players.keys, strict=True)
        ]
        for start in range(0, len(signed), SEALS_A_BATCH):
            part = signed[start : start + SEALS_A_BATCH]
            call = CarryCall(seals=tuple(s for s, _ in part), signatures=tuple(g for _, g in part))
            players.ledgers[0].submit(call)
    else:
        for ledger, seal in zip(players.ledgers, seals, strict=True):
            ledger.submit(seal)
    players.ledgers[0].submit(players.certificate())
    seconds = time.perf_counter() - started
    blocks = [players.used(block) for block in range(first, players.height() + 1)]
    return sum(gas for gas, _ in blocks), sum(count for _, count in blocks), seconds


@contextmanager
def engine(name: str) -> Iterator[Node | str]:
    """A fresh chain of one kind."""
    if name == "embedded":
        yield EmbeddedChain(chain_id=CHAIN_ID)
    else:
        with anvil(CHAIN_ID) as url:
            yield url


def measure(name: str, path: str, members: int, rounds: int) -> Row:
    """Play `rounds` rounds after one that is not counted: storage is cheaper to change than to
    take, and the first round takes most of it."""
    with engine(name) as node:
        players = Players(node, members, relaying=path == "batched")
        played = [play(players, r + 1, batches=path == "batched") for r in range(rounds + 1)][1:]
    gas, transactions, seconds = (statistics.median(column) for column in zip(*played, strict=True))
    return Row(
        engine=name,
        path=path,
        members=members,
        rounds=rounds,
        founding_gas=players.founding_gas,
        gas=int(gas),
        gas_a_member=int(gas) // members,
        transactions=int(transactions),
        seconds=round(seconds, 3),
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown, as docs/chain.md keeps it."""
    lines = [
        "| engine | path | members | gas a round | gas a member | transactions | seconds | gas to "
        "found |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.engine} | {r.path} | {r.members} | {r.gas:,} | {r.gas_a_member:,} | "
        f"{r.transactions} | {r.seconds:.2f} | {r.founding_gas:,} |"
        for r in rows
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure all cases; exit code 1 if a contract is too large for a chain."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, of each case")
    parser.add_argument("--members", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--engines", nargs="+", default=["embedded", "anvil"])
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    rows = []
    for name in options.engines:
        for members in options.members:
            for path in ("direct", "batched"):
                rows.append(measure(name, path, members, options.rounds))
                print(f"{name}, {members} members, {path}: done", file=sys.stderr)
    shipped = artifact.load()
    code = {"swarm": len(shipped.deployed), "charter": len(shipped.charter)}
    print(table(rows))
    print(f"code: {code['swarm']:,} and {code['charter']:,} bytes, {CODE_LIMIT:,} allowed each")
    if options.json:
        figures = {"code_bytes": code, "code_limit": CODE_LIMIT, "rows": [asdict(r) for r in rows]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if max(code.values()) < CODE_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
