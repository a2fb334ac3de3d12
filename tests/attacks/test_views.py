"""The views of real runs: each has what its onlooker saw, exactly, and nothing beside it."""

import os
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import torch
from flwr.serverapp.strategy import FedAvg
from flwr_swarm_attacks import views
from flwr_swarm_attacks.crossing import RecordingGrid
from flwr_swarm_attacks.recorder import OwnUpdates, Recording, chain_observer
from flwr_swarm_attacks.views import SUM

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.protocol.quorum import smallest_threshold
from flwr_swarm.testing import InProcessGrid

sys.path.insert(0, str(Path(__file__).parent.parent / "flower"))
import apps

SITES, ROUNDS = 4, 3
FIRST_NODE = 1000


def fedavg():
    return FedAvg(min_available_nodes=SITES, min_train_nodes=SITES, fraction_evaluate=0.0)


class Run:
    """One run of the test app, recorded."""

    def __init__(self, strategy, folder, *mods, rounds=ROUNDS):
        self.own = OwnUpdates()
        self.folder = folder
        app = apps.make_app(*mods, self.own.mod)
        grid = RecordingGrid(InProcessGrid(app, nodes=SITES))
        self.result = strategy.start(grid, apps.initial_model(), num_rounds=rounds)
        self.recording = Recording(
            crossings=grid.crossings,
            final=self.result.arrays,
            site_of=lambda node: node - FIRST_NODE,
            threshold=smallest_threshold(SITES),
        )


@pytest.fixture(scope="module")
def swarm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swarm")
    return Run(SwarmStrategy(fedavg(), max_weight=100.0, evidence=folder), folder, swarm_mod)


@pytest.fixture(scope="module")
def federated(tmp_path_factory):
    return Run(fedavg(), tmp_path_factory.mktemp("federated"))


@pytest.fixture(scope="module")
def plaintext(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plaintext")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "FLWR_SWARM_ACCEPT_PLAINTEXT", "1")
        strategy = SwarmStrategy(fedavg(), encryption="none", max_weight=100.0, evidence=folder)
        return Run(strategy, folder, swarm_mod)


def vector(state):
    return torch.cat([state[name].double().flatten() for name in ("bias", "weight")]).numpy()


def of(arrays):
    return vector({name: torch.from_numpy(np.array(a)) for name, a in arrays.items()})


def everything_in(value):
    """All tensors and bytes that can be reached from a view."""
    if isinstance(value, torch.Tensor | bytes | str):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from everything_in(getattr(value, one.name))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from everything_in(key)
            yield from everything_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from everything_in(one)


def tensors_in(view):
    return [one for one in everything_in(view) if isinstance(one, torch.Tensor)]


def test_whoever_reads_updates_sees_each_sites_own(federated, plaintext):
    for run in (federated, plaintext):
        steps = run.recording.leader_plaintext().steps
        assert len(steps) == ROUNDS
        for turn, step in enumerate(steps, start=1):
            assert set(step.after) == set(range(SITES))
            for site, state in step.after.items():
                assert np.array_equal(vector(state), of(run.own.models[turn, site]))


def test_an_encrypted_swarms_leader_sees_the_mean_and_no_update(swarm):
    leader = swarm.recording.leader_encrypted()
    assert len(leader.steps) == len(leader.ciphertexts) == ROUNDS
    seen = tensors_in(leader)
    for turn, step in enumerate(leader.steps, start=1):
        assert set(step.after) == {SUM}
        models = np.stack([of(swarm.own.models[turn, site]) for site in range(SITES)])
        weights = np.array([swarm.own.weights[turn, site] for site in range(SITES)])
        mean = np.average(models, axis=0, weights=weights)
        assert vector(step.after[SUM]) == pytest.approx(mean, abs=1e-4)
    for (_, _), arrays in swarm.own.models.items():
        update = torch.from_numpy(np.array(arrays["weight"]))
        assert not any(one.shape == update.shape and torch.equal(one, update) for one in seen)
    with pytest.raises(ConfigurationError, match="no single update"):
        swarm.recording.leader_plaintext()


def test_the_opened_mean_leads_to_the_next_model(swarm):
    leader, member = swarm.recording.leader_encrypted(), swarm.recording.member()
    assert len(member.models) == ROUNDS + 1
    assert vector(member.models[0]) == pytest.approx(0)
    for mine, seen in zip(member.steps, leader.steps, strict=True):
        for name in ("weight", "bias"):
            assert torch.equal(mine.before[name], seen.before[name])
            assert torch.equal(mine.after[SUM][name], seen.after[SUM][name])


def test_a_coalition_sees_the_mean_over_the_others_only(swarm):
    members = range(smallest_threshold(SITES) - 1)
    coalition = swarm.recording.coalition(members, swarm.own)
    others = [site for site in range(SITES) if site not in members]
    assert len(others) == 2
    for turn, step in enumerate(coalition.steps, start=1):
        models = np.stack([of(swarm.own.models[turn, site]) for site in others])
        weights = [swarm.own.weights[turn, site] for site in others]
        mean = np.average(models, axis=0, weights=weights)
        assert vector(step.after[SUM]) == pytest.approx(mean, abs=1e-3)
        assert all(np.abs(vector(step.after[SUM]) - model).max() > 0.01 for model in models)


def test_an_outsider_sees_the_last_model_alone(swarm):
    outsider = swarm.recording.outsider()
    final = {n: a.numpy() for n, a in swarm.result.arrays.items()}
    assert np.array_equal(vector(outsider.model), of(final))
    assert len(tensors_in(outsider)) == len(final)


def test_the_chain_holds_no_number_of_a_model(swarm):
    observer = chain_observer(swarm.folder)
    assert tensors_in(observer) == []
    text = " ".join(one for one in everything_in(observer) if isinstance(one, str)).lower()
    for arrays in swarm.own.models.values():
        rows = np.asarray(arrays["weight"], dtype="<f4")
        assert all(row.tobytes().hex() not in text for row in rows)
    payloads = [one for round_ in swarm.recording.leader_encrypted().ciphertexts
                for one in round_.values()]  # fmt: skip
    assert all(one[:40].hex() not in text for one in payloads)


def test_each_view_has_its_fields_and_no_others():
    promised = {
        views.ChainObserver: {"ledger"},
        views.Outsider: {"model"},
        views.Member: {"models"},
        views.LeaderPlaintext: {"steps"},
        views.LeaderEncrypted: {"steps", "ciphertexts"},
        views.Coalition: {"members", "steps"},
        views.MaliciousRelay: {"crafted", "answers", "sealed", "refusals"},
    }
    for kind, names in promised.items():
        assert {one.name for one in fields(kind)} == names
        assert kind.__dataclass_params__.frozen
        assert "view" in get_type_hints(kind)
    assert {kind.view for kind in promised} == set(views.View)


def test_views_show_no_content_when_printed(swarm):
    for view in (swarm.recording.member(), swarm.recording.leader_encrypted()):
        assert "tensor" not in repr(view)
        assert len(repr(view)) < 100
