"""Encrypted aggregation: quantise, encrypt to nobody, add, and open only the sum."""

from .codec import Codec
from .context import RoundContext
from .dealing import Dealt
from .envelope import generate_encryption_key
from .hashes import aggregate_hash, envelope_hash, payload_hash, proof_hash, shares_hash
from .holder import CertifiedSet, Holder, OpeningMemory, VolatileMemory
from .layers import Layer
from .mean import Mean
from .noise import SharedNoise
from .parameters import RingParameters
from .profile import PRECISIONS, Precision, Profile
from .scheme import Sealed, ThresholdScheme

__all__ = [
    "PRECISIONS",
    "CertifiedSet",
    "Codec",
    "Dealt",
    "Holder",
    "Layer",
    "Mean",
    "OpeningMemory",
    "Precision",
    "Profile",
    "RingParameters",
    "RoundContext",
    "Sealed",
    "SharedNoise",
    "ThresholdScheme",
    "VolatileMemory",
    "aggregate_hash",
    "envelope_hash",
    "generate_encryption_key",
    "payload_hash",
    "proof_hash",
    "shares_hash",
]
