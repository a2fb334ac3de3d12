"""What the documents say to type can be typed: every command and option in them exists."""

import re
import shlex
from pathlib import Path

import pytest
from commands_support import COMMAND

from flwr_swarm.chain.besu import GAS_LIMIT
from flwr_swarm.commands.describe import required_votes
from flwr_swarm.commands.policies import NAMES
from flwr_swarm.protocol.quorum import smallest_threshold, tolerated_faults

OURS = ("commands.md", "deployment.md", "governance.md", "production.md")
DOCS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))


def typed(text):
    """The command lines in a document: after `flwr-swarm`, and in the tables' backticks."""
    text = text.replace("\\\n", " ").replace("$(", " ").replace(")", " ")
    for line in re.findall(r"flwr-swarm ([a-z][^\n`|&#;]*)", text):
        yield line
    for line in re.findall(r"`((?:member|consortium|chain) [a-z][^\n`|]*)`", text):
        yield line


def resolve(line):
    command, words = COMMAND, shlex.split(line.replace("'", "").replace("…", " "))
    path = []
    while words and words[0] in getattr(command, "commands", {}):
        path.append(words[0])
        command = command.commands[words.pop(0)]
    return path, command, words


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_and_option_exists(path):
    lines = list(typed(path.read_text(encoding="utf-8")))
    assert len(lines) >= 5 or path.name not in OURS
    for line in lines:
        found, command, words = resolve(line)
        assert found, line
        known = {name for p in command.params for name in p.opts} | {"-h", "--help"}
        for word in words:
            if re.fullmatch(r"\[?--[a-z-]+\]?,?", word):
                assert word.strip("[],") in known, line


def test_every_command_is_in_the_reference():
    text = (DOCS[0].parent / "commands.md").read_text(encoding="utf-8")
    for group, command in COMMAND.commands.items():
        for name in getattr(command, "commands", {"": None}):
            assert f"`{group} {name}".rstrip() in text


def test_the_tables_of_governance_are_the_rules():
    text = (DOCS[0].parent / "governance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 6
    for n, faults, votes, threshold in (map(int, row) for row in rows):
        assert faults == tolerated_faults(n)
        assert votes == required_votes(n)
        assert threshold == smallest_threshold(n)
    for name in NAMES:
        assert f"`{name}`" in text


def test_the_gas_limit_is_the_documents():
    text = (DOCS[0].parent / "production.md").read_text(encoding="utf-8")
    assert f"| `gasLimit` | {GAS_LIMIT:,} |" in text
