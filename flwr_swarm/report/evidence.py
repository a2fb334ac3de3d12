"""What a run leaves behind for anyone to check: rounds, sums, openings, chain history, models.

Nothing in it is secret to a member: sums and their openings lead to the global models that every
member trained on. To an outsider they are as sensitive as those models.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import MetricRecord

from .._exceptions import EvidenceError
from .._octets import Octets
from ..chain import history
from ..chain.replay import replay
from ..flower.ended import Outcome
from ..flower.founding import Swarm
from ..flower.npy import read_npy
from ..flower.turning import Turn
from ..protocol.hashing import Arrays, canonical_json
from ..protocol.types import LedgerView
from .settling import UNSEEN, VOID, seen, settled, spent

DIRECTORY_VARIABLE: Final = "FLWR_SWARM_DIR"
ROUNDS: Final = "rounds.jsonl"
SWARM: Final = "swarm.json"
CHAIN: Final = "chain.json"
MANIFEST: Final = "manifest.json"
INITIAL: Final = "initial.npz"
FINAL: Final = "final.npz"
BEFORE: Final = "before.npz"
"""In a round's folder: what it trained on, if that is no model of this run."""
SUM: Final = "sum.bin"


def default_directory(run_id: int) -> Path:
    """`$FLWR_SWARM_DIR`, or else swarm-runs/<run id> in the working directory."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    return Path(named) if named else Path("swarm-runs") / str(run_id)


class EvidenceWriter:
    """Writes a run's evidence as it happens; complete only after `finish`.

    Parameters
    ----------
    directory : Path
        Created if absent. Files of an earlier run in it are overwritten.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started, self._first = False, 1
        self._members: list[str] = []
        self._spent: dict[str, float] = {}

    def start(self, swarm: Swarm, model: Arrays, state: Arrays) -> None:
        """Keep the terms and the initial model. Later calls do nothing."""
        if self._started:
            return
        self._started, self._first = True, swarm.first_round
        self._members = [str(index) for index in swarm.labels]
        self._spent = dict.fromkeys(self._members, 0.0)
        self._directory.mkdir(parents=True, exist_ok=True)
        for stale in (ROUNDS, CHAIN, MANIFEST, FINAL):
            (self._directory / stale).unlink(missing_ok=True)
        for folder in self._directory.glob("rounds/[0-9][0-9][0-9][0-9]"):
            for stale_file in (*folder.glob("*.bin"), folder / "layout.json", folder / BEFORE):
                stale_file.unlink(missing_ok=True)
            folder.rmdir()
        self._write_json(
            SWARM,
            {
                "chain_id": swarm.place.chain_id,
                "contract": swarm.place.contract,
                "terms": dict(swarm.place.terms),
                "first_round": swarm.first_round,
                "labels": {str(index): label for index, label in swarm.labels.items()},
            },
        )
        save_arrays(self._directory / INITIAL, model, state)

    def turned(self, turn: Turn) -> None:
        """Keep where this run's models go on, if they do not follow from its own rounds.

        A run that began after the round has another initial model. One that began before it keeps
        what the round trained on, and what shows where it led.
        """
        if not self._started:
            return
        if turn.round < self._first:
            save_arrays(self._directory / INITIAL, turn.model, turn.state)
            return
        folder = self._folder(turn.round)
        if turn.led is None or not turn.led.proof.openings:
            save_arrays(folder / BEFORE, turn.model, turn.state)
            return
        before, held = turn.led.before, turn.led.held
        save_arrays(folder / BEFORE, before.model, before.state)
        self._keep_sum(folder, held.merged, held.layout, turn.led.proof.openings)

    def _folder(self, number: int) -> Path:
        folder = self._directory / "rounds" / f"{number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _keep_sum(
        self, folder: Path, merged: Octets, layout: bytes, openings: Mapping[int, bytes]
    ) -> None:
        (folder / SUM).write_bytes(merged)
        (folder / "layout.json").write_bytes(layout)
        for holder, opening in openings.items():
            (folder / f"opening-{holder:03d}.bin").write_bytes(opening)

    def record(
        self,
        outcome: Outcome,
        swarm: Swarm,
        metrics: MetricRecord | None,
        seconds: Mapping[str, float],
    ) -> None:
        """Append a certified round, with its sum and the openings that open it."""
        current, certificate = outcome.round, outcome.merged.certificate
        if outcome.opened is not None:
            layout = outcome.seals[certificate.included[0]].layout
            folder, openings = self._folder(current.number), outcome.opened.openings
            self._keep_sum(folder, outcome.merged.merged, layout, openings)
        signers = [member for member, _ in outcome.merged.signatures]
        self._append(
            {
                **self._common(outcome.view, seconds),
                "status": "certified" if outcome.opened or not _encrypted(swarm) else "unopened",
                "included": list(certificate.included),
                "aggregate_hash": certificate.aggregate_hash.hex(),
                "certificate": {"view": certificate.view, "signers": signers},
                "loss": _loss(metrics),
                "metrics": None if metrics is None else dict(metrics),
            }
        )

    def record_void(
        self, number: int, view: LedgerView, why: str, seconds: Mapping[str, float]
    ) -> None:
        """Append a round without a model."""
        common = self._common(view, seconds)
        if view.current.number != number:  # nobody sealed: the ledger never saw the round
            common |= UNSEEN | {"parent_hash": None}
        self._append({**common, **VOID, "round": number, "reason": why, "loss": None})

    def finish(self, swarm: Swarm, model: Arrays, state: Arrays) -> None:
        """Add the final model and the chain's history, and list every file by its SHA-256."""
        if not self._started:
            return
        save_arrays(self._directory / FINAL, model, state)
        past = history.export(swarm.place.chain_url, swarm.place.contract)
        self._write_json(CHAIN, past)
        self._settle(swarm, past)
        write_manifest(self._directory)

    def _settle(self, swarm: Swarm, past: dict[str, Any]) -> None:
        """Tell of every round as the chain does; a run without surprises told it so already."""
        path = self._directory / ROUNDS
        text = path.read_bytes() if path.exists() else b""
        lines = [json.loads(line) for line in text.splitlines()]
        told = settled(
            lines,
            replay(past).rounds,
            first=swarm.first_round,
            members=self._members,
            opened={int(path.parent.name) for path in self._directory.glob(f"rounds/*/{SUM}")},
        )
        if (now := b"".join(map(_line, told))) != text:
            path.write_bytes(now)

    def _common(self, view: LedgerView, seconds: Mapping[str, float]) -> dict[str, Any]:
        """What the ledger says of a round; `epsilon` is what each member's newest seal says."""
        current = view.current
        self._spent = spent(self._spent, current)
        return {
            **seen(current),
            "round": current.number,
            "epsilon": self._spent,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
        }

    def _append(self, line: Mapping[str, Any]) -> None:
        with (self._directory / ROUNDS).open("ab") as file:
            file.write(_line(line))

    def _write_json(self, name: str, value: Any) -> None:
        (self._directory / name).write_bytes(canonical_json(value))


def write_manifest(directory: Path) -> None:
    """List every file below `directory` by its SHA-256, so that a change shows."""
    manifest = directory / MANIFEST
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p != manifest)
    listed = {path.relative_to(directory).as_posix(): file_hash(path) for path in files}
    manifest.write_bytes(canonical_json({"sha256": listed}))


def save_arrays(path: Path, model: Arrays, state: Arrays) -> None:
    """A model and its server state as one .npz file (no pickle)."""
    named = {f"model/{name}": array for name, array in model.items()}
    named |= {f"state/{name}": array for name, array in state.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **named)


def load_arrays(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model and server state that `save_arrays` kept."""
    model: dict[str, Any] = {}
    state: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # Whoever made the file chose what it says of itself: it may not grow in our memory.
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise EvidenceError(f"{path.name} is compressed, or holds one array twice")
        for entry in entries:
            kind, _, key = entry.filename.removesuffix(".npy").partition("/")
            arrays = model if kind == "model" else state
            if key in arrays:
                raise EvidenceError(f"{path.name} holds the array {key!r} twice")
            arrays[key] = read_npy(archive.read(entry))
    return model, state


def file_hash(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, sort_keys=True).encode() + b"\n"


def _encrypted(swarm: Swarm) -> bool:
    return swarm.terms.encryption == "threshold"


def _loss(metrics: MetricRecord | None) -> float | None:
    """The aggregated training loss, if the app reports one."""
    for name, value in (metrics or {}).items():
        if "loss" in name and isinstance(value, float | int):
            return float(value)
    return None
