"""Pictures as federations, for `--full`: garments, and tiles of stained tissue."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flwr_swarm.demo.data import Cohort, Federation, Site, is_training_row

from .data_sets import SITES, fashion, tissue

_TOP, _SHIRT = 0, 6
_BROWN: Final = np.array([0.27, 0.57, 0.78])
"""Optical density of the stain DAB in red, green and blue (Ruifrok and Johnston 2001)."""
_BLUE: Final = np.array([0.65, 0.70, 0.29])
"""Of haematoxylin, the counterstain."""
_STAINED: Final = 0.25


def garments() -> Federation:
    """Fashion-MNIST's 2,000 T-shirts and shirts, which are hard to tell apart."""
    images, labels = fashion()
    chosen = np.isin(labels, (_TOP, _SHIRT))
    x = images[chosen].reshape(-1, 28 * 28) - 0.5
    return _cut("fashion", "shirt", x, labels[chosen] == _SHIRT)


def tiles() -> Federation:
    """256 tiles of 32 x 32 pixels: whether a tile is stained brown, from its grey values alone.

    The section has no other label. Grey values of 8 x 8 blocks hide the hue that decides.
    """
    pixels = tissue(32)
    density = -np.log10(np.clip(pixels, 1 / 255, 1)).transpose(0, 2, 3, 1).reshape(-1, 3)
    stains = density @ np.linalg.pinv(np.stack([_BROWN, _BLUE]))
    brown = stains[:, 0].reshape(len(pixels), -1).mean(axis=1)
    grey = pixels.mean(axis=1).reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64)
    return _cut("ihc", "stained brown", 2 * (grey - 0.5), brown > _STAINED)


PICTURES: Final[Mapping[str, Callable[[], Federation]]] = {"fashion": garments, "ihc": tiles}


def _cut(name: str, outcome: str, x: NDArray[np.float32], case: NDArray[np.bool_]) -> Federation:
    """Sites, a quarter outside and rows held back, all by a hash of the row's number."""
    ids = np.arange(len(case), dtype=np.int64)
    everyone = Cohort(name=name, x=x.astype(np.float32), y=case.astype(np.float32), ids=ids)
    place = np.array([_hashed(name, int(row)) for row in ids])
    trains = np.array([is_training_row(name, int(row)) for row in ids])
    outside = place % 4 == 0
    site = place // 4 % SITES
    return Federation(
        dataset=name,
        outcome=outcome,
        features=tuple(f"pixel {k}" for k in range(x.shape[1])),
        sites=tuple(
            Site(
                name=f"{name} {k}",
                train=everyone.where((site == k) & ~outside & trains),
                held_out=everyone.where((site == k) & ~outside & ~trains),
            )
            for k in range(SITES)
        ),
        external=everyone.where(outside),
    )


def _hashed(name: str, row: int) -> int:
    digest = hashlib.sha256(f"flwr_swarm/{name}/place/{row}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
