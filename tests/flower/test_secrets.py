"""Secrets: keys, unmined election secrets and updates leave no node, by any road."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import apps
import numpy as np
import pytest
from flwr.app import Message
from swarm_bench import Bench, inner, reply_bytes, shifted

from flwr_swarm import swarm_mod
from flwr_swarm.flower.state import load_keys, load_memory
from flwr_swarm.keystore.keys import MemberKeys


class Leaks(logging.Handler):
    """Keeps the records of every logger, as text with arguments and traceback.

    Of the chain engine's and web3's own only from INFO: at DEBUG they trace raw transactions, in
    the process that is just sending or executing them.
    """

    def __init__(self) -> None:
        super().__init__(level=0)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        formatter = logging.Formatter("%(message)s")
        self.texts.append(f"{formatter.format(record)} {record.args!r}")


class Heard:
    """Everything that left a node, and what must not be in it."""

    def __init__(self, bench: Bench, logs: list[str], updates: list[np.ndarray]) -> None:
        sent = [reply_bytes(m) for _, _, m in bench.answered]
        files = [p.read_bytes() for p in sorted(bench.directory.rglob("*")) if p.is_file()]
        texts = [t.encode() for t in [*logs, *bench.all_errors]]
        self.roads = {"messages": sent, "files": files, "logs and errors": texts}
        self.updates = updates
        self.keys = [load_keys(bench.context(member)) for member in range(4)]
        self.view = bench.view()

    def where(self, secret: bytes) -> list[str]:
        forms = (secret, secret.hex().encode(), repr(secret).encode(), str(list(secret)).encode())
        forms += (str(int.from_bytes(secret, "big")).encode(),)
        return [
            road
            for road, items in self.roads.items()
            if any(form in item for item in items for form in forms)
        ]


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Heard:
    """Two honest rounds, one with a crafted model and one with a failing site; all logs on."""
    updates: list[np.ndarray] = []
    failing: list[bool] = []

    def spy(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if failing and context.node_config["partition-id"] == 2:
            raise ValueError("user's own trouble")
        before = message.content.array_records["arrays"]["weight"].numpy()
        after = reply.content.array_records["arrays"]["weight"].numpy()
        updates.extend([after, after.astype(np.float64) - before.astype(np.float64)])
        return reply

    handler = Leaks()
    root, ours = logging.getLogger(), [logging.getLogger(n) for n in ("flwr", "flwr_swarm")]
    before = [(one, one.level) for one in (root, *ours)]
    for one, _ in before:
        one.setLevel(logging.INFO if one is root else 1)
    for one in (root, ours[0]):  # Flower's logger does not propagate
        one.addHandler(handler)
    directory = tmp_path_factory.mktemp("secrets")
    try:
        with Bench(directory, app=apps.make_app(swarm_mod, spy), strategy=inner(4)) as bench:
            bench.all_errors = []
            for number in range(4):
                failing[:] = [True] if number == 2 else []
                bench.round(shifted(bench.model) if number == 1 else None)
                bench.all_errors += bench.errors.values()
            bench.swarm._relay.complete_evidence(bench.model)
            handler.texts += [repr(part) for part in vars(bench.swarm).values()]
            yield Heard(bench, handler.texts, updates)
    finally:
        for one in (root, ours[0]):
            one.removeHandler(handler)
        for one, level in before:
            one.setLevel(level)


def test_the_scan_finds_what_was_sent(heard: Heard) -> None:
    """The control: a public value is found on every road, so a secret would be."""
    contract = bytes.fromhex(heard.view.contract[2:].lower())
    texts = b" ".join(t for items in heard.roads.values() for t in items).lower()
    assert contract.hex().encode() in texts
    for keys in heard.keys:
        assert heard.where(keys.encryption_key) == ["messages", "files"]
    assert len(heard.roads["messages"]) > 40
    assert len(heard.roads["files"]) > 10
    assert len(heard.roads["logs and errors"]) > 20


def test_account_and_share_keys_leave_no_node(heard: Heard) -> None:
    for keys in heard.keys:
        assert heard.where(keys.account_key) == []
        assert heard.where(keys.share_key_bytes) == []


def test_election_secrets_leave_no_node_before_they_are_mined(heard: Heard) -> None:
    view = heard.view
    for member, keys in zip(view.members, heard.keys, strict=True):
        assert member.reveals > 0
        for index in range(member.reveals):  # mined: in the chain's history and nowhere else
            assert heard.where(keys.secret(view.chain_id, view.contract, index)) == ["files"]
        for index in range(member.reveals, member.reveals + 3):
            assert heard.where(keys.secret(view.chain_id, view.contract, index)) == []


def test_no_update_leaves_its_node_readable(heard: Heard) -> None:
    assert len(heard.updates) > 20
    for update in heard.updates:
        assert heard.where(update.tobytes()) == []
        assert heard.where(update.astype(np.float32).tobytes()) == []
        for value in update.ravel()[:4]:
            assert not any(
                repr(float(value)).encode() in text for text in heard.roads["logs and errors"]
            )


def test_reprs_show_no_secret(heard: Heard, tmp_path: Path) -> None:
    keys = MemberKeys.generate(lambda size: bytes(range(1, size + 1)))
    for secret in (keys.account_key, keys.share_key_bytes):
        for form in (secret.hex(), repr(secret), str(list(secret))):
            assert form not in repr(keys)
    with Bench(tmp_path, nodes=3) as bench:
        bench.round()
        memory = load_memory(bench.context(0))
        shown = repr(memory)
        for held in (memory.pending, memory.held):
            if held is not None:
                assert repr(held.merged)[2:40] not in shown
        for array in memory.parent.model.values():
            assert "array(" not in shown, array.dtype
