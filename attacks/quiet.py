"""Silence of Flower and of the development chain while a run in this process is only a means."""

from __future__ import annotations

import logging
from typing import Any

_LOGGERS = ("flwr", "flwr_swarm")


class quiet:  # noqa: N801 - reads as a word in a with statement
    """Flower logs every round at length; its errors still show."""

    def __enter__(self) -> None:
        self._before = {name: logging.getLogger(name).level for name in _LOGGERS}
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)

    def __exit__(self, *_: Any) -> None:
        for name, level in self._before.items():
            logging.getLogger(name).setLevel(level)
