"""Parts of an update with bounds of their own, and so a grid that spans no more than they do."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError, UpdateMismatch

from .noise import SharedNoise
from .quantise import clip_to_ball


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One array of an update.

    Parameters
    ----------
    size : int
        Entries, consecutive in the vector.
    clip : float or None
        L2 bound of this array alone; None if only the whole update's holds.
    largest : float or None
        Bound of each |entry|, to which entries are cut. None if only the L2 bounds hold.
    """

    size: int
    clip: float | None = None
    largest: float | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """Consecutive entries of one grid, which spans `largest` both ways after clipping."""

    place: slice
    clip: float | None
    cut: float | None
    largest: float


def check_bound(name: str, bound: float, clip: float) -> None:
    """Raise ConfigurationError unless the bound of a layer can hold beside the update's clip."""
    if not (math.isfinite(bound) and 0 < bound <= clip):
        raise ConfigurationError(
            f"the bound of layer {name!r} must be > 0 and at most clip={clip:g}, which bounds the "
            f"whole update, got {bound}; lower it, or raise clip"
        )


def check_noise(layers: Collection[object], noise: SharedNoise | None) -> None:
    """Raise ConfigurationError if there are layers beside shared noise.

    That noise is as long in every entry. With a scale for each layer, what one record can change
    in integers would depend on which layers it changes, and nobody has worked out by how much.
    """
    if layers and noise is not None:
        raise ConfigurationError(
            f"{len(layers)} layers with bounds of their own beside shared noise: its sensitivity "
            "holds for one clip over all; leave layer_clips and entry_clips out, or add the noise "
            "at each site, with make_private(noise_multiplier=...)"
        )


def parts_of(layers: Sequence[Layer], size: int, clip: float) -> list[Part]:
    """The vector in parts of one grid each; without layers it is one part.

    Raises
    ------
    UpdateMismatch
        If the layers are not as long as the vector.
    ConfigurationError
        If a layer's bound cannot work.
    """
    parts: list[Part] = []
    end = 0
    for number, layer in enumerate(layers or [Layer(size=size)]):
        start, end = end, end + layer.size
        for bound in (layer.clip, layer.largest):
            if bound is not None:
                check_bound(str(number), bound, clip)
        part = Part(
            place=slice(start, end),
            clip=layer.clip,
            cut=layer.largest,
            largest=min(b for b in (clip, layer.clip, layer.largest) if b is not None),
        )
        if parts and layer.clip is None and replace(part, place=parts[-1].place) == parts[-1]:
            parts[-1] = replace(part, place=slice(parts[-1].place.start, end))
        else:
            parts.append(part)
    if end != size:
        raise UpdateMismatch(f"the layers hold {end} entries, the update {size}")
    return [part for part in parts if part.place.start < part.place.stop]


def clip_parts(
    update: NDArray[np.float64], parts: Sequence[Part], clip: float
) -> tuple[NDArray[np.float64], bool]:
    """Entries of a finite `update` cut, then each part clipped, then the whole to `clip`.

    In this order what is far too long in one place does not scale down the others; and each step
    only shortens, so that all bounds hold in the end. Returns also whether anything was clipped.
    """
    bounded, clipped = update, False
    for part in parts:
        before = update[part.place]
        after, shortened = before, False
        if part.cut is not None and float(np.max(np.abs(before))) > part.cut:
            after, shortened = np.clip(before, -part.cut, part.cut), True
        if part.clip is not None:
            after, longer = clip_to_ball(after, part.clip)
            shortened = shortened or longer
        if shortened:
            bounded = bounded if clipped else update.copy()
            bounded[part.place], clipped = after, True
    bounded, shortened = clip_to_ball(bounded, clip)
    return bounded, clipped or shortened
