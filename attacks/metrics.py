"""How well scores separate members from non-members, with intervals clustered by example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flwr_swarm._exceptions import ConfigurationError

Array = NDArray[np.float64]

_TAIL = 0.025
_BLOCK = 1_000_000  # weights held at once: 8 MB an array


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value in [0, 1] and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Separation:
    """AUC, and true-positive rate at a small false-positive rate, of one attack."""

    auc: Estimate
    tpr: Estimate


def auc(scores: ArrayLike, member: ArrayLike) -> float:
    """Probability that a member scores above a non-member, ties counting one half."""
    levels = _Levels.of(scores, member)
    return float(levels.rates(np.ones((1, levels.count)), 0.01)[0][0])


def tpr_at_fpr(scores: ArrayLike, member: ArrayLike, *, fpr: float = 0.01) -> float:
    """Share of members found by the lowest threshold that accuses at most `fpr` of the others.

    No interpolation between thresholds: below 1/fpr non-members this means no false accusation.
    """
    levels = _Levels.of(scores, member)
    return float(levels.rates(np.ones((1, levels.count)), fpr)[1][0])


def separation(
    scores: ArrayLike,
    member: ArrayLike,
    *,
    examples: ArrayLike | None = None,
    fpr: float = 0.01,
    resamples: int = 1000,
    seed: int = 0,
) -> Separation:
    """AUC and TPR at `fpr` with 95 % percentile intervals from a bootstrap over examples.

    Parameters
    ----------
    scores : float array, shape (n,)
        Higher means more likely a member.
    member : bool array, shape (n,)
    examples : array, shape (n,), optional
        Who each score is about. An example scored against several targets is one cluster, drawn
        or left out as a whole: its scores are not independent. By default all are different.
    fpr : float
        In (0, 1).
    resamples : int
        Bootstrap resamples, > 0.
    seed : int

    Raises
    ------
    ConfigurationError
        If shapes differ, a score is NaN, or there is no member or no non-member.
    """
    levels = _Levels.of(scores, member)
    ids = np.arange(levels.count) if examples is None else np.asarray(examples)
    if ids.shape != (levels.count,):
        raise ConfigurationError(
            f"examples has shape {ids.shape} for {levels.count} scores; give one id a score"
        )
    if not 0 < fpr < 1 or resamples < 1:
        raise ConfigurationError(
            f"fpr must be in (0, 1) and resamples >= 1, got {fpr} and {resamples}"
        )
    cluster = np.unique(ids, return_inverse=True)[1].reshape(-1)
    clusters = int(cluster.max()) + 1
    cluster_by_rank = cluster[levels.order]
    rng = np.random.default_rng(seed)
    resampled: list[tuple[Array, Array]] = []
    block = max(1, _BLOCK // max(levels.count, clusters))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        resampled.append(levels.rates(times[:, cluster_by_rank].astype(np.float64), fpr))
    (value,), (rate,) = levels.rates(np.ones((1, levels.count)), fpr)
    aucs, tprs = (np.concatenate(parts) for parts in zip(*resampled, strict=True))
    return Separation(
        auc=_interval(float(value), aucs),
        tpr=_binomial_floor(
            _interval(float(rate), tprs), trials=len(np.unique(cluster[levels.member]))
        ),
    )


def _interval(value: float, resampled: Array) -> Estimate:
    low, high = np.quantile(resampled, [_TAIL, 1 - _TAIL]) if len(resampled) else (0.0, 1.0)
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def _binomial_floor(rate: Estimate, *, trials: int) -> Estimate:
    """Resampling nothing but misses, or hits, shows no spread; Clopper and Pearson (1934) do."""
    slack = 1 - _TAIL ** (1 / trials)
    if rate.value == 0:
        return Estimate(value=0.0, low=0.0, high=max(rate.high, slack))
    if rate.value == 1:
        return Estimate(value=1.0, low=min(rate.low, 1 - slack), high=1.0)
    return rate


@dataclass(frozen=True, kw_only=True, eq=False)
class _Levels:
    """Scores sorted once, so that each resample is only a weighted sum over score levels."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    member: NDArray[np.bool_]

    @classmethod
    def of(cls, scores: ArrayLike, member: ArrayLike) -> _Levels:
        values, truth = np.asarray(scores, np.float64), np.asarray(member, np.bool_)
        if values.ndim != 1 or values.shape != truth.shape:
            raise ConfigurationError(
                f"scores and member must be vectors of one length, got {values.shape} "
                f"and {truth.shape}"
            )
        if np.isnan(values).any():
            raise ConfigurationError(
                f"{int(np.isnan(values).sum())} scores are NaN; did the target model diverge?"
            )
        if truth.all() or not truth.any():
            raise ConfigurationError(
                f"{int(truth.sum())} members among {len(truth)} examples; "
                "an attack is measured on both members and non-members"
            )
        order = np.argsort(values, kind="stable")
        ranked = values[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        return cls(order=order, starts=starts, member=truth)

    @property
    def count(self) -> int:
        return len(self.order)

    def rates(self, ranked: Array, fpr: float) -> tuple[Array, Array]:
        """AUC and TPR for each row of `ranked`: how often each score counts, in rank order.

        Rows without members, or without non-members, say nothing and are left out.
        """
        truth = self.member[self.order]
        inside = np.add.reduceat(ranked * truth, self.starts, axis=1)
        outside = np.add.reduceat(ranked * ~truth, self.starts, axis=1)
        told = (inside.sum(axis=1) > 0) & (outside.sum(axis=1) > 0)
        found, accused = np.cumsum(inside[told], axis=1), np.cumsum(outside[told], axis=1)
        members, others = found[:, -1:], accused[:, -1:]
        wins = (inside[told] * (accused - 0.5 * outside[told])).sum(axis=1, keepdims=True)
        # A threshold just above level l accuses everything above l. The weights are counts, but
        # fpr times a count is not: allow for its rounding.
        allowed = others - accused <= fpr * others * (1 + 1e-12)
        # Allowed levels are a suffix; the lowest threshold is just above the first one ...
        first = allowed.argmax(axis=1)[:, None]
        # ... which always exists, since above the top level nobody is accused.
        hits = members - np.take_along_axis(found, first, axis=1)
        return (wins / (members * others))[:, 0], (hits / members)[:, 0]
