"""A run's course: its rounds as stop rules see them, and what the next round is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, MetricRecord

from .._exceptions import ConfigurationError
from ..protocol.interval import AdaptiveInterval
from ..protocol.payload import Metrics
from ..protocol.stopping import Finished, Progress, Rule, Vote, first_reason
from ..protocol.terms import Terms
from ..protocol.types import LedgerView


class Course:
    """What a relay keeps of its run's rounds, and what follows from them.

    Parameters
    ----------
    stop : sequence of Rule
        The run ends as soon as one of them has a reason. The members' vote always ends it.
    interval : AdaptiveInterval, optional
        Sets each round's local training.
    """

    def __init__(
        self, *, stop: Sequence[Rule] = (), interval: AdaptiveInterval | None = None
    ) -> None:
        for rule in stop:
            if isinstance(rule, type) or not callable(getattr(rule, "reason", None)):
                raise ConfigurationError(
                    f"stop holds {rule!r}, which is no rule; use Plateau(...), Budget() or Vote(), "
                    "or an object with reason(progress)"
                )
        self._rules = (Vote(), *stop)
        self._interval = interval
        self._rounds: dict[int, Finished] = {}
        self._start: dict[int, int] = {}

    @property
    def length(self) -> int | None:
        """The next round's local training; None if it is not adapted."""
        return None if self._interval is None else self._interval.after(self._known())

    def forget(self) -> None:
        """Begin anew, for another run of the same strategy object."""
        self._rounds.clear()
        self._start.clear()

    def recall(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Know the rounds of an earlier run of this study, from its evidence (rounds.jsonl).

        Lines of before this version hold no metrics, and are left out.
        """
        for line in lines:
            metrics = line.get("metrics")
            number = int(line["round"])
            if isinstance(metrics, dict) and number not in self._rounds:
                self._rounds[number] = Finished(number=number, metrics=dict(metrics))

    def config(self, config: ConfigRecord) -> ConfigRecord:
        """A train message's config, with the interval in it.

        Raises
        ------
        ConfigurationError
            If the config has an entry of that name already.
        """
        length = self.length
        if self._interval is None or length is None:
            return config
        key = self._interval.key
        if key in config:
            raise ConfigurationError(
                f"the train config holds {key!r} = {config[key]!r}, and the interval sets it too; "
                "leave it out of train_config, or give AdaptiveInterval another key"
            )
        return ConfigRecord({**config, key: length})

    def record(self, number: int, metrics: MetricRecord | None, view: LedgerView | None) -> None:
        """Keep a round that is over; `metrics` is None if it led to no model.

        `view` is the ledger after the round, None if it could not be read.
        A round that nobody sealed in is tried again under its number, and then counts once.
        """
        means: Metrics | None = None if metrics is None else dict(metrics)
        self._rounds[number] = Finished(
            number=number, metrics=means, epsilon=_spent(view) if view else {}, length=self.length
        )

    def reason(self, view: LedgerView, terms: Terms) -> str | None:
        """Why the run should end before the next round; None to go on.

        Ask before each round: what is spent before the first one is what the rules start from.

        Raises
        ------
        UnusableMetric
            If a rule or the interval needs a mean that is not there, or is no finite number.
        """
        if not self._start:
            self._start = _spent(view)
        progress = Progress(
            view=view,
            terms=terms,
            rounds=self._known(),
            start=self._start,
            length=self.length,
        )
        return first_reason(self._rules, progress)

    def _known(self) -> tuple[Finished, ...]:
        return tuple(self._rounds[number] for number in sorted(self._rounds))


def _spent(view: LedgerView) -> dict[int, int]:
    return {member.index: member.epsilon for member in view.seated}
