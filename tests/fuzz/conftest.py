"""Where the decoders' tests find others' helpers, and a quiet import of Flower."""

import sys
import warnings
from pathlib import Path

for folder in ("fuzz", "encryption", "flower", "chain"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Flower's typer still uses a deprecated name of click's
    import swarm_bench

__all__ = ["swarm_bench"]
