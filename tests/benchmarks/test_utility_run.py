"""The utility benchmark on a tiny federation: each regime really runs, and spends what it says."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from benchmarks import utility, utility_regimes, utility_task
from benchmarks.utility_judged import OWN, TOGETHER, WHOLE
from benchmarks.utility_noise import own_noise, shared_noise
from benchmarks.utility_task import Recipe, task_of
from benchmarks.utility_tuning import folds
from flwr_swarm import SharedNoise
from flwr_swarm.demo.data import Cohort, Federation, Site

SITES, ROWS, WIDTH = 4, 60, 5
RECIPE = Recipe(
    hidden=0, rounds=2, epochs=2, batch_size=8, lr=0.1, decay=0.0,
    steps=2, private_lr=1.0, local_steps=1,
)  # fmt: skip


def cohort(name, seed, first):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    y = (x[:, 0] + 0.5 * rng.normal(size=ROWS) > 0).astype(np.float32)
    return Cohort(name=name, x=x, y=y, ids=np.arange(first, first + ROWS))


def federation():
    parts = [cohort(f"site {k}", k, k * ROWS) for k in range(SITES + 1)]
    first = np.arange(ROWS) < 40
    sites = [Site(name=p.name, train=p.where(first), held_out=p.where(~first)) for p in parts[:-1]]
    features = tuple(f"x{k}" for k in range(WIDTH))
    return Federation(
        dataset="tiny", outcome="y", features=features, sites=tuple(sites), external=parts[-1]
    )


@pytest.fixture(scope="module")
def task():
    torch.set_num_threads(1)
    return task_of("tiny", federation(), RECIPE)


@pytest.fixture(scope="module")
def found(task):
    said = []
    return utility.study(task, seeds=2, epsilons=(8.0,), say=said.append), said


def test_every_regime_runs_and_learns(found):
    study, said = found
    cells = {(cell["regime"], cell["epsilon_asked"]): cell for cell in study["cells"]}
    assert len(cells) == 4 + SITES + 4
    assert len(said) == 8
    for (regime, _), cell in cells.items():
        assert len(cell["seeds"]) == (1 if regime == WHOLE else 2)
        low, high = cell["interval_over_patients"]
        assert 0 <= low <= cell["auroc"] <= high <= 1
        assert cell["auroc"] > 0.7, regime
    json.dumps(study, allow_nan=False)


def test_what_is_spent_is_just_below_what_was_asked_for(found):
    for cell in found[0]["cells"]:
        if cell["epsilon_asked"] is None:
            assert cell["epsilon_spent"] is None
        else:
            assert 0.97 * 8 < cell["epsilon_spent"] <= 8


def test_a_swarm_is_the_federation_but_for_rounding(found):
    assert 0 < found[0]["swarm_from_federated"] < 1e-3


def test_nobody_who_trains_judges(task):
    judges = {tuple(row) for row in task.test.x.numpy()}
    assert len(judges) == len(task.test) == SITES * 20 + ROWS
    assert not judges & {tuple(row) for row in task.pooled.x.numpy()}
    assert len(task.pooled) == sum(len(rows) for rows in task.sites) == SITES * 40


def test_tuning_sees_training_rows_only(task):
    rows = {tuple(row) for row in task.pooled.x.numpy()}
    left_out = set()
    for part in folds(task):
        inside, judges = ({tuple(r) for r in p.x.numpy()} for p in (part.pooled, part.test))
        assert inside | judges == rows
        assert not inside & judges
        assert {tuple(r) for site in part.sites for r in site.x.numpy()} == inside
        left_out |= judges
    assert left_out == rows


@pytest.mark.parametrize("hidden", [0, 3])
def test_the_loop_is_the_protocol_without_chain_and_encryption(task, monkeypatch, hidden):
    """With hardly any noise both are the same training, to rounding; and so is one central step.

    Noise of 0.001 moves parameters by 4e-5 at most (one deviation); 0.01 was too much now and then.
    """
    wide = replace(task, recipe=replace(RECIPE, hidden=hidden))
    quiet = SharedNoise(noise_multiplier=0.001, sensitivity=1.0, honest=3)
    monkeypatch.setattr(utility_regimes, "shared_noise", lambda *_: quiet)
    monkeypatch.setattr(utility_regimes, "own_noise", lambda *_: 0.001)
    monkeypatch.setattr(utility_regimes, "_SLACK", 1e12)
    models = [
        regime(wide, 1, 8.0)
        for regime in (
            utility_regimes.distributed_noise,
            utility_regimes.distributed_noise_loop,
            utility_regimes.central_noise,
            utility_regimes.local_noise,
        )
    ]
    assert models[0].epsilon == models[1].epsilon
    start = wide.initial(1)
    assert max(float((models[0].models[0][n] - start[n]).abs().max()) for n in start) > 0.1
    for name in start:
        whole, loop, central, local = (one.models[0][name] for one in models)
        assert torch.allclose(whole, loop, atol=1e-3)
        assert torch.allclose(whole, central, atol=1e-3)
        assert torch.allclose(whole, local, atol=1e-3)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_members_together_add_what_one_trusted_party_would(task, epsilon):
    alone, together = own_noise(task, epsilon), shared_noise(task, epsilon)
    assert alone <= together.noise_multiplier < 1.1 * alone
    assert together.honest == 3  # of four, one of whom may be faulty
    assert own_noise(task, epsilon / 2) > alone


@pytest.mark.parametrize(
    ("regime", "shares"),
    [
        (utility_regimes.central_noise, 1),
        (utility_regimes.distributed_noise_loop, SITES / 3),  # any three of four shares are enough
        (utility_regimes.local_noise, SITES),
    ],
)
def test_the_noise_is_what_was_charged(task, regime, shares):
    """Patients of zeros: the model is the noise alone, but for its bias."""
    width, recipe = 3000, replace(RECIPE, steps=1)
    rows = [replace(part, x=torch.zeros(len(part), width)) for part in task.sites]
    pooled = replace(task.pooled, x=torch.zeros(len(task.pooled), width))
    zeros = replace(task, sites=tuple(rows), pooled=pooled, recipe=recipe)
    moved = regime(zeros, 1, 4.0).models[0]["0.weight"].numpy().astype(float)
    sigma = own_noise(zeros, 4.0)
    if regime is utility_regimes.distributed_noise_loop:
        sigma = shared_noise(zeros, 4.0).noise_multiplier
    squares = np.square(moved * len(pooled) / (recipe.private_lr * sigma)).sum() / shares
    assert chi2.ppf(1e-11, width) < squares < chi2.isf(1e-11, width) * 1.01


def test_delta_is_below_one_over_all_patients(task):
    assert task.delta == 1e-4  # 160 patients
    small = replace(task, pooled=replace(task.pooled, x=task.pooled.x[:99], y=task.pooled.y[:99]))
    assert small.delta == 1e-3


def test_an_interrupted_run_keeps_what_it_has(tmp_path, monkeypatch, task):
    monkeypatch.setitem(utility_task.RECIPES, "tiny", RECIPE)
    monkeypatch.setattr(utility, "SOURCES", {"tiny": federation, "broken": lambda: 1 / 0})
    monkeypatch.setattr(utility, "EPSILONS", ())
    monkeypatch.setattr(utility.study, "__kwdefaults__", {"epsilons": ()})
    kept, table = tmp_path / "kept.json", tmp_path / "table.md"
    files = ["--json", str(kept), "--markdown", str(table)]
    with pytest.raises(ZeroDivisionError):
        utility.main(["--sets", "tiny,broken", "--seeds", "2", *files])
    result = json.loads(kept.read_text())
    assert result["complete"] is False
    assert [study["dataset"] for study in result["studies"]] == ["tiny"]
    assert "| pooled | " in table.read_text()
    assert utility.main(["--sets", "tiny", "--seeds", "2", *files]) in (0, 1)
    assert json.loads(kept.read_text())["complete"] is True


def test_the_pinned_recipes_leave_whole_rounds():
    for recipe in utility_task.RECIPES.values():
        assert recipe.steps % recipe.local_steps == 0
    assert {OWN, TOGETHER} <= {v for v in vars(utility).values() if isinstance(v, str)}
