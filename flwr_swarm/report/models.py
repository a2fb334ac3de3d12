"""Every global model again: from the first to the last, one opened sum at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._exceptions import EvidenceError
from ..chain.replay import Replay
from ..chain.state import Record
from ..flower.replay import replay as step
from ..protocol.hashing import Arrays, model_hash
from ..protocol.member import round_context
from ..protocol.memory import Parent
from ..protocol.payload import aggregate_hash, decode_layout
from ..protocol.terms import Terms
from ..protocol.types import Phase
from .evidence import BEFORE, FINAL, INITIAL, SUM, load_arrays


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What the evidence leads to.

    Parameters
    ----------
    models : int
        Recomputed from opened sums.
    elsewhere : tuple of int
        Rounds that trained on a model to which only another relay's evidence leads.
    final_hash : str
    """

    models: int
    elsewhere: tuple[int, ...]
    final_hash: str


def follow_models(run: Path, proven: Replay, terms: Terms, first: int) -> Followed:
    """Follow the model through the certified rounds from `first` on.

    Where a run took up another's study, its initial model is the one that the first round's
    members sealed on, which the chain proves. So it is where another relay went on meanwhile.

    Raises
    ------
    EvidenceError
        If a round trained on another model than the evidence leads to, or it ends on another.
    """
    model, state = load_arrays(run / INITIAL)
    final_model, final_state = load_arrays(run / FINAL)
    if terms.encryption == "none":  # the baseline certifies the inputs of the merge only
        final_hash = model_hash(final_model, final_state).hex()
        return Followed(models=0, elsewhere=(), final_hash=final_hash)
    models, elsewhere, opened, lost = 0, [], True, None
    for record, folder in _certified(run, proven, first):
        current = record.round
        if current.parent != model_hash(model, state):
            # Only what was opened by others leads elsewhere than to what this run has.
            lost = _elsewhere(current.number, current.parent, model_hash(model, state))
            if opened:
                raise lost
            elsewhere.append(current.number)
            if (folder / BEFORE).is_file():
                model, state = load_arrays(folder / BEFORE)
        if current.parent == model_hash(model, state):
            lost = None
        opened = (folder / SUM).is_file()
        if opened and lost is not None:
            raise lost
        if opened:
            model, state = _next_model(folder, record, proven, terms, model, state)
            models += 1
    if lost is not None:
        raise lost
    final_hash = model_hash(model, state).hex()
    if final_hash != model_hash(final_model, final_state).hex():
        raise EvidenceError(f"{FINAL} is not the model that the last opened round leads to")
    return Followed(models=models, elsewhere=tuple(elsewhere), final_hash=final_hash)


def _certified(run: Path, proven: Replay, first: int) -> Iterator[tuple[Record, Path]]:
    """Rounds with their folders. A void one leads nowhere: anybody may open it with any model."""
    for record in proven.rounds:
        if record.round.number >= first and record.round.phase is Phase.CERTIFIED:
            yield record, run / "rounds" / f"{record.round.number:04d}"


def _elsewhere(number: int, parent: bytes, leads_to: bytes) -> EvidenceError:
    return EvidenceError(
        f"round {number} trained on model {parent.hex()[:16]}…, but the evidence leads to "
        f"{leads_to.hex()[:16]}…"
    )


def _next_model(
    folder: Path, record: Record, proven: Replay, terms: Terms, model: Arrays, state: Arrays
) -> tuple[dict[str, Any], dict[str, Any]]:
    current, certificate = record.round, record.round.certificate
    if certificate is None or record.policy is None:
        raise EvidenceError(f"round {current.number} has a sum but no certificate")
    merged = (folder / SUM).read_bytes()
    if aggregate_hash(terms, merged) != certificate.aggregate_hash:
        raise EvidenceError(f"round {current.number}: the sum is not the certified one")
    openings = {
        int(path.stem.removeprefix("opening-")): path.read_bytes()
        for path in sorted(folder.glob("opening-*.bin"))
    }
    lanes = terms.scheme().open(
        merged,
        openings,
        context=round_context(proven.view, current.number, current.parent),
        threshold=record.policy.threshold,
        included=len(certificate.included),
    )
    parent = Parent(round=current.number, hash=current.parent, model=model, state=state)
    layout = decode_layout((folder / "layout.json").read_bytes())
    stepped = step(terms, current.number, parent, layout, lanes, len(certificate.included))
    return dict(stepped[0]), dict(stepped[1])
