"""Import what warns while it is imported, before warnings become errors."""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "flower"))  # the bench for real runs
sys.path.insert(0, str(Path(__file__).parent.parent / "encryption"))  # the crooked dealer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    import swarm_bench

__all__ = ["swarm_bench"]
