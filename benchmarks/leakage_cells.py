"""Every attack that a view allows, put to one target in all regimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flwr_swarm_attacks import (
    Shadows,
    Target,
    View,
    confidences,
    scores_of,
    target_of,
    train_shadows,
)
from flwr_swarm_attacks.ciphertexts import ciphertext_steps
from flwr_swarm_attacks.federations import train_federations
from flwr_swarm_attacks.ratios import ratio_over_rounds, ratio_to_peers
from flwr_swarm_attacks.source import Source, likely_site, source_accuracy
from flwr_swarm_attacks.trajectory import trajectory, trajectory_lira, trajectory_loss
from flwr_swarm_attacks.updates import (
    Measures,
    fedmia,
    gradient_difference,
    loss_of_updates,
    measure,
    update_cosine,
)
from flwr_swarm_attacks.views import (
    SUM,
    ChainObserver,
    LeaderEncrypted,
    LeaderPlaintext,
    Outsider,
    SeesModel,
    SeesModels,
    SeesSteps,
)
from numpy.typing import NDArray

from flwr_swarm.encryption.parameters import DEFAULT
from flwr_swarm.encryption.wire import read_ciphertext
from flwr_swarm.protocol.quorum import smallest_threshold

from .leakage_app import Runs, World, draw_members
from .leakage_board import Array, Board
from .leakage_chain import guess_and_check


@dataclass(frozen=True, kw_only=True, eq=False)
class AllShadows:
    """What an attacker who knows the algorithm trained beforehand; the same for every target."""

    masks: NDArray[np.bool_]
    central: Array
    local: Mapping[int, Array]
    rounds: Array


def prepare(world: World, *, count: int, seed: int = 7) -> AllShadows:
    """Shadow models of every regime: `count` central ones, local ones, and federations."""
    recipe = world.recipe
    masks = halves(world, count, seed=seed)
    usual = {"batch_size": recipe.batch_size, "optimizer": world.optimizer}
    start, epochs = world.initial(), recipe.rounds * recipe.epochs

    def alone(rows: NDArray[np.intp]) -> Array:
        x, y = world.x[rows], world.y[rows]
        trained = train_shadows(
            world.net, x, y, masks[:, rows], epochs=epochs, initial=start, seed=seed, **usual
        )
        return confidences(trained, x, y)

    federations = train_federations(
        world.net, world.x, world.y, masks, world.sites,
        rounds=recipe.rounds, epochs=recipe.epochs, initial=start, seed=seed, **usual,
    )  # fmt: skip
    return AllShadows(
        masks=masks,
        central=alone(np.arange(len(world.y))),
        local={site: alone(np.flatnonzero(world.sites == site)) for site in world.places},
        rounds=np.stack([confidences(one, world.x, world.y) for one in federations], axis=1),
    )


def halves(world: World, count: int, *, seed: int) -> NDArray[np.bool_]:
    """Masks that halve every site's rows, each followed by its complement."""
    drawn = [draw_members(world, seed=1000 * seed + k) for k in range(count // 2)]
    return np.array([mask for one in drawn for mask in (one, ~one)])


def attack_target(
    board: Board, world: World, runs: Runs, shadows: AllShadows, *, seed: int
) -> list[Source]:
    """Put every attack to one target; returns how well sites are told, where they can be."""
    everyone = np.arange(len(world.y))
    game = _Game(board=board, world=world, runs=runs, shadows=shadows)
    for site, state in enumerate(runs.local):
        rows = np.flatnonzero(world.sites == site)
        game.model(
            "local", View.OUTSIDER_FINAL_MODEL, Outsider(model=state), shadows.local[site], rows
        )
    central = Outsider(model=runs.central)
    game.model("central", central.view, central, shadows.central, everyone)
    member = runs.federated.member()
    game.model("federated", View.OUTSIDER_FINAL_MODEL, runs.federated.outsider(), None, everyone)
    game.rounds("federated", member.view, member, everyone)
    game.sums("federated", member.view, member, everyone)
    leader = runs.federated.leader_plaintext()
    sources = [game.updates("federated", leader, seed=seed)]
    game.rounds("federated", leader.view, member, everyone)  # who merges has the models, too
    swarm = runs.swarm
    game.model("swarm", View.OUTSIDER_FINAL_MODEL, swarm.outsider(), None, everyone)
    sealed = swarm.leader_encrypted()
    for view, seen in ((View.MEMBER_EVERY_MODEL, swarm.member()), (sealed.view, sealed)):
        game.rounds("swarm", view, seen, everyone)
        game.sums("swarm", view, seen, everyone)
    game.ciphertexts(sealed)
    game.hashes(runs.chain, seed=seed)
    count = smallest_threshold(len(world.places)) - 1
    coalition = swarm.coalition(range(count), runs.own)
    honest = np.flatnonzero(world.sites >= count)
    game.rounds("swarm", coalition.view, swarm.member(), honest)
    game.sums("swarm", coalition.view, coalition, honest)
    return sources


@dataclass(frozen=True, kw_only=True, eq=False)
class _Game:
    """One target; each method is a family of attacks from what it is given."""

    board: Board
    world: World
    runs: Runs
    shadows: AllShadows

    def _add(self, regime: str, view: View, attack: str, score: Array, rows: NDArray[Any]) -> None:
        self.board.add(regime, view, attack, score, self.runs.member[rows], rows)

    def model(
        self, regime: str, view: View, seen: SeesModel, shadows: Array | None, rows: NDArray[Any]
    ) -> None:
        """A final model against shadows; by default those of the last round of federations."""
        own = self.shadows.rounds[:, -1] if shadows is None else shadows
        net = self.world.net()
        net.load_state_dict(dict(seen.model))
        target = target_of(
            net,
            self.world.x[rows],
            self.world.y[rows],
            self.runs.member[rows],
            shadows=Shadows(confidence=own, masks=self.shadows.masks[:, rows]),
        )
        for attack, score in scores_of(target).items():
            self._add(regime, view, attack, score, rows)

    def rounds(self, regime: str, view: View, seen: SeesModels, rows: NDArray[Any]) -> None:
        """Every global model."""
        found = trajectory(seen, self.world.net, self.world.x[rows], self.world.y[rows])
        masks = self.shadows.masks[:, rows]
        self._add(regime, view, "trajectory loss", trajectory_loss(found), rows)
        lira = trajectory_lira(found, self.shadows.rounds[:, :, rows], masks)
        self._add(regime, view, "trajectory LiRA", lira, rows)
        last = self.shadows.rounds[:, -1][:, rows]
        target = target_of(
            lambda _: _as_logits(found[-1], self.world.y[rows]),
            self.world.x[rows],
            self.world.y[rows],
            self.runs.member[rows],
            shadows=Shadows(confidence=last, masks=masks),
        )
        for attack, score in scores_of(target).items():
            self._add(regime, view, f"last model, {attack}", score, rows)

    def sums(self, regime: str, view: View, seen: SeesSteps, rows: NDArray[Any]) -> None:
        """Steps that are the sum of several sites'."""
        found = measure(seen, self.world.net, self.world.x[rows], self.world.y[rows])
        for attack, score in _by_direction(found, SUM).items():
            self._add(regime, view, f"sum, {attack}", score, rows)

    def updates(self, regime: str, seen: LeaderPlaintext, *, seed: int) -> Source:
        """Each site's own steps, attacked on its own rows."""
        found = measure(seen, self.world.net, self.world.x, self.world.y)
        for site in self.world.places:
            rows = np.flatnonzero(self.world.sites == site)
            values = {
                "FedMIA-I": fedmia(found.confidence, found.of(site)),
                "FedMIA-II": fedmia(found.cosine, found.of(site)),
                "ratio to other sites": ratio_to_peers(found.confidence, found.of(site)),
                **_by_direction(found, site),
            } if len(self.world.places) > 2 else _by_direction(found, site)  # fmt: skip
            for attack, score in values.items():
                self._add(regime, seen.view, attack, score[rows], rows)
            own = found.confidence[:, found.of(site)][:, rows]
            for attack, score in self._by_shadows(seen, own, rows, seed).items():
                self._add(regime, seen.view, attack, score, rows)
        trained = np.flatnonzero(self.runs.member)
        guessed = likely_site(found.confidence)
        return source_accuracy(guessed[trained], self.world.sites[trained])

    def ciphertexts(self, seen: LeaderEncrypted) -> None:
        """Sealed updates, read as if they were plain."""
        size = sum(value.numel() for value in seen.steps[0].before.values())
        steps = ciphertext_steps(seen, seen.steps[0].before, head=_head(seen, size))
        found = measure(LeaderPlaintext(steps=steps), self.world.net, self.world.x, self.world.y)
        for site in self.world.places:
            rows = np.flatnonzero(self.world.sites == site)
            score = update_cosine(found, site)[rows]
            self._add("swarm", seen.view, "ciphertext as update, update cosine", score, rows)

    def hashes(self, seen: ChainObserver, *, seed: int) -> None:
        """What the contract says to one who can compute models."""
        score, rows = guess_and_check(self.world, self.runs.member, seen, seed=seed)
        self._add("swarm", seen.view, "guess and check of hashes", score, rows)

    def _by_shadows(
        self, seen: LeaderPlaintext, own: Array, rows: NDArray[Any], seed: int
    ) -> dict[str, Array]:
        """A site's models against shadows that start where it did in each round."""
        world = self.world
        x, y, masks = world.x[rows], world.y[rows], self.shadows.masks[:, rows]
        trained = (
            train_shadows(
                world.net, x, y, masks, epochs=world.recipe.epochs,
                batch_size=world.recipe.batch_size, optimizer=world.optimizer,
                initial=step.before, seed=seed,
            )
            for step in seen.steps
        )  # fmt: skip
        found = np.stack([confidences(one, x, y) for one in trained], axis=1)
        known = Shadows(confidence=found[:, -1], masks=masks)
        member = self.runs.member[rows]
        last = Target(confidence=own[-1], member=member, examples=rows, shadows=known)
        return {
            "ratio to shadows over rounds": ratio_over_rounds(own, found, masks),
            **{f"last update, {name}": score for name, score in scores_of(last).items()},
        }


def _by_direction(found: Measures, site: int) -> dict[str, Array]:
    return {
        "loss over rounds": loss_of_updates(found, site),
        "update cosine": update_cosine(found, site),
        "gradient difference": gradient_difference(found, site),
    }


def _as_logits(confident: Array, y: torch.Tensor) -> torch.Tensor:
    """Logits of one output that have these confidences in the labels."""
    return torch.from_numpy(confident) * (2 * y.double() - 1)


def _head(seen: LeaderEncrypted, size: int) -> int:
    """Lanes before the update: all of a ciphertext's but the update's own."""
    payload = next(iter(seen.ciphertexts[0].values()))
    return read_ciphertext(payload, DEFAULT).lanes - size
