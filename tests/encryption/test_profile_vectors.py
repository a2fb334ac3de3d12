"""Pinned vectors of each precision: a change of layout, limbs, rounding or tag shows at once.

`python tests/encryption/test_profile_vectors.py` writes the file anew, which breaks compatibility
with every swarm of such a precision that runs, so it needs a new protocol version.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from encryption_support import (
    deterministic,
    openings_of,
    round_context,
    seal_all,
)

from flwr_swarm.encryption import (
    PRECISIONS,
    Codec,
    Layer,
    ThresholdScheme,
    aggregate_hash,
    payload_hash,
)

FILE = Path(__file__).parent / "vectors" / "profiles.json"
CASES = [(bits, members) for bits in PRECISIONS for members in (4, 16, 256)]
UPDATE = [0.0, 1.0, -1.0, 0.5, -0.25, 3.0e-5, -7.0, 2.5]
LAYERS = [Layer(size=3, clip=0.5), Layer(size=3, largest=1e-3), Layer(size=2)]
WEIGHTS = (1234.5, 1.0, 65536.0)


def make(bits: int, members: int) -> dict[str, object]:
    """Three members of a swarm with room for so many, from updates to the opened mean."""
    codec = Codec(precision=bits, members=members)
    scheme = ThresholdScheme(parameters=codec.ring)
    lanes = [
        codec.encode(
            np.array(UPDATE) * (place + 1),
            weight=weight,
            metrics=[0.75, -2.0 * place],
            layers=LAYERS,
            random=deterministic(f"codec {place}"),
        )
        for place, weight in enumerate(WEIGHTS)
    ]
    sealed = seal_all(scheme, lanes, holders=3, threshold=2, seed="v")
    merged = scheme.merge([one.payload for one in sealed])
    opened = scheme.open(
        merged,
        openings_of(scheme, sealed, holders=3, who=[1, 2]),
        context=round_context(),
        threshold=2,
        included=3,
    )
    mean = codec.decode(opened, included=3, size=len(UPDATE), metrics=2, layers=LAYERS)
    return {
        "terms": {"ring": codec.ring.to_terms(), "codec": codec.to_terms()},
        "ring_tag": codec.ring.tag.hex(),
        "encoded": [one.tolist() for one in lanes],
        "payload_hashes": [payload_hash(one.payload, codec.ring).hex() for one in sealed],
        "proofs": [hashlib.sha256(one.proof).hexdigest() for one in sealed],
        "aggregate_hash": aggregate_hash(merged, codec.ring).hex(),
        "sums": opened.tolist(),
        "mean": [value.hex() for value in mean.update.tolist()],
        "weight": mean.weight,
        "metrics": [value.hex() for value in mean.metrics],
        "clipped": mean.clipped,
        "rounding_error": mean.rounding_error.hex(),
    }


def name_of(bits: int, members: int) -> str:
    return f"{bits} bits, {members} members"


@pytest.mark.parametrize(("bits", "members"), CASES)
def test_a_precision_is_what_was_pinned(bits: int, members: int) -> None:
    pinned = json.loads(FILE.read_text(encoding="utf-8"))
    assert json.loads(json.dumps(make(bits, members))) == pinned[name_of(bits, members)]


def test_keys_are_dealt_alike_at_each_precision() -> None:
    """Shares and proofs hold no message: who opens needs to know nothing of lanes."""
    pinned = json.loads(FILE.read_text(encoding="utf-8"))
    assert len({tuple(one["proofs"]) for one in pinned.values()}) == 1
    assert len({one["ring_tag"] for one in pinned.values()}) == 4


if __name__ == "__main__":
    vectors = {name_of(*case): make(*case) for case in CASES}
    FILE.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")
