"""The ways in which a faulty member departs from the protocol, by what it answers."""

from __future__ import annotations

SEALS = (
    "inconsistent shares",
    "a copied ciphertext",
    "an amplified ciphertext",
    "a stale ciphertext",
    "overfull lanes",
    "a hash of nothing",
    "another payload than sealed",
    "an odd layout",
    "a false witness",
    "another model",
    "the model before",
)
MERGES = ("a wrong sum", "two sums", "a smaller sum", "a bad signature", "garbage for a sum")
OPENS = (
    "garbage",
    "random shares",
    "another set",
    "another's opening",
    "a shifted key",
    "a false complaint",
)
RECALLS = ("silent", "honest", "another model", "altered", "another layout")
SILENT, HONEST = "silent", "honest"
