"""What a run leaves behind for anyone to check: rounds, sums, openings, chain history, models.

Nothing in it is secret to a member: sums and their openings lead to the global models that every
member trained on. To an outsider they are as sensitive as those models.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import MetricRecord

from ..chain import history
from ..flower.driver import Outcome
from ..flower.founding import Swarm
from ..protocol.hashing import Arrays, canonical_json
from ..protocol.types import EPSILON_UNIT, LedgerView

DIRECTORY_VARIABLE: Final = "FLWR_SWARM_DIR"
ROUNDS: Final = "rounds.jsonl"
SWARM: Final = "swarm.json"
CHAIN: Final = "chain.json"
MANIFEST: Final = "manifest.json"
INITIAL: Final = "initial.npz"
FINAL: Final = "final.npz"


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
        self._started = False
        self._spent: dict[str, float] = {}

    def start(self, swarm: Swarm, model: Arrays, state: Arrays) -> None:
        """Keep the terms and the initial model. Later calls do nothing."""
        if self._started:
            return
        self._started = True
        self._spent = {str(index): 0.0 for index in swarm.labels}
        self._directory.mkdir(parents=True, exist_ok=True)
        for stale in (ROUNDS, CHAIN, MANIFEST, FINAL):
            (self._directory / stale).unlink(missing_ok=True)
        for folder in self._directory.glob("rounds/[0-9][0-9][0-9][0-9]"):
            for stale_file in (*folder.glob("*.bin"), folder / "layout.json"):
                stale_file.unlink(missing_ok=True)
            folder.rmdir()
        self._write_json(
            SWARM,
            {
                "chain_id": swarm.place.chain_id,
                "contract": swarm.place.contract,
                "terms": dict(swarm.place.terms),
                "labels": {str(index): label for index, label in swarm.labels.items()},
            },
        )
        save_arrays(self._directory / INITIAL, model, state)

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
            folder = self._directory / "rounds" / f"{current.number:04d}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "sum.bin").write_bytes(outcome.merged.merged)
            (folder / "layout.json").write_bytes(outcome.seals[certificate.included[0]].layout)
            for holder, opening in outcome.opened.openings.items():
                (folder / f"opening-{holder:03d}.bin").write_bytes(opening)
        signers = [member for member, _ in outcome.merged.signatures]
        self._append(
            {
                **self._common(outcome.view, seconds),
                "status": "certified" if outcome.opened or not _encrypted(swarm) else "unopened",
                "included": list(certificate.included),
                "aggregate_hash": certificate.aggregate_hash.hex(),
                "certificate": {"view": certificate.view, "signers": signers},
                "loss": _loss(metrics),
            }
        )

    def record_void(
        self, number: int, view: LedgerView, swarm: Swarm, why: str, seconds: Mapping[str, float]
    ) -> None:
        """Append a round without a model."""
        common = self._common(view, seconds)
        if view.current.number != number:  # nobody sealed: the ledger never saw the round
            common |= {"leader": None, "succession": [], "committee": [], "parent_hash": None}
            common |= {"sealed": [], "abstained": []}
        void: dict[str, Any] = {
            "included": [],
            "aggregate_hash": None,
            "certificate": None,
            "loss": None,
        }
        self._append({**common, "round": number, "status": "void", "reason": why, **void})

    def finish(self, swarm: Swarm, model: Arrays, state: Arrays) -> None:
        """Add the final model and the chain's history, and list every file by its SHA-256."""
        if not self._started:
            return
        save_arrays(self._directory / FINAL, model, state)
        self._write_json(CHAIN, history.export(swarm.place.chain_url, swarm.place.contract))
        write_manifest(self._directory)

    def _loss(metrics: MetricRecord | None) -> float | None:
    """The aggregated training loss, if the app reports one."""
    for name, value in (metrics or {}).items():
        if "loss" in name and isinstance(value, float | int):
            return float(value)
    return None
