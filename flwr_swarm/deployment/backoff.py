"""How long to wait before the next try: longer each time, up to a bound."""

from __future__ import annotations

from dataclasses import dataclass

from .._exceptions import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """A schedule of waits.

    Parameters
    ----------
    first : float
        Seconds after the first failure.
    factor : float
        By how much each further failure lengthens the wait.
    most : float
        Longest wait in seconds.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 30.0

    def __post_init__(self) -> None:
        if not (0 < self.first <= self.most and self.factor >= 1):
            raise ConfigurationError(
                f"a backoff needs 0 < first <= most and factor >= 1, got {self.first}, "
                f"{self.most} and {self.factor}"
            )

    def after(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        wait = self.first
        for _ in range(1, failures):
            wait *= self.factor
            if wait >= self.most:
                return self.most
        return min(wait, self.most) if failures > 0 else 0.0
