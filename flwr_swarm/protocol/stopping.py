"""When a run ends before its last round: rules that see its public course and give a reason.

A rule is any object with `reason(progress)`. Several rules end a run as soon as one of them has a
reason. All that they see is public or opened: the ledger, and the weighted means of the metrics,
which are encrypted until a round's sum is opened; never what one site reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from .._exceptions import ConfigurationError, UnusableMetric
from .payload import Metrics
from .stopped import is_stopped, stop_words
from .terms import Terms
from .types import EPSILON_UNIT, NO_CAP, LedgerView, Member

Mode = Literal["min", "max"]
_VERBS: Final = {"min": "fallen", "max": "risen"}


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A round that is over.

    Parameters
    ----------
    number : int
    metrics : mapping of str to number or list of numbers, or None
        The weighted means that were opened; None for a round that led to no model.
    epsilon : mapping of int to int
        Seat to cumulative micro-epsilon on the ledger after the round.
    length : int or None
        Local training that the round asked for (see `AdaptiveInterval`), if that is adapted.
    """

    number: int
    metrics: Metrics | None
    epsilon: Mapping[int, int] = field(default_factory=dict)
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A run's course so far, as rules see it.

    Parameters
    ----------
    view : LedgerView
    terms : Terms
        Of the study, as the relay runs it.
    rounds : tuple of Finished
        Rounds that are known, oldest first. A relay that took up a study may know none yet.
    start : mapping of int to int
        Seat to cumulative micro-epsilon before the first of them.
    length : int or None
        Local training that the next round would ask for.
    """

    view: LedgerView
    terms: Terms
    rounds: tuple[Finished, ...] = ()
    start: Mapping[int, int] = field(default_factory=dict)
    length: int | None = None

    def means(self, metric: str) -> tuple[tuple[int, float], ...]:
        """(round, mean) of every round that led to a model; void rounds have no mean.

        Raises
        ------
        UnusableMetric
            If such a round has no mean of this name, or one that is no finite number.
        """
        return tuple((r.number, mean(metric, r)) for r in self.rounds if r.metrics is not None)


class Rule(Protocol):
    """Decides whether a run should end."""

    def reason(self, progress: Progress) -> str | None:
        """Why to end now, in one sentence with values; None to go on."""
        ...


def mean(metric: str, finished: Finished) -> float:
    """The mean of one metric in a round that led to a model; see `Progress.means`."""
    metrics = finished.metrics or {}
    value = metrics.get(metric)
    if value is None:
        names = ", ".join(sorted(metrics)) or "none"
        raise UnusableMetric(
            f"round {finished.number} has no mean of {metric!r}; the metrics that the members "
            f"returned are: {names}. Return {metric!r} in the train function's MetricRecord, or "
            "name one of these"
        )
    if isinstance(value, list) or not math.isfinite(value):
        what = "a list" if isinstance(value, list) else repr(float(value))
        raise UnusableMetric(
            f"the mean of {metric!r} in round {finished.number} is {what}, and no finite number; "
            f"the metrics that the members returned are: {', '.join(sorted(metrics))}"
        )
    return float(value)


def first_reason(rules: Iterable[Rule], progress: Progress) -> str | None:
    """The reason of the first rule that has one."""
    return next((r for rule in rules if (r := rule.reason(progress)) is not None), None)


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """End when a mean metric has not become better for a while.

    The members return the metric from their train function; only its mean over the sum's members
    is ever opened. Validate the model that came with the message, before training on it: then the
    mean is about the swarm's model.

    Parameters
    ----------
    metric : str
    patience : int
        Rounds without improvement after which to end, at least 1. Rounds that led to no model do
        not count.
    min_delta : float
        How much better than the best one a mean must be to count as an improvement, at least 0.
    mode : {"min", "max"}
        Whether less is better, or more.

    Notes
    -----
    A relay that takes up another's study begins a new window, as the means of earlier rounds are
    not on the ledger, unless it has them from the evidence of the run before.
    """

    metric: str = "val-loss"
    patience: int = 5
    min_delta: float = 0.0
    mode: Mode = "min"

    def __post_init__(self) -> None:
        if self.mode not in _VERBS:
            raise ConfigurationError(f"mode must be 'min' or 'max', got {self.mode!r}")
        check_patience(self.patience, self.min_delta)

    def reason(self, progress: Progress) -> str | None:
        """See `Rule`; raises `UnusableMetric` where there is no such mean."""
        sign = 1.0 if self.mode == "min" else -1.0
        best: tuple[int, float] | None = None
        since = 0
        for number, value in progress.means(self.metric):
            if best is None or sign * value < sign * best[1] - self.min_delta:
                best, since = (number, value), 0
            else:
                since += 1
        if best is None or since < self.patience:
            return None
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return (
            f"{self.metric} has not {_VERBS[self.mode]}{by} in {since} "
            f"round{'s' if since > 1 else ''} (best {best[1]:.6g} in round {best[0]})"
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """End before a round that too few members could pay for.

    A member whose epsilon would exceed the policy's `epsilon_cap` cannot seal: the contract
    refuses it, after the training has spent its budget. The next round of a member is taken to
    cost what its last one cost, and in proportion more if it trains longer. For equal noise and
    sampling rate that is an upper bound: epsilon by Renyi composition is a minimum of functions
    that are linear in the number of steps, so each round adds no more than the one before.

    Nothing is remembered that the ledger does not hold: a relay that takes up a study compares
    the seals of the ledger's last two rounds.
    """

    def reason(self, progress: Progress) -> str | None:
        """See `Rule`."""
        view, policy = progress.view, progress.view.policy
        if policy.epsilon_cap == NO_CAP:
            return None
        members = [member for member in view.seated if not member.suspended]
        known = {m.index: cost for m in members if (cost := _next_cost(progress, m)) is not None}
        # Who never sealed pays most for its first round; what others paid is all that is known.
        dearest = max(known.values(), default=0)
        due = {m.index: m.epsilon + known.get(m.index, dearest) for m in members}
        able = [seat for seat, epsilon in due.items() if epsilon <= policy.epsilon_cap]
        if len(able) >= policy.min_included:
            return None
        over = ", ".join(
            f"member {seat} to {epsilon / EPSILON_UNIT:.4g}"
            for seat, epsilon in due.items()
            if seat not in able
        )
        return (
            f"the next round would leave {len(able)} members below the epsilon cap of "
            f"{policy.epsilon_cap / EPSILON_UNIT:g}, and a sum needs {policy.min_included} "
            f"(it would bring {over or 'nobody else'})"
        )


@dataclass(frozen=True, kw_only=True)
class Vote:
    """End when the members voted to stop the study, or agreed on other terms; see `stopped`.

    Members refuse to train then, whatever the relay does, so a run always heeds a vote, also if
    this rule is not among its rules.
    """

    def reason(self, progress: Progress) -> str | None:
        """See `Rule`."""
        agreed = progress.view.policy.terms
        if is_stopped(progress.view, progress.terms):
            return stop_words(progress.view)
        if agreed == progress.terms.hash():
            return None
        return (
            f"the members agreed on other terms, with hash {agreed.hex()[:16]}…; start a relay "
            "with those, and it goes on from the last certified round"
        )


def check_patience(patience: int, min_delta: float) -> None:
    """Refuse a window that is none.

    Raises
    ------
    ConfigurationError
    """
    if patience < 1:
        raise ConfigurationError(f"patience must be 1 or more rounds, got {patience}")
    if not (math.isfinite(min_delta) and min_delta >= 0):
        raise ConfigurationError(f"min_delta must be finite and 0 or more, got {min_delta}")


def _next_cost(progress: Progress, member: Member) -> int | None:
    """Upper bound of what the next round costs `member` in micro-epsilon; None if unknown."""
    before = progress.start.get(member.index)
    found: int | None = None
    for finished in progress.rounds:
        if finished.number < member.since:  # another site had the seat
            before = found = None
            continue
        after = finished.epsilon.get(member.index)
        if before is not None and after is not None and after > before:
            found = _stretched(after - before, finished.length, progress.length)
        before = after if after is not None else before
    if found is not None:
        return found
    return _last_step(progress.view, member)


def _stretched(cost: int, was: int | None, becomes: int | None) -> int:
    """What a round of another length costs at most. A shorter one is not taken to be cheaper."""
    if not was or becomes is None or becomes <= was:
        return cost
    return math.ceil(cost * becomes / was)


def _last_step(view: LedgerView, member: Member) -> int | None:
    """Difference between the member's seals in the ledger's last two rounds, if it has both."""
    epsilons: Sequence[int] = [
        seal.epsilon
        for found in (view.final, view.current)
        if found is not None and (seal := found.seal_of(member.index)) is not None
    ]
    if len(epsilons) < 2 or member.since > (view.final.number if view.final else 0):
        return None
    return epsilons[1] - epsilons[0] if epsilons[1] > epsilons[0] else None
