"""What a run came to, counted by the study's rounds: a run may begin where another one ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp.strategy import Result

Evaluate = Callable[[int, ArrayRecord], MetricRecord | None]


@dataclass(kw_only=True)
class Results:
    """Flower's `Result`, kept as it grows: it is there however the loop ends.

    Parameters
    ----------
    model : ArrayRecord
        The newest global model; the initial one until a round led to another.
    ended : int
        Rounds of the study that had ended before this run's loop began.
    """

    model: ArrayRecord
    ended: int = 0
    result: Result = field(default_factory=Result)

    def number(self, server_round: int) -> int:
        """The study's round, from the loop's."""
        return self.ended + server_round

    def reached(self, model: ArrayRecord) -> None:
        """A round, or an earlier run, led to `model`."""
        self.model = self.result.arrays = model

    def trained(self, number: int, metrics: MetricRecord | None) -> None:
        """Keep a round's mean training metrics, if it has any."""
        if metrics is not None:
            self.result.train_metrics_clientapp[number] = metrics

    def evaluated(self, server_round: int, metrics: MetricRecord | None) -> None:
        """Keep a round's mean evaluation metrics, if it has any."""
        if metrics is not None:
            self.result.evaluate_metrics_clientapp[self.number(server_round)] = metrics

    def centrally(self, evaluate: Evaluate | None) -> Evaluate | None:
        """The user's central evaluation, told the study's round; what it returns is kept."""
        if evaluate is None:
            return None

        def counted(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
            number = self.number(server_round)
            metrics = evaluate(number, arrays)
            if metrics is not None:
                self.result.evaluate_metrics_serverapp[number] = metrics
            return metrics

        return counted
