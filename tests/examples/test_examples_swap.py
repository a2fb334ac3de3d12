"""The swap is what the README says: two lines, and one for differential privacy."""

import difflib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STOCK, SWARM = ROOT / "examples" / "support2", ROOT / "examples" / "support2_swarm"

IMPORTS = {
    "from flwr_swarm import SwarmStrategy",
    "from flwr_swarm import swarm_mod",
    "from flwr_swarm.privacy import make_private",
}
CHANGES = {
    'strategy = FedAvg(min_available_nodes=int(config["sites"]))':
        'strategy = SwarmStrategy(FedAvg(min_available_nodes=int(config["sites"])), '
        "**task.swarm(config))",
    "app = ClientApp()": "app = ClientApp(mods=[swarm_mod])",
}  # fmt: skip
PRIVACY = (
    "model, optimizer, loader = make_private(context, model, optimizer, loader, **task.dp(config))"
)


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def swap_diff():
    """Lines that went, and lines that came, over the whole project."""
    stock, swarm = _files(STOCK), _files(SWARM)
    assert stock.keys() == swarm.keys()
    gone, came = [], []
    for name, text in stock.items():
        for line in difflib.ndiff(text.splitlines(), swarm[name].splitlines()):
            if line.startswith("- "):
                gone.append(line[2:].strip())
            elif line.startswith("+ "):
                came.append(line[2:].strip())
    return gone, came


def readme_blocks(text):
    """The fenced diff blocks after each `<!-- swap-diff -->`, as lines gone and lines come."""
    blocks = re.findall(r"<!-- swap-diff -->\s*```diff\n(.*?)```", text, flags=re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    gone = [x[1:].strip() for x in lines if x.startswith("-") and not x.startswith("---")]
    came = [x[1:].strip() for x in lines if x.startswith("+") and not x.startswith("+++")]
    return len(blocks), gone, came


def test_two_lines_change_and_one_comes_for_privacy():
    gone, came = swap_diff()
    assert sorted(gone) == sorted(CHANGES)
    assert sorted(came) == sorted([*CHANGES.values(), *IMPORTS, PRIVACY])


def test_the_readme_shows_exactly_this_diff():
    count, gone, came = readme_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    assert count == 1
    assert (sorted(gone), sorted(came)) == tuple(sorted(part) for part in swap_diff())


def test_readme_blocks_are_found_and_read():
    text = "x\n<!-- swap-diff -->\n```diff\n--- a\n+++ b\n ctx\n-old\n+  new\n```\n-not this\n"
    assert readme_blocks(text) == (1, ["old"], ["new"])
