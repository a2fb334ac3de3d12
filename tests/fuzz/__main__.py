"""Fuzz every decoder: `python -m tests.fuzz --count 1000000`; `--guided` follows coverage."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import secrets
import sys
import time
from collections import Counter
from pathlib import Path

for folder in ("fuzz", "encryption", "flower", "chain"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))

_HANGS_AFTER = 120.0
"""Seconds of one batch, a hundred times what any takes: then it hangs, and its trace is shown."""
_BATCH = 64


def main() -> int:
    """Run from a command line; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="inputs over all decoders")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--decoder", default=None, help="only this one")
    parser.add_argument("--file", type=Path, default=None, help="try the input in this file")
    parser.add_argument("--guided", action="store_true", help="by coverage; needs atheris")
    parser.add_argument("--seconds", type=int, default=0, help="stop after so long; 0 for never")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # decoders that cut, and strategies that sample, say so
    seed = secrets.randbits(31) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    if options.guided:
        try:
            import fuzz_guided
        except ImportError as error:
            print(
                f"--guided needs atheris ({error}): pip install -e '.[fuzz]', on Linux with "
                "Python 3.11 to 3.13; without --guided mutations are blind to coverage",
                file=sys.stderr,
            )
            return 2
        return fuzz_guided.run(
            count=options.count, seed=seed, seconds=options.seconds, name=options.decoder
        )
    return _plain(options, seed)


def _plain(options: argparse.Namespace, seed: int) -> int:
    from fuzz_decoder import Finding
    from fuzz_plan import Plan, all_decoders

    decoders = [d for d in all_decoders() if options.decoder in (None, d.name)]
    if options.file is not None:
        print("accepted" if decoders[0].check(options.file.read_bytes()) else "refused")
        return 0
    plan = Plan(seed=seed, decoders=decoders)
    started, found, tried, taken = time.monotonic(), 0, Counter[str](), Counter[str]()
    for number in range(options.first, options.first + options.count):
        if number % _BATCH == 0:
            faulthandler.dump_traceback_later(_HANGS_AFTER, exit=True)
            if options.seconds and time.monotonic() - started > options.seconds:
                break
        if number % 50_000 == 0:
            print(f"{number} begun after {time.monotonic() - started:.0f} s", flush=True)
        try:
            decoder, accepted = plan.check(number)
        except Finding as finding:
            found += 1
            print(f"FOUND {finding}", flush=True)
            continue
        tried[decoder.name] += 1
        taken[decoder.name] += accepted
    faulthandler.cancel_dump_traceback_later()
    for decoder in decoders:
        print(f"{decoder.name:28} {tried[decoder.name]:9} tried {taken[decoder.name]:9} accepted")
    print(f"{tried.total() + found} inputs, seed {seed}: {found} findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
