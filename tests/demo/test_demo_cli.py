"""Commands: every refusal is one line on stderr that names the value, exit code 1."""

import subprocess
import sys

import pytest

import flwr_swarm
from flwr_swarm import cli
from flwr_swarm._exceptions import EvidenceError
from flwr_swarm.demo.doctor import self_test


def _run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["flwr-swarm", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_version(monkeypatch, capsys):
    code, out, _ = _run(monkeypatch, capsys, "--version")
    assert (code, out.strip()) == (0, f"flwr-swarm {flwr_swarm.__version__}")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("demo", "--dataset", "iris"), "'iris'"),
        (("demo", "--rounds", "0"), "got 0"),
        (("verify", "no-such-folder"), "no-such-folder"),
    ],
)
def test_a_refusal_is_one_line_without_traceback(monkeypatch, capsys, tmp_path, arguments, named):
    monkeypatch.chdir(tmp_path)
    code, out, err = _run(monkeypatch, capsys, *arguments)
    assert code == 1
    assert out == ""
    assert err.startswith("error: ")
    assert named in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # nothing was started


def test_verify_passes_on_what_evidence_says(monkeypatch, capsys, tmp_path):
    def refuse(run_dir):
        raise EvidenceError(f"sum.bin of [round 2] in {run_dir} was changed")

    monkeypatch.setattr("flwr_swarm.report.verify.verify", refuse)
    code, _, err = _run(monkeypatch, capsys, "verify", tmp_path)
    assert code == 1
    assert "sum.bin of [round 2]" in err  # brackets are no markup


def test_a_foreign_folder_is_not_overwritten(monkeypatch, capsys, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    code, _, err = _run(
        monkeypatch, capsys, "demo", "--dataset", "breast-cancer", "--out", tmp_path
    )
    assert code == 1
    assert "choose another --out" in err
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_help_needs_neither_torch_nor_flower():
    code = (
        "import sys; sys.argv = ['flwr-swarm', '--help']\n"
        "from flwr_swarm import cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'flwr', 'web3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# --- doctor ------------------------------------------------------------------------------------


def test_the_self_test_runs_a_swarm_and_verifies_it():
    proven = self_test()
    assert (proven.members, proven.certified, proven.models) == (4, 2, 2)


def test_the_self_test_notices_a_wrong_mean(monkeypatch):
    from flwr_swarm.demo import doctor

    monkeypatch.setattr(doctor, "_TOLERANCE", 0.0)  # rounding is not exact, so it must complain
    with pytest.raises(flwr_swarm.SwarmError, match="off by"):
        self_test()
