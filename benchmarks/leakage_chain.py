"""What the chain's hashes tell one who knows the code and all rows but one: guess and check."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from flwr_swarm_attacks.chain import confirmed
from flwr_swarm_attacks.views import ChainObserver, State
from numpy.typing import NDArray

from flwr_swarm.encryption import Codec
from flwr_swarm.protocol.hashing import Arrays
from flwr_swarm.protocol.update import apply_mean, difference

from .leakage_app import World
from .leakage_board import Array

_AT_EACH_SITE = 24

Merge = Callable[[list[tuple[Arrays, int]], Arrays], Arrays]


def guess_and_check(
    world: World, member: NDArray[np.bool_], seen: ChainObserver, *, seed: int
) -> tuple[Array, NDArray[np.intp]]:
    """Scores of some rows of each site, half of them members, and which rows.

    The attacker trains round 1 as the sites did, down to their order of batches, with the row and
    without it, and rounds as they do. What it lacks are the rounding's random numbers.
    """
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero((world.sites == site) & (member == side)))
        for site in world.places
        for side in (True, False)
    ]
    rows = np.concatenate([some[: _AT_EACH_SITE // 2] for some in chosen])
    return confirmed(seen, guesses(world, member, rows, seed=seed, merge=rounded(world))), rows


def guesses(
    world: World, member: NDArray[np.bool_], rows: NDArray[np.intp], *, seed: int, merge: Merge
) -> Iterator[tuple[Arrays, Arrays]]:
    """For each row the model after round 1 with it, and the one without it."""
    start = world.initial()
    before = _arrays(start)

    def trained(site: int, who: NDArray[np.bool_]) -> tuple[Arrays, int]:
        here = np.flatnonzero(who & (world.sites == site))
        state = world.fit(
            start, here, epochs=world.recipe.epochs, seed=1_000_000 * seed + 1000 + site
        )
        return _arrays(state), len(here)

    true = {site: trained(site, member) for site in world.places}
    for row in rows:
        other, site = member.copy(), int(world.sites[row])
        other[row] = not member[row]
        changed = true | {site: trained(site, other)}
        pair = [merge(list(one.values()), before) for one in (true, changed)]
        yield (pair[0], pair[1]) if member[row] else (pair[1], pair[0])


def rounded(world: World) -> Merge:
    """The mean as members encode it, with a rounding of the attacker's own."""
    codec = Codec(members=len(world.places), max_weight=float(world.recipe.rows))

    def merge(trained: list[tuple[Arrays, int]], before: Arrays) -> Arrays:
        updates = [(difference(model, before), weight) for model, weight in trained]
        lanes = [codec.encode(update, weight=float(weight)) for update, weight in updates]
        mean = codec.fixed_point_mean(lanes, size=len(updates[0][0]))
        return apply_mean(before, mean.update)

    return merge


def _arrays(state: State) -> Arrays:
    return {name: value.numpy() for name, value in state.items()}
