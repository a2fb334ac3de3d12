"""Attacks over rounds: exact against plain loops, strong where updates are read, null elsewhere."""

import numpy as np
import pytest
import torch
from flwr_swarm_attacks import auc, balanced_masks, confidences, lira_online
from flwr_swarm_attacks.federations import train_federations
from flwr_swarm_attacks.source import likely_site, source_accuracy
from flwr_swarm_attacks.trajectory import trajectory, trajectory_lira, trajectory_loss
from flwr_swarm_attacks.updates import (
    Measures,
    example_gradients,
    fedmia,
    gradient_difference,
    loss_of_updates,
    measure,
    update_cosine,
)
from flwr_swarm_attacks.views import SUM, LeaderEncrypted, LeaderPlaintext, Member, Step
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from torch import nn

from flwr_swarm._exceptions import ConfigurationError

SITES, ROUNDS, EPOCHS, BATCH, N = 4, 4, 10, 16, 400
unhurried = settings(deadline=None, max_examples=30)


def net():
    return nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 1))


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.03)


class World:
    """FedAvg by plain torch over four sites, noisy labels, and what each onlooker sees of it."""

    def __init__(self):
        torch.set_num_threads(1)
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(N, 10, generator=draw)
        self.y = (self.x[:, 0] + 1.5 * torch.randn(N, generator=draw) > 0).float()
        self.sites = np.arange(N) % SITES
        self.member = np.random.default_rng(1).random(N) < 0.5
        torch.manual_seed(5)
        self.initial = {k: v.clone() for k, v in net().state_dict().items()}
        self.steps, self.sums, models = [], [], [self.initial]
        for _ in range(ROUNDS):
            after = {site: self.trained(models[-1], site) for site in range(SITES)}
            weights = [self.rows(site).sum() for site in range(SITES)]
            models.append({
                name: sum(w * after[s][name] for s, w in enumerate(weights)) / sum(weights)
                for name in self.initial
            })  # fmt: skip
            self.steps.append(Step(before=models[-2], after=after))
            self.sums.append(Step(before=models[-2], after={SUM: models[-1]}))
        self.leader = LeaderPlaintext(steps=tuple(self.steps))
        self.encrypted = LeaderEncrypted(steps=tuple(self.sums), ciphertexts=())
        self.seen = Member(models=tuple(models))

    def rows(self, site):
        return self.member & (self.sites == site)

    def trained(self, start, site):
        model = net()
        model.load_state_dict(start)
        optimizer = adam(model.parameters())
        here = np.flatnonzero(self.rows(site))
        rng = np.random.default_rng(site)
        for _ in range(EPOCHS):
            for part in np.array_split(rng.permutation(here), -(-len(here) // BATCH)):
                optimizer.zero_grad()
                logits = model(self.x[part]).squeeze(-1)
                nn.functional.binary_cross_entropy_with_logits(logits, self.y[part]).backward()
                optimizer.step()
        return {k: v.detach().clone() for k, v in model.state_dict().items()}


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.fixture(scope="module")
def measures(world):
    return measure(world.leader, net, world.x, world.y)


def pooled(world, score):
    """One attack on all sites: each on its own rows."""
    parts = [(score(k)[world.sites == k], world.member[world.sites == k]) for k in range(SITES)]
    return auc(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def test_who_reads_updates_finds_members_and_others_help(world, measures):
    found = {
        "loss": pooled(world, lambda k: loss_of_updates(measures, k)),
        "FedMIA-I": pooled(world, lambda k: fedmia(measures.confidence, k)),
        "FedMIA-II": pooled(world, lambda k: fedmia(measures.cosine, k)),
        "cosine": pooled(world, lambda k: update_cosine(measures, k)),
        "difference": pooled(world, lambda k: gradient_difference(measures, k)),
    }
    assert min(found.values()) > 0.58, found
    assert found["FedMIA-I"] > found["loss"], found


def test_who_reads_the_sum_finds_less(world, measures):
    sums = measure(world.encrypted, net, world.x, world.y)
    assert sums.sites == (SUM,)
    one = pooled(world, lambda k: fedmia(measures.confidence, k))
    for score in (update_cosine, gradient_difference, loss_of_updates):
        assert auc(score(sums, SUM), world.member) < one - 0.05
    with pytest.raises(ConfigurationError, match="it needs two"):
        fedmia(sums.confidence, 0)
    with pytest.raises(ConfigurationError, match="nobody's site"):
        likely_site(sums.confidence)


def test_a_member_sees_the_same_sum_as_the_leader_of_an_encrypted_round(world):
    sums, mine = (measure(v, net, world.x, world.y) for v in (world.encrypted, world.seen))
    assert np.array_equal(sums.cosine, mine.cosine)
    assert np.array_equal(sums.confidence, mine.confidence)


@pytest.mark.parametrize("seed", range(3))
def test_membership_at_random_is_not_found_over_rounds(world, measures, seed):
    label = np.random.default_rng(seed).permutation(world.member)
    for score in (
        loss_of_updates(measures, 0),
        fedmia(measures.confidence, 0),
        gradient_difference(measures, 1),
        trajectory_loss(trajectory(world.seen, net, world.x, world.y)),
    ):
        assert abs(auc(score, label) - 0.5) < 4 * np.sqrt(1 / (3 * N))  # four deviations


def test_shadow_federations_make_the_trajectory_stronger_than_its_end(world):
    masks = balanced_masks(24, N, seed=3)
    rounds = train_federations(
        net, world.x, world.y, masks, world.sites,
        rounds=ROUNDS, epochs=EPOCHS, batch_size=BATCH, optimizer=adam, initial=world.initial,
    )  # fmt: skip
    shadows = np.stack([confidences(one, world.x, world.y) for one in rounds], axis=1)
    target = trajectory(world.seen, net, world.x, world.y)
    assert target.shape == (ROUNDS, N)
    assert shadows.shape == (24, ROUNDS, N)
    whole = auc(trajectory_lira(target, shadows, masks), world.member)
    last = auc(lira_online(target[-1], shadows[:, -1], masks), world.member)
    assert last > 0.55
    assert whole > last - 0.02
    assert whole > auc(trajectory_loss(target), world.member)


def test_a_shadow_federation_of_the_victims_rows_is_the_victim(world):
    """Half of the machinery against the other: one round of SGD on full batches, by hand."""
    masks = np.stack([world.member, ~world.member])
    (ensemble,) = train_federations(
        net, world.x, world.y, masks, world.sites,
        rounds=1, epochs=1, batch_size=N, initial=world.initial,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
    )  # fmt: skip
    expected = {name: torch.zeros_like(value) for name, value in world.initial.items()}
    for site in range(SITES):
        here = np.flatnonzero(world.rows(site))
        model = net()
        model.load_state_dict(world.initial)
        logits = model(world.x[here]).squeeze(-1)
        nn.functional.binary_cross_entropy_with_logits(logits, world.y[here]).backward()
        for name, value in model.named_parameters():
            stepped = value.detach() - 0.1 * value.grad
            expected[name] += stepped * len(here) / world.member.sum()
    for name, value in ensemble.state_dict(0).items():
        assert torch.allclose(value, expected[name], atol=1e-6), name


def test_source_inference_names_the_site_from_updates(world, measures):
    trained = np.flatnonzero(world.member)
    found = source_accuracy(likely_site(measures.confidence)[trained], world.sites[trained])
    assert found.low > found.chance + 0.1
    outside = np.flatnonzero(~world.member)
    null = source_accuracy(likely_site(measures.confidence)[outside], world.sites[outside])
    assert null.low < 0.27
    assert null.high > 0.23


@unhurried
@given(st.integers(0, 400), st.integers(1, 400))
def test_an_accuracy_lies_in_its_interval(hits, count):
    hits = min(hits, count)
    found = source_accuracy((np.arange(count) < hits).astype(int), np.ones(count, int))
    assert 0 <= found.low <= found.accuracy == hits / count <= found.high <= 1
    assert found.chance == 1


@unhurried
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(3, 6), st.integers(1, 8))
def test_fedmia_is_the_tail_of_a_gaussian_over_the_others(seed, rounds, sites, n):
    values = np.random.default_rng(seed).normal(size=(rounds, sites, n))
    site = seed % sites
    expected = np.zeros(n)
    for turn in values:
        others = [turn[s] for s in range(sites) if s != site]
        deviation = np.sqrt(np.mean([np.var([o[i] for o in others], ddof=1) for i in range(n)]))
        expected += norm.logcdf((turn[site] - np.mean(others, axis=0)) / deviation)
    assert fedmia(values, site) == pytest.approx(expected, rel=1e-6)


@unhurried
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
def test_trajectory_lira_is_the_ratio_of_gaussians_over_rounds(seed, rounds, n):
    rng = np.random.default_rng(seed)
    masks = balanced_masks(12, n, seed=1)
    shadows = rng.normal(size=(12, rounds, n)) + masks[:, None]
    target = rng.normal(size=(rounds, n))
    expected = np.zeros(n)
    for side, sign in ((masks, 1), (~masks, -1)):
        means = [shadows[side[:, i], :, i].mean(axis=0) for i in range(n)]
        rest = np.concatenate([shadows[side[:, i], :, i] - means[i] for i in range(n)])
        covariance = rest.T @ rest / (len(rest) - n)
        covariance += 1e-3 * np.trace(covariance) / rounds * np.eye(rounds)
        for i in range(n):
            expected[i] += sign * multivariate_normal(means[i], covariance).logpdf(target[:, i])
    assert trajectory_lira(target, shadows, masks) == pytest.approx(expected, abs=1e-6)


def test_gradients_of_examples_are_those_of_autograd(world):
    model = net()
    found = example_gradients(model, world.initial, world.x[:5], world.y[:5])
    for i in range(5):
        one = net()
        one.load_state_dict(world.initial)
        nn.functional.binary_cross_entropy_with_logits(
            one(world.x[i : i + 1]).squeeze(-1), world.y[i : i + 1]
        ).backward()
        names = sorted(dict(one.named_parameters()))
        expected = torch.cat([dict(one.named_parameters())[n].grad.reshape(-1) for n in names])
        assert torch.allclose(found[i], expected, atol=1e-6)


def test_measures_of_one_step_against_their_definitions(world):
    """A step along one example's pull has cosine 1 with it, and nothing explains it better."""
    pull = -example_gradients(net(), world.initial, world.x, world.y)[7]
    names, moved, at = sorted(world.initial), {}, 0
    for name in names:
        old = world.initial[name]
        moved[name] = old + 1e-1 * pull[at : at + old.numel()].reshape(old.shape)
        at += old.numel()
    step = Step(before=world.initial, after={0: moved})
    found = measure(LeaderPlaintext(steps=(step,)), net, world.x, world.y)
    assert found.cosine[0, 0].max() == pytest.approx(1, abs=1e-4)
    assert found.cosine[0, 0, 7] == pytest.approx(1, abs=1e-4)


def test_steps_of_changing_sites_are_refused(world):
    steps = (world.steps[0], world.sums[1])
    with pytest.raises(ConfigurationError, match="same sites"):
        measure(LeaderPlaintext(steps=steps), net, world.x, world.y)
    with pytest.raises(ConfigurationError, match="same sites"):
        measure(LeaderPlaintext(steps=()), net, world.x, world.y)


def test_sites_are_found_by_number_not_by_place():
    values = np.zeros((1, 2, 3))
    values[:, 1] = 1
    found = Measures(sites=(3, 9), cosine=values, difference=values, confidence=values)
    assert update_cosine(found, 9) == pytest.approx(1)
    assert update_cosine(found, 3) == pytest.approx(0)
