"""A desk at which tests type commands, with cheap keys."""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # typer still uses deprecated names of click's
    import typer.main
    from click.testing import CliRunner

from flwr_swarm.cli import app
from flwr_swarm.commands.options import Settings
from flwr_swarm.keystore import Keystore

COMMAND = typer.main.get_command(app)
PASSWORD = "correct horse battery"


@dataclass
class Desk:
    """Where one types: a folder, an environment, and all that was ever printed."""

    folder: Path
    environment: dict[str, str]
    printed: list[str] = field(default_factory=list)

    def run(self, *arguments, code=0, **options):
        environment = self.environment | options.pop("environment", {})
        result = CliRunner().invoke(
            COMMAND,
            [str(argument) for argument in arguments],
            env=environment,
            obj=Settings(cost=2),
            **options,
        )
        self.printed += [result.stdout, result.stderr]
        assert result.exit_code == code, (arguments, result.stdout, result.stderr, result.exception)
        return result

    def json(self, *arguments, **options):
        return json.loads(self.run(*arguments, "--json", **options).stdout)

    def refused(self, *arguments, code=1, **options):
        result = self.run(*arguments, "--json", code=code, **options)
        assert result.stdout == ""
        return json.loads(result.stderr.splitlines()[-1])

    def at(self, name):
        return self.folder / name

    def keys(self, name):
        return Keystore.open(self.at(name), PASSWORD)

    def vote(self, name, *arguments, **options):
        return self.json("member", "vote", "--keys", self.at(name), *arguments, "--yes", **options)


def applied(desk, names, **options):
    """Make keys and applications for `names`, for the swarm that the first of them founds."""
    for name in names:
        desk.run("member", "keygen", "--dir", desk.at(name))
    due = desk.json("consortium", "address", "--keys", desk.at(names[0]))["contract"]
    desk.environment["FLWR_SWARM_CONTRACT"] = due
    for name in names:
        more = options.get(name, ())
        desk.run(
            "member", "apply", "--keys", desk.at(name), "--out", desk.at(f"{name}.json"), *more
        )
    return due


def found(desk, names, *arguments, **options):
    """Found the swarm of `names`; they have applied."""
    cards = [word for name in names for word in ("--card", desk.at(f"{name}.json"))]
    return desk.json(
        "consortium",
        "found",
        "--keys",
        desk.at(names[0]),
        *cards,
        "--out",
        desk.at("consortium.json"),
        "--yes",
        *arguments,
        **options,
    )
