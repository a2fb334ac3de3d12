"""Pinned vectors: a change of any constant, order or tag shows as a difference from the file.

`python tests/encryption/test_vectors.py` writes the file anew, which breaks compatibility with
every swarm that runs, so it needs a new protocol version.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from encryption_support import (
    deterministic,
    key_pairs,
    openings_of,
    public_keys,
    round_context,
    seal_all,
)

from flwr_swarm.encryption import (
    Codec,
    ThresholdScheme,
    aggregate_hash,
    payload_hash,
    ring,
    shares_hash,
    wire,
)
from flwr_swarm.encryption.envelope import open_share
from flwr_swarm.encryption.parameters import DEFAULT

FILE = Path(__file__).parent / "vectors" / "threshold.json"
HOLDERS, THRESHOLD, LANES = 3, 2, 9000
UPDATE = [0.0, 1.0, -1.0, 0.5, -0.25, 3.0e-5, -7.0, 2.5]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lanes_of(member: int) -> np.ndarray:
    return (np.arange(LANES) * (member + 1) * 7919 % 2**22).astype(np.uint32)


def share_hash(envelope: bytes) -> str:
    share = open_share(
        envelope,
        context=round_context(),
        sender=0,
        receiver=1,
        private_key=key_pairs(HOLDERS)[1][0],
        parameters=DEFAULT,
    )
    return sha(wire.pack_residues(share))


def make() -> tuple[dict[str, object], bytes]:
    """All that is deterministic, and one envelope, which HPKE makes anew each time."""
    scheme, codec = ThresholdScheme(), Codec(members=4)
    sealed = seal_all(
        scheme, [lanes_of(i) for i in range(3)], holders=HOLDERS, threshold=THRESHOLD, seed="v"
    )
    openings = openings_of(scheme, sealed, holders=HOLDERS, who=range(HOLDERS))
    merged = scheme.merge([one.payload for one in sealed])
    common = ring.common_polynomial(round_context().common_seed(), 0)
    encoded = codec.encode(
        np.array(UPDATE), weight=1234.5, metrics=[0.75, -2.0], random=deterministic("codec")
    )
    return {
        "terms": {"ring": DEFAULT.to_terms(), "codec": codec.to_terms()},
        "ring_tag": DEFAULT.tag.hex(),
        "common_seed": round_context().common_seed().hex(),
        "context_digest": round_context().digest().hex(),
        "a_0": {"first": common[:4].tolist(), "sha256": sha(common.astype("<u8").tobytes())},
        "encoded": encoded.tolist(),
        "public_keys": [key.hex() for key in public_keys(HOLDERS)],
        "payloads": [sha(one.payload) for one in sealed],
        "payload_hashes": [payload_hash(one.payload).hex() for one in sealed],
        "merged": sha(merged),
        "aggregate_hash": aggregate_hash(merged).hex(),
        "openings": [sha(openings[holder]) for holder in range(HOLDERS)],
        "shares_hash_of_zeros": shares_hash([bytes(32)] * HOLDERS).hex(),
        "share_0_to_1": share_hash(sealed[0].envelopes[1]),
    }, sealed[0].envelopes[1]


@pytest.fixture(scope="module")
def pinned():
    return json.loads(FILE.read_text())


def test_everything_deterministic_is_as_pinned(pinned):
    made, _ = make()
    assert made == {name: value for name, value in pinned.items() if name != "envelope_0_to_1"}


def test_the_pinned_envelope_still_opens(pinned):
    envelope = base64.b64decode(pinned["envelope_0_to_1"])
    assert share_hash(envelope) == pinned["share_0_to_1"]


if __name__ == "__main__":
    content, envelope = make()
    content["envelope_0_to_1"] = base64.b64encode(envelope).decode()
    FILE.write_text(json.dumps(content, indent=1) + "\n")
