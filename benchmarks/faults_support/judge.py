"""What came of a study: the right model, recomputed; rounds; what the relays' logs name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flwr_swarm._exceptions import SwarmError
from flwr_swarm.chain import history
from flwr_swarm.chain.replay import replay
from flwr_swarm.deployment.consortium import Local
from flwr_swarm.report.verify import verify

from .relay_run import RelayRun
from .scenario import NOT_JUDGED, Record, Scenario

if TYPE_CHECKING:
    from .study import Study

UNIT = 0.01
"""As the app has it."""
TOLERANCE = 2e-5
"""A round's fixed point moves no value by more; wrong sets differ by 1e-3 and more."""
_TELLING = re.compile(
    r"ended by signal|begins again|is back|joined$|joined,|seals of members|run ends here"
)
"""Lines that are no warnings, and say who or what was missing."""
_LINES = 4
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


def warnings(relays: Sequence[RelayRun], marks: Sequence[int]) -> list[str]:
    """Warnings that the relays' logs hold since `marks`."""
    found: list[str] = []
    for at, relay in enumerate(relays):
        text = relay.text()[marks[at] if at < len(marks) else 0 :]
        for line in text.splitlines():
            told = re.search(r"(WARNING|ERROR)\s*:?\s*(.*)", line)
            if told and told[2].strip() not in found:
                found.append(told[2].strip())
            elif _TELLING.search(line):
                found.append(line.strip())
    return [line[:_WIDTH] for line in found]


def judge(study: Study, records: list[Record], code: int | None) -> None:
    """Complete the records."""
    chain = replay(history.export(study.cluster.url, study.ledger.contract))
    rounds = {r.round.number: r.round for r in chain.rounds}
    lines = evidence_lines(study.local)
    opened = {line["round"] for line in lines if line["status"] == "certified"}
    right, why = _model(study, rounds, opened, code)
    certified = {n for n, r in rounds.items() if r.certificate is not None}
    kept = not certified or max(certified) in opened
    for at, record in enumerate(records):
        end = records[at + 1].round if at + 1 < len(records) else max(rounds, default=0) + 1
        own = range(record.round, max(end, record.round + 1))
        record.rounds_asked = len(own)
        record.rounds_certified = len(certified & set(own))
        record.rounds_opened = len(opened & set(own))
        record.rounds_lost = record.rounds_asked - record.rounds_opened
        first = rounds.get(record.round)
        if first is not None and first.certificate is not None:
            record.included = list(first.certificate.included)
        record.final_kept, record.model_right = kept, right
        scenario = study.scenarios[at]
        record.named = re.search(scenario.names, "\n".join(record.log), re.I) is not None
        if record.outcome == "recovered":
            record.outcome = _words(record, rounds, scenario, study)
        _pass(record, why)
        named = [x for x in record.log if scenario.names and re.search(scenario.names, x, re.I)]
        record.log = list(dict.fromkeys([*named, *record.log]))[:_LINES]


def _words(record: Record, rounds: dict[int, Any], scenario: Scenario, study: Study) -> str:
    first = rounds.get(record.round)
    if scenario.ends:
        return "run ends in order, last model kept"
    if record.rounds_lost:
        return "void, next round goes on"
    if first is not None and first.certificate is not None:
        members = len(first.certificate.included)
        view = first.certificate.view
        other = f", leader {view + 1} of the succession" if view else ""
        return f"same round, {members} of 4 in the sum{other}"
    return "same round"


def _model(
    study: Study, rounds: dict[int, Any], opened: set[int], code: int | None
) -> tuple[bool, str]:
    if code != 0:
        return False, f"the last relay ended with code {code}"
    steps = [mean_step(rounds[n].certificate.included) for n in sorted(opened)]
    path = study.relay.folder.relay / "model.npy"
    if not path.exists():
        return False, "no model was saved"
    values = np.load(path)
    off = float(np.abs(values - sum(steps)).max())
    if not off < TOLERANCE * max(len(steps), 1):
        return False, f"the model is off by {off:.1e} after {len(steps)} rounds"
    for folder in evidence(study.local):
        if (folder / "manifest.json").exists():
            try:
                verify(folder)
            except SwarmError as error:
                return False, f"the evidence of {folder.name} is refused: {error}"[:_WIDTH]
    return True, ""


def _pass(record: Record, why: str) -> None:
    record.why = "" if record.why == NOT_JUDGED else record.why
    wrong = []
    if record.outcome in {"hung", "not reached"}:
        wrong.append(record.outcome)
    if not record.model_right:
        wrong.append(why)
    if not record.final_kept:
        wrong.append("the last certified round was not opened")
    if record.rounds_lost > record.lost_allowed:
        wrong.append(f"{record.rounds_lost} rounds lost")
    if not record.named:
        wrong.append("the log does not name the cause")
    record.passed = not wrong
    record.why = "; ".join(filter(None, [record.why, *wrong]))
