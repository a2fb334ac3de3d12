"""Positive and null controls: attacks find what leaks and nothing where nothing does."""

import json

import numpy as np
import pytest
import torch
from flwr_swarm_attacks import (
    Shadows,
    View,
    attack,
    attack_model,
    balanced_masks,
    confidences,
    lira_offline,
    lira_online,
    loss_threshold,
    target_of,
    train_shadows,
)
from scipy.stats import norm
from torch import nn

from flwr_swarm._exceptions import ConfigurationError

N = 300


def make():
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))


@pytest.fixture(scope="module")
def overfitted():
    """Noisy labels, a net that learns them by heart, and 16 shadows of it."""
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, 10, generator=rng)
    y = (x[:, 0] + 1.5 * torch.randn(N, generator=rng) > 0).float()
    member = np.random.default_rng(1).random(N) < 0.5

    def fit(masks, seed):
        return train_shadows(
            make, x, y, masks,
            epochs=60, batch_size=32, optimizer=lambda p: torch.optim.Adam(p, lr=0.01), seed=seed,
        )  # fmt: skip

    masks = balanced_masks(16, N, seed=2)
    shadows = Shadows(confidence=confidences(fit(masks, 3), x, y), masks=masks)
    target = make()
    target.load_state_dict(fit(member[None], 4).state_dict(0))
    return x, y, member, shadows, target


def test_an_overfitted_model_is_attacked_and_lira_is_stronger(overfitted):
    x, y, member, shadows, target = overfitted
    results = attack_model(View.OUTSIDER_FINAL_MODEL, target, x, y, member, shadows=shadows)
    loss, calibrated, online, offline, rmia_on, rmia_off = results
    assert [r.attack for r in results] == [
        "loss threshold", "calibrated loss", "LiRA online", "LiRA offline",
        "RMIA online", "RMIA offline",
    ]  # fmt: skip
    assert min(calibrated.auc_low, rmia_on.auc_low, rmia_off.auc_low) > 0.55
    assert min(rmia_on.auc, rmia_off.auc) > loss.auc
    assert loss.auc_low > 0.52
    assert online.auc > loss.auc + 0.05
    assert online.auc_low > 0.6
    assert offline.auc_low > 0.52
    assert online.tpr_at_1pct_fpr > 0.03
    assert (loss.members, loss.non_members) == (member.sum(), N - member.sum())
    assert (loss.shadows, online.shadows) == (0, 16)


@pytest.mark.parametrize("seed", range(5))
def test_an_untrained_model_leaks_nothing(overfitted, seed):
    x, y, member, shadows, _ = overfitted
    torch.manual_seed(seed)
    for result in attack_model(View.OUTSIDER_FINAL_MODEL, make(), x, y, member, shadows=shadows):
        assert result.auc_low - 0.02 <= 0.5 <= result.auc_high + 0.02, result


@pytest.mark.parametrize("seed", range(5))
def test_membership_at_random_is_not_found(overfitted, seed):
    x, y, member, shadows, target = overfitted
    permuted = np.random.default_rng(seed).permutation(member)
    for result in attack_model(View.OUTSIDER_FINAL_MODEL, target, x, y, permuted, shadows=shadows):
        assert result.auc_low - 0.02 <= 0.5 <= result.auc_high + 0.02, result


def test_a_model_attacked_twice_is_no_more_certain(overfitted):
    x, y, member, shadows, target = overfitted
    one = target_of(target, x, y, member, shadows=shadows)
    for once, twice in zip(
        attack(View.LEADER_PLAINTEXT_UPDATE, [one]),
        attack(View.LEADER_PLAINTEXT_UPDATE, [one, one]),
        strict=True,
    ):
        assert twice.auc == pytest.approx(once.auc)
        assert twice.auc_high - twice.auc_low == pytest.approx(
            once.auc_high - once.auc_low, rel=0.15
        )
        assert twice.targets == 2


def test_results_go_to_json_by_the_names_that_reports_use(overfitted):
    x, y, member, _, target = overfitted
    (result,) = attack_model(View.LEADER_PLAINTEXT_UPDATE, target, x, y, member, resamples=10)
    row = json.loads(json.dumps(result.to_json()))
    assert row["view"] == View.LEADER_PLAINTEXT_UPDATE.value
    assert {
        "attack", "auc", "auc_low", "auc_high", "tpr_at_1pct_fpr", "tpr_low", "tpr_high",
    } < set(row)  # fmt: skip


def test_querying_a_model_leaves_it_as_it_was(overfitted):
    x, y, member, _, _ = overfitted
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(10, 1)).train()
    a, b = (target_of(model, x, y, member).confidence for _ in range(2))
    assert np.array_equal(a, b)
    assert model.training


def test_lira_is_the_ratio_of_gaussian_densities():
    rng = np.random.default_rng(0)
    masks = balanced_masks(80, 7, seed=1)
    shadows, target = rng.normal(size=(80, 7)) * 2 + 3 * masks, rng.normal(size=7)
    scores = lira_online(target, shadows, masks)
    offline = lira_offline(target, shadows, masks)
    for j in range(7):
        inside, outside = shadows[masks[:, j], j], shadows[~masks[:, j], j]
        ratio = norm.logpdf(target[j], inside.mean(), inside.std(ddof=1)) - norm.logpdf(
            target[j], outside.mean(), outside.std(ddof=1)
        )
        assert scores[j] == pytest.approx(ratio)
        p = norm.cdf(target[j], outside.mean(), outside.std(ddof=1))
        assert norm.cdf(offline[j]) == pytest.approx(p)


def test_few_shadows_share_one_variance():
    rng = np.random.default_rng(0)
    masks = balanced_masks(4, 500, seed=1)
    shadows, target = rng.normal(size=(4, 500)) + 10 * rng.normal(size=500), rng.normal(size=500)
    offline = lira_offline(target, shadows, masks)
    mean = np.where(~masks, shadows, 0).sum(axis=0) / 2
    # The shared deviation is within examples: 1, whatever their own means do.
    assert (target - mean) / offline == pytest.approx(np.ones(500), rel=0.15)


def test_loss_threshold_is_minus_the_loss():
    logits, y = torch.randn(50) * 20, torch.arange(50) % 2
    found = target_of(lambda _: logits, torch.zeros(50, 1), y, np.arange(50) < 25)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, y.float(), reduction="none")
    assert loss_threshold(found.confidence) == pytest.approx(-loss.numpy(), abs=1e-5)


def test_too_few_shadows_and_wrong_shapes_are_refused():
    target, shadows = np.zeros(3), np.zeros((2, 3))
    with pytest.raises(ConfigurationError, match="shadows on one side"):
        lira_online(target, shadows, balanced_masks(2, 3, seed=0))
    with pytest.raises(ConfigurationError, match="must be"):
        lira_online(target, shadows, np.ones((3, 3), bool))
    with pytest.raises(ConfigurationError, match="no target"):
        attack(View.OUTSIDER_FINAL_MODEL, [])
    with pytest.raises(ConfigurationError, match="memberships"):
        target_of(make(), torch.zeros(3, 10), torch.zeros(3), np.ones(2, bool))
