"""The leakage benchmark on a tiny federation: real runs, and every cell of the grid."""

import numpy as np
import pytest
import torch
from flwr_swarm_attacks import View

from benchmarks.leakage_app import Recipe, World, run_all
from benchmarks.leakage_board import Board
from benchmarks.leakage_cells import attack_target, halves, prepare
from benchmarks.leakage_chain import guess_and_check, guesses, rounded

SITES, ROWS = 4, 24


@pytest.fixture(scope="module")
def world():
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(SITES * ROWS, 6, generator=draw)
    y = (x[:, 0] + torch.randn(len(x), generator=draw) > 0).float()
    recipe = Recipe(hidden=8, rounds=2, epochs=3, batch_size=8, lr=0.02, rows=ROWS)
    return World(name="tiny", x=x, y=y, sites=np.repeat(np.arange(SITES), ROWS), recipe=recipe)


@pytest.fixture(scope="module")
def runs(world):
    return run_all(world, seed=1)


@pytest.fixture(scope="module")
def curves(world, runs):
    board = Board()
    attack_target(board, world, runs, prepare(world, count=8), seed=1)
    return list(board.curves(resamples=20))


def test_every_view_of_every_regime_is_attacked(curves):
    cells = {(one.regime, one.view) for one in curves}
    assert cells == {
        ("local", View.OUTSIDER_FINAL_MODEL),
        ("central", View.OUTSIDER_FINAL_MODEL),
        ("federated", View.OUTSIDER_FINAL_MODEL),
        ("federated", View.MEMBER_EVERY_MODEL),
        ("federated", View.LEADER_PLAINTEXT_UPDATE),
        ("swarm", View.OUTSIDER_FINAL_MODEL),
        ("swarm", View.MEMBER_EVERY_MODEL),
        ("swarm", View.LEADER_ENCRYPTED),
        ("swarm", View.COALITION),
        ("swarm", View.CHAIN_OBSERVER),
    }
    assert all(one.targets in (1, SITES) for one in curves)


def test_under_encryption_the_leader_knows_what_any_member_knows(curves):
    found = {(one.regime, one.view, one.attack): one.separation.auc for one in curves}
    member = {a: v for (r, view, a), v in found.items()
              if (r, view) == ("swarm", View.MEMBER_EVERY_MODEL)}  # fmt: skip
    leader = {a: v for (r, view, a), v in found.items()
              if (r, view) == ("swarm", View.LEADER_ENCRYPTED)}  # fmt: skip
    sealed = [attack for attack in leader if attack.startswith("ciphertext")]
    assert len(sealed) == 1
    assert {a: v for a, v in leader.items() if a not in sealed} == member


def test_swarm_and_federation_are_the_same_training(runs):
    """Encryption changes a model by its rounding only, so cells may be compared."""
    plain, sealed = runs.federated.outsider().model, runs.swarm.outsider().model
    for name in plain:
        assert torch.allclose(plain[name], sealed[name], atol=1e-2), name
    assert not any(torch.equal(plain[n], runs.central[n]) for n in plain)


def test_guesses_of_a_model_differ_from_the_swarms_by_their_rounding_only(world, runs):
    """So that what saves the row from guess and check is the rounding, not a clumsy guess."""
    rows = np.array([np.flatnonzero(runs.member)[0], np.flatnonzero(~runs.member)[0]])
    true = runs.swarm.member().models[1]
    (with_member, without), (with_other, right) = guesses(
        world, runs.member, rows, seed=1, merge=rounded(world)
    )
    for name, value in true.items():
        assert np.allclose(with_member[name], value, atol=1e-3), name
        assert np.allclose(right[name], value, atol=1e-3), name
    for wrong in (without, with_other):
        assert any(np.abs(wrong[n] - v.numpy()).max() > 1e-2 for n, v in true.items())


def test_guess_and_check_learns_nothing_from_the_chain(world, runs):
    score, rows = guess_and_check(world, runs.member, runs.chain, seed=1)
    assert not score.any()
    assert len(rows) == len(set(rows)) == SITES * ROWS
    assert runs.member[rows].sum() == len(rows) // 2


def test_halves_halve_every_site_and_every_rows_shadows(world):
    masks = halves(world, 8, seed=3)
    assert (masks.sum(axis=0) == 4).all()
    for site in range(SITES):
        assert (masks[:, world.sites == site].sum(axis=1) == ROWS // 2).all()
    assert len({mask.tobytes() for mask in masks}) == 8
