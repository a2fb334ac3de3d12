"""The regimes that are compared: same patients, same nets, same seeds, another way to train."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from opacus import PrivacyEngine
from torch.utils.data import DataLoader, TensorDataset

from flwr_swarm import SharedNoise, SwarmStrategy, swarm_mod
from flwr_swarm.demo.models import State
from flwr_swarm.flower.records import numpy_arrays
from flwr_swarm.flower.sharing import check_taken, offer_noise
from flwr_swarm.privacy import epsilon_spent, make_private
from flwr_swarm.protocol.update import apply_mean, difference

from .utility_flower import Train, fedavg, fly
from .utility_noise import agreed, fresh_context, own_noise, shared_noise
from .utility_task import CLIP, Rows, Task, loss_of

_SLACK = 1.001
"""On a site's budget, over what its steps were planned to cost."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What one regime came to with one seed.

    Parameters
    ----------
    models : list of State
        One; of local training one a site.
    epsilon : float or None
        What the accountant says was spent, at the worst site; None without DP.
    """

    models: list[State] = field(repr=False)
    epsilon: float | None = None


def local(task: Task, seed: int) -> Trained:
    """Every site alone."""
    return Trained(models=[_alone(task, rows, seed, 1 + k) for k, rows in enumerate(task.sites)])


def pooled(task: Task, seed: int) -> Trained:
    """All rows in one place."""
    return Trained(models=[_alone(task, task.pooled, seed, 0)])


def federated(task: Task, seed: int) -> Trained:
    """Flower's FedAvg."""
    model, _ = fly(
        len(task.sites), fedavg(len(task.sites)), _plain(task, seed), task.initial(seed),
        rounds=task.recipe.rounds,
    )  # fmt: skip
    return Trained(models=[model])


def swarm(task: Task, seed: int) -> Trained:
    """The same app, seeds and FedAvg in a `SwarmStrategy`: chain, encryption, elected leaders."""
    model, _ = _swarm(task, _plain(task, seed), task.initial(seed), rounds=task.recipe.rounds)
    return Trained(models=[model])


def local_noise(task: Task, seed: int, epsilon: float) -> Trained:
    """A swarm in which every site's steps are private by noise of its own."""
    recipe = task.recipe
    model, contexts = _swarm(
        task,
        _private(task, epsilon, own_noise(task, epsilon), steps=recipe.local_steps),
        task.initial(seed),
        rounds=recipe.steps // recipe.local_steps,
    )
    return Trained(models=[model], epsilon=_worst(contexts))


def central_noise(task: Task, seed: int, epsilon: float) -> Trained:
    """All rows in one place, by Opacus' own engine: DP with a trusted party."""
    recipe, rows = task.recipe, task.pooled
    model = task.with_state(task.initial(seed)).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that seeds are no secrets; and torch's, of its hooks
        engine = PrivacyEngine(accountant="rdp")
        private, optimizer, loader = engine.make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=recipe.private_lr),
            data_loader=DataLoader(TensorDataset(rows.x, rows.y), len(rows)),
            noise_multiplier=own_noise(task, epsilon),
            max_grad_norm=CLIP,
            noise_generator=torch.Generator().manual_seed(1_000_003 * seed + 7),
        )
        for _ in range(recipe.steps):
            for x, y in loader:
                optimizer.zero_grad()
                loss_of(private(x), y).backward()
                optimizer.step()
        spent = engine.get_epsilon(task.delta)
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    return Trained(models=[state], epsilon=float(spent))


def distributed_noise(task: Task, seed: int, epsilon: float) -> Trained:
    """A swarm whose members add the noise together, one step a round: the whole protocol."""
    noise = shared_noise(task, epsilon)
    model, contexts = _swarm(
        task, _private(task, epsilon, "shared", steps=1), task.initial(seed),
        rounds=task.recipe.steps, noise=noise,
    )  # fmt: skip
    return Trained(models=[model], epsilon=_worst(contexts))


def distributed_noise_loop(task: Task, seed: int, epsilon: float) -> Trained:
    """The same without chain and encryption: the members' own codec, noise and accountant."""
    terms, policy = agreed(task, shared_noise(task, epsilon))
    codec, train = terms.codec(), _private(task, epsilon, "shared", steps=1)
    contexts = [fresh_context(site) for site in range(len(task.sites))]
    record = ArrayRecord(dict(task.initial(seed)))
    for turn in range(1, task.recipe.steps + 1):
        model, lanes = numpy_arrays(record), []
        for site, context in enumerate(contexts):
            offer_noise(context, terms, policy, model)
            state, examples = train(site, turn, record.to_torch_state_dict(), context)
            check_taken(context, terms, MetricRecord({"num-examples": examples}))
            update = difference(numpy_arrays(ArrayRecord(dict(state))), model)
            lanes.append(codec.encode(update, weight=float(examples)))
        size = sum(array.size for array in model.values())
        mean = codec.fixed_point_mean(lanes, size=size)
        stepped = apply_mean(model, mean.update)
        record = ArrayRecord({n: torch.from_numpy(np.array(a)) for n, a in stepped.items()})
    return Trained(models=[record.to_torch_state_dict()], epsilon=_worst(contexts))


def _alone(task: Task, rows: Rows, seed: int, salt: int) -> State:
    epochs = task.recipe.rounds * task.recipe.epochs
    return task.fit(task.initial(seed), rows, epochs=epochs, seed=(seed, salt))


def _plain(task: Task, seed: int) -> Train:
    def train(site: int, turn: int, model: State, _: Context) -> tuple[State, int]:
        rows = task.sites[site]
        made = task.fit(model, rows, epochs=task.recipe.epochs, seed=(seed, 1 + site, turn))
        return made, len(rows)

    return train


def _private(task: Task, epsilon: float, noise: float | str, *, steps: int) -> Train:
    def train(site: int, _turn: int, start: State, context: Context) -> tuple[State, int]:
        rows, model = task.sites[site], task.with_state(start).train()
        model, optimizer, loader = make_private(
            context,
            model,
            torch.optim.SGD(model.parameters(), lr=task.recipe.private_lr),
            DataLoader(TensorDataset(rows.x, rows.y), len(rows)),
            epochs=steps,
            noise_multiplier=noise,  # type: ignore[arg-type]
            budget=epsilon * _SLACK,
            max_grad_norm=CLIP,
            delta=task.delta,
        )
        for _ in range(steps):
            for x, y in loader:
                optimizer.zero_grad()
                loss_of(model(x), y).backward()
                optimizer.step()
        state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        return state, len(rows)

    return train


def _swarm(
    task: Task, train: Train, start: State, *, rounds: int, noise: SharedNoise | None = None
) -> tuple[State, list[Context]]:
    sites, clip = len(task.sites), 10.0 if noise is None else noise.sensitivity
    with tempfile.TemporaryDirectory() as folder:
        strategy = SwarmStrategy(
            fedavg(sites),
            clip=clip,
            max_weight=float(task.largest),
            noise=noise,
            evidence=Path(folder),
        )
        return fly(sites, strategy, train, start, rounds=rounds, mods=(swarm_mod,))


def _worst(contexts: list[Context]) -> float:
    return max(epsilon_spent(context) or 0.0 for context in contexts)
