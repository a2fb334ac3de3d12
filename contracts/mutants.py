"""Plant faults into a copy of the contracts, one at a time, and see which test catches each.

    python contracts/mutants.py              all; a table; status 1 if two or more survive
    python contracts/mutants.py -k quorum    those whose name holds a word

A fault goes first to forge's unit and fuzz tests, then to its campaigns, then (--chain) to
tests/chain; the first failure ends it. The unchanged copy must pass first, and a fault that does
not compile, or whose line is gone from the source, is an error and no catch.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

import build
import check
from faults import FAULTS, SURVIVORS, Fault

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CAMPAIGNS = "InvariantsTest|CampaignReachTest"
STAGES = (
    ["--no-match-contract", f"{CAMPAIGNS}|GasTest"],
    ["--match-contract", CAMPAIGNS],
)
# Faults are in the sources: the optimiser, for which the check of the artifact stands, may rest.
SETTINGS = {
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_CODE_SIZE_LIMIT": "200000",
    "FOUNDRY_FUZZ_RUNS": "64",
    "FOUNDRY_INVARIANT_RUNS": "16",
    "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
}
CHAIN_TESTS = (
    "test_refusals.py",
    "test_certificates.py",
    "test_round_life.py",
    "test_election.py",
    "test_contract_model.py",
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one fault: the test that caught it, or None."""

    fault: Fault
    line: int
    caught: str | None
    seconds: float


class Bench:
    """One copy of the contracts with its tests, compiled once, in which faults are planted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in [*HERE.glob("*.sol"), HERE / "foundry.toml"]:
            shutil.copy(path, folder)
        shutil.copytree(HERE / "test", folder / "test")

    def _forge(self, arguments: list[str]) -> tuple[int, str]:
        done = subprocess.run(  # noqa: S603
            ["forge", *arguments],  # noqa: S607
            cwd=self.folder,
            env=check.environment(FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT="0", FOUNDRY_FUZZ_RUNS="64"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def compile(self) -> None:
        """Compile what changed. `forge test` would leave out what a test does not import."""
        status, answer = self._forge(["build"])
        if status != 0:
            raise SystemExit(f"does not compile:\n{answer[-3000:]}")

    def forge(self, arguments: list[str]) -> str | None:
        """Return the name of the first failing test, or None."""
        seed = ["--fuzz-seed", "0x5eed"]
        status, answer = self._forge(["test", "--fail-fast", *seed, *arguments])
        if status == 0:
            return None
        test = re.search(r"^\[FAIL[^\n]*\] (\w+)\(", answer, flags=re.MULTILINE)
        if test is None:
            test = re.search(r"^ (invariant_\w+)\(", answer, flags=re.MULTILINE)
        if test is None:
            raise SystemExit(f"forge failed without a failing test:\n{answer[-3000:]}")
        reason = re.search(r'\[FAIL: Untrue\("([^"]*)"\)\]', answer)
        return test.group(1) + (f" ({reason.group(1)})" if reason else "")

    def pytest(self) -> str | None:
        """Return the name of the first test of tests/chain that fails on this copy, or None."""
        artifact = self.folder / "artifact.json"
        artifact.write_text(json.dumps(build.compile_contracts(self.folder)))
        paths = [str(ROOT / "tests" / "chain" / name) for name in CHAIN_TESTS]
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pytest", "-xq", "-pmutant_artifact", *paths],
            cwd=ROOT,
            env={
                **os.environ,
                "FLWR_SWARM_ARTIFACT": str(artifact),
                "PYTHONPATH": str(HERE / "tools"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return None
        test = re.search(r"^FAILED \S+::(\S+)", done.stdout, flags=re.MULTILINE)
        if done.returncode != 1 or test is None:
            raise SystemExit(f"pytest did not run:\n{done.stdout[-3000:]}")
        return test.group(1)

    def first_failure(self, chain: bool) -> str | None:
        """Return the name of the first failing test of all stages, or None."""
        self.compile()
        for stage in STAGES:
            caught = self.forge(stage)
            if caught is not None:
                return caught
        return self.pytest() if chain else None

    def judge(self, fault: Fault, chain: bool) -> Verdict:
        """Plant one fault, run the tests, take it out again."""
        path = self.folder / fault.file
        text = path.read_text()
        start = time.monotonic()
        try:
            path.write_text(fault.planted(text))
            caught = self.first_failure(chain)
        finally:
            path.write_text(text)
        line = text[: text.index(fault.old)].count("\n") + 1
        return Verdict(fault=fault, line=line, caught=caught, seconds=time.monotonic() - start)


def main(arguments: list[str]) -> int:
    """Judge the faults and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-k", default="", help="only faults whose name holds this")
    parser.add_argument("-n", type=int, default=2, help="processes")
    parser.add_argument("--chain", action="store_true", help="then tests/chain, which is slow")
    chosen = parser.parse_args(arguments)
    build.install()
    faults = [fault for fault in FAULTS if chosen.k in fault.name]
    for fault in faults:
        fault.planted((HERE / fault.file).read_text())  # all lines are there, before a long run
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        benches: Queue[Bench] = Queue()
        first = Path(folder) / "0"
        first.mkdir()
        found = Bench(first)
        caught = found.first_failure(chosen.chain)
        if caught is not None:
            raise SystemExit(f"the contracts as they are fail {caught}")
        benches.put(found)
        for k in range(1, chosen.n):
            copy = Path(folder) / str(k)
            shutil.copytree(first, copy)
            bench = Bench.__new__(Bench)
            bench.folder = copy
            benches.put(bench)

        def judged(fault: Fault) -> Verdict:
            bench = benches.get()
            try:
                verdict = bench.judge(fault, chosen.chain)
            finally:
                benches.put(bench)
            print(f"{verdict.seconds:5.0f} s  {fault.name}: {verdict.caught}", flush=True)
            return verdict

        with ThreadPoolExecutor(chosen.n) as pool:
            verdicts = list(pool.map(judged, faults))
    print("\n| fault | where | caught by |\n|---|---|---|")
    for v in verdicts:
        end = v.caught or f"SURVIVED: {SURVIVORS.get(v.fault.name, 'not explained')}"
        print(f"| {v.fault.name} | {v.fault.file}:{v.line} | {end} |")
    survived = [v for v in verdicts if v.caught is None]
    print(
        f"\n{len(verdicts) - len(survived)} of {len(verdicts)} caught"
        f" in {time.monotonic() - start:.0f} s"
    )
    unexplained = [v for v in survived if v.fault.name not in SURVIVORS]
    return int(len(survived) > 1 or bool(unexplained))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
