"""What the benchmark orders a process to do in a round: `orders.json` in its working folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path("orders.json")


def orders(number: int, phase: str) -> dict[str, Any]:
    """Acts of a round's phase, with their argument."""
    try:
        told = json.loads(FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return dict(told.get(f"{number}/{phase}", {}))
