"""Check a run's evidence offline: files, chain, draws, certificates, sums, and every model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .._exceptions import EvidenceError
from ..chain.replay import Replay, replay
from ..protocol.hashing import canonical_json, parse_json
from ..protocol.stopped import stopped_terms
from ..protocol.terms import Terms
from ..protocol.types import EPSILON_UNIT
from .evidence import CHAIN, MANIFEST, ROUNDS, SUM, SWARM, file_hash, write_manifest
from .models import follow_models
from .settling import UNSEEN, facts, spent

__all__ = ["Verified", "verify", "write_manifest"]

RUN: Final = "run"
RESULT: Final = "result.json"
_DEEPEST: Final = 16
STATUSES: Final = ("certified", "unopened", "void")


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What the evidence proves.

    Parameters
    ----------
    members : int
    first : int
        The run's first round. Those before it were another relay's, and are in its evidence.
    rounds, certified : int
        Rounds of the run that the ledger saw, and those with a certificate.
    leaders : tuple of int
        Leader of each certified round.
    models : int
        Models that were recomputed from opened sums; 0 without encryption.
    elsewhere : tuple of int
        Rounds that trained on a model to which only another relay's evidence leads, which went on
        while this one was cut off. That they trained on it, the chain proves.
    epsilon : float
        Highest cumulative epsilon of any member.
    final_hash : str
        Hash of the final model.
    contract : str
    """

    members: int
    first: int
    rounds: int
    certified: int
    leaders: tuple[int, ...]
    models: int
    elsewhere: tuple[int, ...]
    epsilon: float
    final_hash: str
    contract: str


def verify(run_dir: str | Path) -> Verified:
    """Check the evidence in `run_dir`, or in its folder ``run`` if it is a demo's output.

    Senders, draws and certificates are recomputed from the members' signed transactions; sums are
    opened again and every global model is recomputed from the one before. Not checked, because
    nothing signs them: durations, losses, other metrics, reasons of void rounds, block times,
    what sites call themselves, that no later round was cut off, and what a report's figures mean.

    Raises
    ------
    EvidenceError
        With what is wrong, if anything was changed, is missing, or does not follow.
    """
    try:
        return _verify(Path(run_dir))
    except EvidenceError:
        raise
    except Exception as error:  # hostile files can make any parser fail in any way
        raise EvidenceError(
            f"the evidence does not hold together: {type(error).__name__}: {error}"
        ) from error


def _verify(directory: Path) -> Verified:
    if (directory / RUN / MANIFEST).is_file():
        if (directory / MANIFEST).is_file():
            check_files(directory)
        run = directory / RUN
        _same_rounds(directory / RESULT, run / ROUNDS)
    else:
        run = directory
    check_files(run)
    return _verify_run(run)


def check_files(directory: Path) -> None:
    """Every file that the manifest lists, unchanged, and no other.

    Raises
    ------
    EvidenceError
        Naming the first file that differs.
    """
    manifest = directory / MANIFEST
    if not manifest.is_file():
        raise EvidenceError(
            f"{directory} holds no {MANIFEST}; name the directory of a finished run "
            "(for the demo: swarm-demo)"
        )
    told = _canonical(manifest)
    listed = told.get("sha256") if isinstance(told, dict) else None
    if not isinstance(listed, dict):
        raise EvidenceError(f"{MANIFEST} was changed after the run: it lists no files")
    found = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path != manifest
    }
    for name in sorted(set(listed) - set(found)):
        raise EvidenceError(f"{name} is missing from {directory}")
    for name in sorted(set(found) - set(listed)):
        raise EvidenceError(f"{name} in {directory} is not part of the evidence")
    for name, path in found.items():
        if file_hash(path) != listed[name]:
            raise EvidenceError(f"{name} was changed after the run: its SHA-256 differs")


def _canonical(path: Path) -> Any:
    data = path.read_bytes()
    try:
        value = parse_json(data, deepest=_DEEPEST)
    except ValueError as error:
        raise EvidenceError(f"{path.name} is not JSON: {error}") from None
    if canonical_json(value) != data:
        raise EvidenceError(f"{path.name} was changed after the run: it is not as it was written")
    return value


def _same_rounds(result: Path, rounds: Path) -> None:
    if not result.is_file():
        return
    told = parse_json(result.read_bytes(), deepest=_DEEPEST).get("rounds")
    if told != _lines(rounds):
        raise EvidenceError(f"the rounds in {result.name} are not those of the run's evidence")


def _lines(rounds: Path) -> list[Any]:
    return [parse_json(line, deepest=_DEEPEST) for line in rounds.read_bytes().splitlines()]


def _verify_run(run: Path) -> Verified:
    swarm = _canonical(run / SWARM)
    history = _canonical(run / CHAIN)
    proven = replay(history)
    terms = Terms.from_json(swarm["terms"])
    _check_terms(terms, proven, swarm["first_round"])
    if (swarm["chain_id"], swarm["contract"]) != (history["chain_id"], history["contract"]):
        raise EvidenceError("terms and chain history are of different swarms")
    lines = _lines(run / ROUNDS)
    _check_lines(lines, swarm, proven)
    _check_opened(run, lines, terms)
    first = swarm["first_round"]
    followed = follow_models(run, proven, terms, first)
    own = [r for r in proven.rounds if r.round.number >= first]
    certified = [r for r in own if r.round.certificate is not None]
    return Verified(
        members=len(proven.view.seated),
        first=first,
        rounds=len(own),
        certified=len(certified),
        leaders=tuple(r.round.leader for r in certified if r.round.leader is not None),
        models=followed.models,
        elsewhere=followed.elsewhere,
        epsilon=max(m.epsilon for m in proven.state.members) / EPSILON_UNIT,
        final_hash=followed.final_hash,
        contract=swarm["contract"],
    )


def _check_terms(terms: Terms, proven: Replay, first: int) -> None:
    """The terms are those under which the run's rounds ran, whatever was agreed on since."""
    certified = [r for r in proven.rounds if r.round.number >= first and r.round.certificate]
    pinned = {r.policy.terms for r in certified if r.policy} or {proven.state.policy.terms}
    if not pinned <= {terms.hash(), stopped_terms(terms.hash())}:
        raise EvidenceError("the terms are not those that the contract pins")


def _check_lines(lines: list[dict[str, Any]], swarm: dict[str, Any], proven: Replay) -> None:
    """What the relay told of each round is what the members' transactions prove."""
    told = {line["round"]: line for line in lines if line["parent_hash"] is not None}
    unseen = [line for line in lines if line["parent_hash"] is None]
    if len(told) + len(unseen) != len(lines):
        raise EvidenceError(f"{ROUNDS} tells of one round twice")
    for line in unseen:
        if any(line.get(name) != value for name, value in UNSEEN.items()):
            raise EvidenceError(
                f"round {line['round']}: {ROUNDS} says what happened in it, the chain never saw it"
            )
    known = {record.round.number: record for record in proven.rounds}
    first = swarm["first_round"]
    if type(first) is not int or first < 1:
        raise EvidenceError(f"{SWARM} says that the run began in round {first!r}")
    known = {number: record for number, record in known.items() if number >= first}
    if list(told) != sorted(known):
        raise EvidenceError(f"{ROUNDS} tells of rounds {list(told)}, the chain of {sorted(known)}")
    epsilon = dict.fromkeys(swarm["labels"], 0.0)
    for number, line in told.items():
        for name, value in facts(known[number]).items():
            if line.get(name) != value:
                raise EvidenceError(
                    f"round {number}: {ROUNDS} says {name} = {line.get(name)!r}, the chain proves "
                    f"{value!r}"
                )
        epsilon = spent(epsilon, known[number].round)
        if line.get("epsilon") != epsilon:
            raise EvidenceError(f"round {number}: epsilon is not as the members sealed it")


def _check_opened(run: Path, lines: list[dict[str, Any]], terms: Terms) -> None:
    """A round is told as opened exactly if its sum and openings are there."""
    strange = {path.name for path in (run / "rounds").glob("*")}
    strange -= {f"{line['round']:04d}" for line in lines}
    if strange:
        raise EvidenceError(f"the evidence holds sums of rounds that never were: {sorted(strange)}")
    for line in lines:
        if line["parent_hash"] is None:
            continue  # the next attempt had the same number
        folder = run / "rounds" / f"{line['round']:04d}"
        opened = line["status"] == "certified" and terms.encryption == "threshold"
        if line["status"] not in STATUSES or opened != (folder / SUM).is_file():
            raise EvidenceError(
                f"round {line['round']} is told as {line['status']!r}, which its files do not show"
            )
