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
    dealt_to,
    deterministic,
    key_pairs,
    openings_of,
    public_keys,
    round_context,
    seal_all,
)

from flwr_swarm.encryption import (
    Codec,
    Dealt,
    ThresholdScheme,
    aggregate_hash,
    hpke,
    payload_hash,
    proof_hash,
    ring,
    shares_hash,
    wire,
)
from flwr_swarm.encryption.complaint import complain
from flwr_swarm.encryption.dealing_wire import read_proof
from flwr_swarm.encryption.dense import pack_residues
from flwr_swarm.encryption.edwards import montgomery_of
from flwr_swarm.encryption.envelope import Channel, open_share
from flwr_swarm.encryption.parameters import DEFAULT

FILE = Path(__file__).parent / "vectors" / "threshold.json"
HOLDERS, THRESHOLD, LANES = 3, 2, 9000
UPDATE = [0.0, 1.0, -1.0, 0.5, -0.25, 3.0e-5, -7.0, 2.5]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def lanes_of(member: int) -> np.ndarray:
    return (np.arange(LANES) * (member + 1) * 7919 % 2**22).astype(np.uint32)


def share_hash(dealt: Dealt) -> str:
    """Of member 0's share to member 1, key and masks."""
    envelope, proof = wire.read_envelope(dealt.envelope, DEFAULT), read_proof(dealt.proof, DEFAULT)
    private, public = key_pairs(HOLDERS)[1]
    ephemeral = montgomery_of(proof.ephemeral)
    channel = Channel(
        context=round_context(), sender=0, receiver=1, public_key=public, ephemeral=ephemeral
    )
    share = open_share(envelope, channel, hpke.shared_secret(private, ephemeral))
    return sha(pack_residues(share))


def make() -> dict[str, object]:
    """A round with a deterministic source of randomness, to the last byte."""
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
        "shares_hashes": [shares_hash(dealt_to(one, 0).hashes, one.proof).hex() for one in sealed],
        "proof_0": base64.b64encode(sealed[0].proof).decode(),
        "proof_hashes": [proof_hash(one.proof).hex() for one in sealed],
        "envelope_0_to_1": base64.b64encode(sealed[0].envelopes[1]).decode(),
        "share_0_to_1": share_hash(dealt_to(sealed[0], 1)),
        "complaint_by_1_about_0": complain(
            dealt_to(sealed[0], 1),
            context=round_context(),
            dealer=0,
            private_key=key_pairs(HOLDERS)[1][0],
            parameters=DEFAULT,
        ).hex(),
    }


@pytest.fixture(scope="module")
def pinned():
    return json.loads(FILE.read_text())


def test_everything_is_as_pinned(pinned):
    assert make() == pinned


def test_the_pinned_envelope_still_opens(pinned):
    envelope, proof = (base64.b64decode(pinned[name]) for name in ("envelope_0_to_1", "proof_0"))
    dealt = Dealt(envelope=envelope, hashes=(), proof=proof)
    assert share_hash(dealt) == pinned["share_0_to_1"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
