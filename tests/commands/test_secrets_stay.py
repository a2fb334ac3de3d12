"""Passwords come from where they should, and no command prints, logs or leaves a secret."""

import getpass
import logging
import os
import subprocess
import sys
import warnings

import pytest
import typer.main
from commands_support import COMMAND, PASSWORD

from flwr_swarm import cli
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.commands import passwords
from flwr_swarm.commands.options import PASSWORD_VARIABLE
from flwr_swarm.keystore import Keystore
from flwr_swarm.keystore import passwords as stored


@pytest.fixture
def terminal(monkeypatch):
    """A terminal at which `typed` is typed, hidden."""
    typed = []
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda _: typed.pop(0))
    return typed


def test_a_new_password_is_typed_twice(terminal):
    terminal += ["one and the same", "one and the same"]
    assert passwords.new(None) == "one and the same"
    terminal += ["one and the same", "another one"]
    with pytest.raises(ConfigurationError, match="differ"):
        passwords.new(None)


def test_an_old_password_is_typed_once(terminal):
    terminal += ["just once"]
    assert passwords.existing(None) == "just once"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_file_comes_before_the_environment(monkeypatch, tmp_path, ending):
    monkeypatch.setenv(PASSWORD_VARIABLE, "from the environment")
    assert passwords.existing(None) == passwords.new(None) == "from the environment"
    (tmp_path / "p").write_bytes(b"from the file " + ending.encode())
    assert passwords.existing(tmp_path / "p") == passwords.new(tmp_path / "p") == "from the file "


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 5000])
def test_a_file_without_a_password_is_refused_and_not_quoted(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        passwords.existing(tmp_path / "p")
    assert "two" not in str(refused.value)
    assert "xxx" not in str(refused.value)


def test_without_a_terminal_nothing_is_asked(monkeypatch):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(ConfigurationError, match="--password-file"):
        passwords.existing(None)


def test_a_terminal_that_would_echo_is_refused(monkeypatch):
    def echoing(_):
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        raise AssertionError("the password was read in the clear")

    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", echoing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as a program would have it
        with pytest.raises(ConfigurationError, match="cannot hide"):
            passwords.existing(None)


# A terminal around the command, whose keyboard is a pipe and whose screen is another.
TERMINAL = """
import pty, sys
command = "from flwr_swarm.cli import app; from flwr_swarm.commands.options import Settings; "
command += "app(obj=Settings(cost=2))"
status = pty.spawn([sys.executable, "-c", command, *sys.argv[1:]])
sys.exit(status >> 8)
"""


def test_a_real_terminal_shows_nothing_of_what_is_typed(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != PASSWORD_VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, "member", "keygen", "--dir", str(tmp_path / "k")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as terminal:
        screen = b""
        for prompt in (b"Password for the new keys: ", b"The same again: "):
            while not screen.endswith(prompt):
                screen += (read := os.read(terminal.stdout.fileno(), 1))
                assert read, screen
            terminal.stdin.write(PASSWORD.encode() + b"\n")
            terminal.stdin.flush()
        while read := os.read(terminal.stdout.fileno(), 1000):
            screen += read
        assert terminal.wait(timeout=240) == 0
    made = Keystore.open(tmp_path / "k", PASSWORD)
    assert made.account.encode() in screen
    assert PASSWORD.encode() not in screen


def test_commands_and_sites_read_the_same_variable():
    """The name is there twice, because help must not wait for the keystore's libraries."""
    assert stored.PASSWORD_VARIABLE == PASSWORD_VARIABLE


def options(command, path=()):
    for name, child in getattr(command, "commands", {}).items():
        yield from options(child, (*path, name))
    for parameter in command.params:
        yield " ".join(path), parameter


def test_no_option_takes_a_password_or_a_key():
    for path, parameter in options(COMMAND):
        for word in ("password", "secret", "private", "passphrase"):
            for name in parameter.opts:
                assert word not in name or name == "--password-file", (path, name)
        if "--keys" in parameter.opts or "--password-file" in parameter.opts:
            assert parameter.type.name == "path"


def leaves(command, path=()):
    children = getattr(command, "commands", None)
    if children is None:
        return [" ".join(path)]
    return [leaf for name, child in children.items() for leaf in leaves(child, (*path, name))]


def test_every_command_but_the_demo_speaks_json():
    without = set(leaves(COMMAND)) - {
        path for path, parameter in options(COMMAND) if "--json" in parameter.opts
    }
    assert without == {"demo"}


def test_tracebacks_show_no_local_variables():
    """Typer's pretty ones do by default; a frame of ours holds a password or a key."""
    assert cli.app.pretty_exceptions_enable is False
    assert typer.main.get_command(cli.app) is not None


def test_a_whole_life_prints_and_leaves_no_secret(founded, caplog):
    caplog.set_level(logging.DEBUG)
    founded.vote("a", "--suspend", "3")
    founded.run("member", "vote", "--keys", founded.at("b"), "--proposal", "1", "--yes")
    founded.json("member", "rotate", "--keys", founded.at("c"), "--out", founded.at("r"), "--yes")
    wrong = {PASSWORD_VARIABLE: "this one is not it"}
    for arguments in (("--suspend", "1"), ("--proposal", "1")):
        error = founded.refused(
            "member",
            "vote",
            "--keys",
            founded.at("d"),
            *arguments,
            "--yes",
            environment=wrong,
        )
        assert error["error"] == "WrongPassword"
    founded.run("consortium", "status")
    secrets = [PASSWORD.encode(), b"this one is not it"]
    for name in "abcd":
        store = Keystore(founded.at(name))
        for generation in store.generations:
            keys = store.unlock(generation, PASSWORD)
            for key in (keys.account_key, keys.share_key_bytes):
                secrets += [key, key.hex().encode(), key.hex().upper().encode()]
    places = "\0".join([*founded.printed, caplog.text]).encode()
    for path in founded.folder.rglob("*"):
        places += path.read_bytes() if path.is_file() else b""
    assert not [secret for secret in secrets if secret in places]
