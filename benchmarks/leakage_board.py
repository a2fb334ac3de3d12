"""Scores of many targets by regime, view and attack; numbers with intervals and curves of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from flwr_swarm_attacks import Separation, View, separation
from numpy.typing import NDArray

Array = NDArray[np.float64]
REGIMES: Final = ("local", "central", "federated", "swarm")
_CURVE = 80


@dataclass(frozen=True, kw_only=True, eq=False)
class AttackCurve:
    """One attack in one cell: its numbers, and its ROC curve as (false, true) positive rates."""

    regime: str
    view: View
    attack: str
    separation: Separation
    members: int
    non_members: int
    targets: int
    curve: list[tuple[float, float]] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        auc, tpr = asdict(self.separation.auc), asdict(self.separation.tpr)
        counts = {"members": self.members, "non_members": self.non_members}
        named = {"regime": self.regime, "view": self.view.value, "attack": self.attack}
        return {**named, "auc": auc, "tpr_at_1pct_fpr": tpr, **counts, "targets": self.targets,
                "roc": self.curve}  # fmt: skip


class Board:
    """Collects scores by (regime, view, attack) over targets."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, View, str], list[tuple[Array, Array, Array]]] = defaultdict(
            list
        )

    def add(
        self, regime: str, view: View, attack: str, score: Array, member: Array, examples: Array
    ) -> None:
        """One target's scores, its truth, and who the examples are."""
        self._kept[regime, view, attack].append((score, member, examples))

    def curves(self, *, resamples: int) -> Iterator[AttackCurve]:
        """All attacks, with intervals clustered by example."""
        for (regime, view, attack), parts in self._kept.items():
            score, member, examples = (np.concatenate(part) for part in zip(*parts, strict=True))
            yield AttackCurve(
                regime=regime,
                view=view,
                attack=attack,
                separation=separation(score, member, examples=examples, resamples=resamples),
                members=int(member.sum()),
                non_members=int((~member).sum()),
                targets=len(parts),
                curve=roc(score, member),
            )


def roc(score: Array, member: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """The ROC curve, thinned to points that a log-log chart can show."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    found = np.cumsum(member[order])[ends] / member.sum()
    accused = np.cumsum(~member[order])[ends] / (~member).sum()
    wanted = np.geomspace(0.5 / (~member).sum(), 1, _CURVE)
    places = np.unique(np.searchsorted(accused, wanted, side="right").clip(1, len(accused)) - 1)
    return [(round(float(accused[k]), 6), round(float(found[k]), 6)) for k in places]
