"""The study's parts on the bundled data: example apps in process, baselines, attacks, result."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Context, RecordDict
from flwr_swarm_attacks import View

from flwr_swarm._exceptions import ConfigurationError, SwarmError
from flwr_swarm.demo import apps, data, membership, models
from flwr_swarm.demo.recorder import DIRECTORY_VARIABLE
from flwr_swarm.demo.result import result
from flwr_swarm.demo.settings import settings
from flwr_swarm.demo.study import Study
from flwr_swarm.demo.watch import RoundTail, read_rounds, round_line
from flwr_swarm.report.html import render
from flwr_swarm.report.verify import verify
from flwr_swarm.testing import InProcessGrid

ROUNDS = 2


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return settings(dataset="breast-cancer", out=out, rounds=ROUNDS, quick=True)


@pytest.fixture(scope="module")
def patients():
    return data.load("breast-cancer")


def _fly(name, folder, config, **changes):
    """Run an example project over an in-process grid; return its final model."""
    project = apps.stage(name, folder)
    for module in [m for m in sys.modules if m.split(".")[0] == "support2_app"]:
        del sys.modules[module]
    sys.path.insert(0, str(project))
    try:
        from support2_app.client_app import app as client
        from support2_app.server_app import app as server
    finally:
        sys.path.remove(str(project))
    output = folder / "model.pt"
    run_config = {**config, **changes, "output": str(output)}
    grid = InProcessGrid(client, nodes=4, run_config=run_config)
    context = Context(
        run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=run_config
    )
    server(grid, context)
    return torch.load(output, weights_only=True)


@pytest.fixture(scope="module")
def private_run(chosen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLWR_SWARM_DIR", str(folder / "run"))
        state = _fly(apps.SWARM, folder, chosen.config)
    return folder / "run", state


@pytest.fixture(scope="module")
def plain_updates(chosen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLWR_SWARM_DIR", str(folder / "run"))
        patch.setenv("FLWR_SWARM_ACCEPT_PLAINTEXT", "1")
        patch.setenv(DIRECTORY_VARIABLE, str(folder / "updates"))
        state = _fly(apps.PLAINTEXT, folder, chosen.config, **{"noise-multiplier": 0.0})
    return folder / "updates", state


def test_the_swarm_without_dp_is_the_stock_run_to_within_rounding(chosen, patients, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    stock = _fly(apps.STOCK, tmp_path / "a", chosen.config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLWR_SWARM_DIR", str(tmp_path / "run"))
        swarm = _fly(apps.SWARM, tmp_path / "b", chosen.config, **{"noise-multiplier": 0.0})
    started = models.task_module().build(chosen.config).state_dict()
    for name, value in stock.items():
        assert torch.allclose(value, swarm[name], atol=0.05)
        assert not torch.equal(value, started[name])
    one, other = (models.auroc(s, patients.external, chosen.config).value for s in (stock, swarm))
    assert abs(one - other) < 0.01


def test_evidence_of_the_example_s_run_verifies(private_run):
    run, _ = private_run
    proven = verify(run)
    assert (proven.certified, proven.members) == (ROUNDS, 4)
    assert 0 < proven.epsilon <= 8


def test_the_recorder_keeps_what_a_leader_reads(plain_updates, chosen):
    updates, final = plain_updates
    number = membership.complete_round(updates, 4)
    sent = torch.load(updates / f"round-{number:04d}-global.pt", weights_only=True)
    weights = [len(site.train) for site in data.load("breast-cancer").sites]
    got = [
        torch.load(updates / f"round-{number:04d}-member-{k:04d}.pt", weights_only=True)
        for k in range(4)
    ]
    for name, before in sent.items():
        mean = sum(w * g[name] for w, g in zip(weights, got, strict=True)) / sum(weights)
        expected = (
            final[name]
            if number == ROUNDS
            else torch.load(updates / f"round-{number + 1:04d}-global.pt", weights_only=True)[name]
        )
        assert torch.allclose(mean, expected, atol=1e-5)
        assert not torch.equal(before, got[0][name])


def test_without_a_complete_round_the_error_says_so(tmp_path):
    (tmp_path / "round-0001-global.pt").touch()
    (tmp_path / "round-0001-member-0000.pt").touch()
    with pytest.raises(SwarmError, match="none of 1 recorded rounds"):
        membership.complete_round(tmp_path, 4)


def test_a_changed_example_is_not_patched_blindly(tmp_path, monkeypatch):
    source = tmp_path / "examples"
    apps.stage(apps.SWARM, source)
    path = source / apps.SWARM / "support2_app" / "server_app.py"
    path.write_text(path.read_text().replace("FedAvg(", "FedAdam("))
    monkeypatch.setattr(apps, "examples_dir", lambda: source)
    with pytest.raises(ConfigurationError, match="was changed"):
        apps.stage(apps.PLAINTEXT, tmp_path / "work")


def test_result_json_has_what_was_promised(chosen, patients, private_run, plain_updates):
    run, private = private_run
    config = chosen.config
    local, pooled = models.baselines(patients, config)
    states = {
        **{f"local/{site.name}": s for site, s in zip(patients.sites, local, strict=True)},
        "pooled": pooled,
        "federated": plain_updates[1],
        "swarm": private,
    }

    def ignore(done: int, steps: int) -> None:
        assert 0 < done <= steps

    shadows = membership.final_model_shadows(patients, config, shadows=8, progress=ignore)
    attacks = [("swarm", r) for r in membership.attack_final(private, patients, config, shadows)]
    single = membership.attack_updates(
        plain_updates[0], membership.complete_round(plain_updates[0], 4), patients, config,
        shadows=8, progress=ignore,
    )  # fmt: skip
    study = Study(
        settings=chosen,
        data=patients,
        rounds=read_rounds(run),
        auroc={k: models.auroc(s, patients.external, config) for k, s in states.items()},
        attacks=attacks + [("plaintext", r) for r in single],
        seconds={},
    )
    found = json.loads(json.dumps(result(study), allow_nan=False))
    assert len(found["rounds"]) == ROUNDS
    for entry in found["rounds"]:
        assert {
            "leader", "succession", "committee", "included", "aggregate_hash", "parent_hash",
        } <= entry.keys()  # fmt: skip
        assert entry["certificate"]["signers"]
        assert len(entry["epsilon"]) == 4
        assert {"seal", "merge", "open"} <= entry["seconds"].keys()
    assert len(found["auroc"]["local"]) == 4
    scores = [
        *found["auroc"]["local"],
        *(found["auroc"][k] for k in ("pooled", "federated", "swarm")),
    ]
    for score in scores:
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    names = {(one["view"], one["attack"]) for one in found["attacks"]}
    assert names == {
        (view.value, name)
        for view in (View.OUTSIDER_FINAL_MODEL, View.LEADER_PLAINTEXT_UPDATE)
        for name in (
            "loss threshold", "calibrated loss", "LiRA online", "LiRA offline",
            "RMIA online", "RMIA offline",
        )
    }  # fmt: skip
    for one in found["attacks"]:
        assert one["auc_low"] <= one["auc"] <= one["auc_high"]
        assert one["tpr_low"] <= one["tpr_at_1pct_fpr"] <= one["tpr_high"]
    assert found["versions"]["flwr"]
    assert "malignant tumour" in render(found)


def test_a_baseline_is_a_function_of_its_seed(patients, chosen):
    site = patients.sites[0].train
    one, again = (models.train_alone(site, chosen.config, salt=0) for _ in range(2))
    other = models.train_alone(site, {**chosen.config, "seed": 2}, salt=0)
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


def test_membership_rows_are_the_sites_rows(patients):
    x, y, member, ids = membership._rows(patients.sites)
    trained = {int(i) for site in patients.sites for i in site.train.ids}
    assert {int(i) for i in ids[member]} == trained
    assert not trained & {int(i) for i in ids[~member]}
    assert not set(ids.tolist()) & set(patients.external.ids.tolist())
    assert len(x) == len(y) == len(ids) == len(np.unique(ids))


# --- what is shown while it runs ---------------------------------------------------------------


def test_the_tail_hands_out_each_line_once_and_never_half_of_one(tmp_path: Path):
    seen: list[int] = []
    tail = RoundTail(tmp_path, lambda entry: seen.append(entry["round"]))
    tail.look()
    path = tmp_path / "rounds.jsonl"
    whole = b"".join(json.dumps({"round": k}).encode() + b"\n" for k in range(5))
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        tail.look()
    tail.look()
    assert seen == list(range(5))


def test_a_round_s_line_names_leader_loss_and_epsilon(result):
    line = round_line(result["rounds"][0])
    for part in ("round  1", "1[/]", "{0,1,2,3}", "{0,1,3}", "1.50 2.50 3.50 4.50", "0.500"):
        assert part in line


def test_a_void_round_s_line_gives_its_reason(result):
    entry = {**result["rounds"][0], "status": "void", "reason": "two [sites] were missing"}
    assert "void" in round_line(entry)
    assert r"two \[sites] were missing" in round_line(entry)
