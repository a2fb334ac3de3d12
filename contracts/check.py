"""Check the contracts: forge's tests, halmos's proofs, slither's findings, gas.

    python contracts/check.py forge           unit, fuzz and invariant tests
    python contracts/check.py gas [--write]   gas of each call against contracts/gas, or write it
    python contracts/check.py halmos          proofs, from .venv-halmos
    python contracts/check.py slither         findings against AUDIT.md, from .venv-slither

All work offline once installed (`make contracts`): solc is npm's, behind tools/solc.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
AUDIT = HERE / "AUDIT.md"
PROOF_SECONDS = 300


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which forge finds the pinned solc, and others find forge."""
    folders = [str(build.node_directory()), str(build.foundry("forge").parent)]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")]),
        "FOUNDRY_SOLC": str(HERE / "tools" / "solc"),
        "FOUNDRY_OFFLINE": "true",
        **more,
    }


def run(command: list[str], *, where: Path = HERE, env: Mapping[str, str] | None = None) -> int:
    """Run a tool in the contracts' folder and return its exit status."""
    found = environment() if env is None else dict(env)
    return subprocess.run(command, cwd=where, env=found, check=False).returncode  # noqa: S603


def forge() -> int:
    """Run all tests but those of gas."""
    return _build() or run(["forge", "test", "-vv", "--no-match-contract", "GasTest"])


def _build() -> int:
    """Compile all: `forge test` with a filter leaves out what the tests deploy by its name."""
    return run(["forge", "build"])


def gas(write: bool) -> int:
    """Measure every call's gas as a transaction of its own; compare with contracts/gas, or write.

    forge's own comparison prints each figure that differs.
    """
    mode = {} if write else {"FORGE_SNAPSHOT_CHECK": "true"}
    return _build() or run(
        ["forge", "test", "--isolate", "--match-contract", "GasTest"], env=environment(**mode)
    )


def halmos() -> int:
    """Prove what contracts/proofs states.

    Bounds: loops of at most 64 turns (no set has more members), arrays of at most 2, byte strings
    of 65. No path may be cut by them: halmos warns of one that is, and a warning is a failure. So
    is time: where a check of the sender is missing, the paths behind it are too many to finish.
    """
    tool = ROOT / ".venv-halmos" / "bin"
    proofs = {"FOUNDRY_SRC": "proofs", "FOUNDRY_TEST": "proofs", "FOUNDRY_OUT": "out/proofs"}
    env = environment(**proofs, FOUNDRY_CACHE_PATH="cache/proofs")
    env["PATH"] = f"{tool}{os.pathsep}{env['PATH']}"
    command = ["halmos", "--loop", "64", "--no-status", "--default-bytes-lengths", "65"]
    try:
        done = subprocess.run(  # noqa: S603
            [*command, "--forge-build-out", proofs["FOUNDRY_OUT"]],
            cwd=HERE,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PROOF_SECONDS,
        )
    except subprocess.TimeoutExpired:
        print(f"halmos did not finish in {PROOF_SECONDS} s; it needs about 25", file=sys.stderr)
        return 1
    print(done.stdout, end="")
    if "not been fully explored" in done.stdout:
        print("halmos left paths unexplored", file=sys.stderr)
        return 1
    return done.returncode


def slither() -> int:
    """Compare slither's findings with those triaged in AUDIT.md: neither more nor fewer."""
    tool = ROOT / ".venv-slither" / "bin" / "slither"
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        for path in HERE.glob("*.sol"):
            shutil.copy(path, where)
        settings = (HERE / "foundry.toml").read_text().replace('src = "test"', 'src = "."')
        (where / "foundry.toml").write_text(settings)
        report = where / "report.json"
        run([str(tool), ".", "--json", str(report), "--fail-none"], where=where, env=environment())
        if not report.exists():
            return 1
        answer = json.loads(report.read_text())
    if not answer["success"]:
        print(answer["error"], file=sys.stderr)
        return 1
    found = {_finding(entry) for entry in answer["results"].get("detectors", [])}
    triaged = set(_triaged(AUDIT.read_text()))
    for name in sorted(found - triaged):
        print(f"not triaged in AUDIT.md: {name}", file=sys.stderr)
    for name in sorted(triaged - found):
        print(f"triaged in AUDIT.md, but no longer found: {name}", file=sys.stderr)
    print(f"slither: {len(found)} findings, {len(found - triaged)} of them not triaged")
    return int(found != triaged)


def _finding(entry: dict[str, Any]) -> str:
    """Return `detector: contract.name`, without lines: code that moves is no new finding."""
    element = entry["elements"][0]
    while element["type"] == "node":
        element = element["type_specific_fields"]["parent"]
    owner = element["type_specific_fields"].get("parent", {}).get("name", "")
    return f"{entry['check']}: {owner}.{element['name']}"


def _triaged(text: str) -> list[str]:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \|", text, flags=re.MULTILINE)
    return [
        f"{detector}: {where}" for detector, cell in rows for where in re.findall(r"`(.+?)`", cell)
    ]


def main(arguments: list[str]) -> int:
    """Run one check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("check", choices=["forge", "gas", "halmos", "slither"])
    parser.add_argument("--write", action="store_true", help="gas: write what was measured")
    chosen = parser.parse_args(arguments)
    build.install()
    if chosen.check == "gas":
        return gas(chosen.write)
    return {"forge": forge, "halmos": halmos, "slither": slither}[chosen.check]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
