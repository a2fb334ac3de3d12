"""The right model, recomputed from the ledger, and the models that relays had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flwr_swarm._exceptions import SwarmError
from flwr_swarm.deployment.consortium import Local
from flwr_swarm.report.verify import verify

UNIT = 0.01
"""As the app has it."""
TOLERANCE = 2e-5
"""A round's fixed point moves no value by more; wrong sets differ by 1e-3 and more."""
_WIDTH = 260


def evidence(local: Local) -> Iterator[Path]:
    """Folders of all runs, of whichever relay."""
    for site in local.sites:
        yield from sorted((site.relay / "swarm-runs").glob("*"))


def evidence_lines(local: Local) -> list[dict[str, Any]]:
    """What relays recorded of rounds."""
    lines = []
    for folder in evidence(local):
        path = folder / "rounds.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]
    return lines


def mean_step(included: Sequence[int]) -> float:
    """What a round adds to each value: member m adds (m + 1) units, on 100 (m + 1) examples."""
    places = [member + 1 for member in included]
    return UNIT * sum(p * p for p in places) / sum(places)


@dataclass(frozen=True)
class Seen:
    """A model that a relay's loop had, and when."""

    when: float
    values: Any


@dataclass(frozen=True, kw_only=True)
class Models:
    """What relays had, beside what follows from the certified sets that were opened.

    Parameters
    ----------
    steps : mapping of int to float
        What each opened round adds to each value.
    seen : sequence of Seen
        In order of time.
    """

    steps: Mapping[int, float]
    seen: Sequence[Seen]

    @classmethod
    def of(cls, local: Local, steps: Mapping[int, float]) -> Models:
        """All that the app saved, at whichever relay."""
        files = (path for site in local.sites for path in site.relay.glob("models/*.npy"))
        seen = [Seen(int(path.stem) / 1e9, np.load(path)) for path in files]
        return cls(steps=steps, seen=sorted(seen, key=lambda s: s.when))

    def wrong(self, end: int, start_time: float, end_time: float) -> str:
        """What is wrong with the models of a stretch of time whose rounds end before `end`."""
        opened = sorted(self.steps)
        totals = [sum(self.steps[n] for n in opened[:count]) for count in range(len(opened) + 1)]
        for model in self.seen:
            if start_time <= model.when < end_time and not any(
                _is(model.values, total, count) for count, total in enumerate(totals)
            ):
                return "a relay went on with a model that follows from no certified rounds"
        count = sum(number < end for number in opened)
        if not any(_is(model.values, totals[count], count) for model in self.seen):
            return f"no relay had the model that {count} opened rounds lead to"
        return ""

    def wrong_at_end(self, relay: Path, code: int | None) -> str:
        """What is wrong with the study's last model; empty if nothing."""
        if code is None:
            return "the last run did not end when it was told to"
        if code != 0:
            return f"the last relay ended with code {code}"
        if not (relay / "model.npy").exists():
            return "no model was saved"
        values, total = np.load(relay / "model.npy"), sum(self.steps.values())
        if _is(values, total, len(self.steps)):
            return ""
        off = float(np.abs(values - total).max())
        return f"the last model is off by {off:.1e} after {len(self.steps)} rounds"


def refused(local: Local) -> str:
    """What `verify` finds wrong with the evidence of the runs that ended in order."""
    for folder in evidence(local):
        if (folder / "manifest.json").exists():
            try:
                verify(folder)
            except SwarmError as error:
                return f"the evidence of {folder.name} is refused: {error}"[:_WIDTH]
    return ""


def _is(values: Any, expected: float, rounds: int) -> bool:
    return float(np.abs(values - expected).max()) < TOLERANCE * max(rounds, 1)
