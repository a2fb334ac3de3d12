"""Parts of an update with a clip of their own, and so a grid that is as fine as it is short."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flwr_swarm._exceptions import ConfigurationError, UpdateMismatch

from .noise import SharedNoise
from .quantise import clip_to_ball

Part = tuple[slice, float]
"""A part of the vector, and the L2 bound of it that sets its grid."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One array of an update.

    Parameters
    ----------
    size : int
        Entries, consecutive in the vector.
    clip : float or None
        L2 bound of this array alone; None if only the whole update's holds.
    """

    size: int
    clip: float | None = None


def check_layer_clip(name: str, layer_clip: float, clip: float) -> None:
    """Raise ConfigurationError unless a layer's clip can bound more than the update's does."""
    if not (math.isfinite(layer_clip) and 0 < layer_clip <= clip):
        raise ConfigurationError(
            f"the clip of layer {name!r} must be > 0 and at most clip={clip:g}, which bounds the "
            f"whole update, got {layer_clip}; lower it, or raise clip"
        )


def check_noise(layers: Collection[object], noise: SharedNoise | None) -> None:
    """Raise ConfigurationError if there are layers beside shared noise.

    That noise is as long in every entry. With a scale for each layer, what one record can change
    in integers would depend on which layers it changes, and nobody has worked out by how much.
    """
    if layers and noise is not None:
        raise ConfigurationError(
            f"{len(layers)} layers with clips of their own beside shared noise: its sensitivity "
            "holds for one clip over all; leave layer_clips out, or add the noise at each site, "
            "with make_private(noise_multiplier=...)"
        )


def parts_of(layers: Sequence[Layer], size: int, clip: float) -> list[Part]:
    """The vector in parts of one bound each; without layers it is one part.

    Raises
    ------
    UpdateMismatch
        If the layers are not as long as the vector.
    ConfigurationError
        If a layer's clip cannot work.
    """
    if not layers:
        return [(slice(0, size), clip)]
    parts: list[Part] = []
    end = 0
    for place, layer in enumerate(layers):
        start, end = end, end + layer.size
        if layer.clip is not None:
            check_layer_clip(str(place), layer.clip, clip)
            parts.append((slice(start, end), layer.clip))
        elif parts and parts[-1][1] == clip:
            parts[-1] = (slice(parts[-1][0].start, end), clip)
        else:
            parts.append((slice(start, end), clip))
    if end != size:
        raise UpdateMismatch(f"the layers hold {end} entries, the update {size}")
    return [part for part in parts if part[0].start < part[0].stop]


def clip_parts(
    update: NDArray[np.float64], parts: Sequence[Part], clip: float
) -> tuple[NDArray[np.float64], bool]:
    """Each part of a finite `update` clipped to its bound, then the whole to `clip`.

    In this order one array that is far too long does not scale down the others. Returns also
    whether anything was clipped.
    """
    bounded, clipped = update, False
    for place, bound in parts:
        if bound == clip:
            continue  # the whole's clip sees to it
        part, shortened = clip_to_ball(update[place], bound)
        if shortened:
            if not clipped:
                bounded, clipped = update.copy(), True
            bounded[place] = part
    bounded, shortened = clip_to_ball(bounded, clip)
    return bounded, clipped or shortened
