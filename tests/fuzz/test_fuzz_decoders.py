"""Every decoder of a stranger's bytes ends in a named error, or in what the bytes alone mean.

`python -m tests.fuzz` tries more, from other seeds; these seeds are fixed, so that a change is
found or not found alike on every machine.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from fuzz_bytes import repeatable
from fuzz_decoder import Decoder, Finding
from fuzz_plan import Plan, all_decoders, mutant

COUNT = 10_000
PARTS = 10
SEED = 20_261_126


@pytest.fixture(scope="module")
def decoders() -> tuple[Decoder, ...]:
    return all_decoders()


@pytest.mark.parametrize("part", range(PARTS))
def test_ten_thousand_mutants_meet_named_errors_or_keep_their_meaning(
    decoders: tuple[Decoder, ...], part: int
) -> None:
    """No crash, no hang, no other error, bounded memory, and nothing accepted for what it is not.

    A hang ends in pytest's own limit.
    """
    plan = Plan(seed=SEED, decoders=decoders)
    size = COUNT // PARTS
    for number in range(size * part, size * (part + 1)):
        plan.check(number)


@pytest.mark.parametrize("name", ["ledger's answer", "proposed change"])
def test_each_word_of_an_answer_is_tried_beyond_its_enumeration(
    decoders: tuple[Decoder, ...], name: str
) -> None:
    (decoder,) = [one for one in decoders if one.name == name]
    (message, *_) = decoder.corpus
    for at in range(0, len(message), 32):
        for value in (5, 6, 255):
            decoder.check(message[:at] + value.to_bytes(32, "big") + message[at + 32 :])


def test_every_decoder_is_tried_often_and_in_its_own_form(decoders: tuple[Decoder, ...]) -> None:
    tried = Counter(Plan(seed=SEED, decoders=decoders).drawn(n).name for n in range(COUNT))
    assert set(tried) == {decoder.name for decoder in decoders}
    assert min(tried.values()) >= 40
    for decoder in decoders:
        for seed in range(5):  # on valid messages no mutation gives up
            random = repeatable(seed)
            decoder.mutate(random, random.choice(decoder.corpus), decoder.corpus)


def test_the_same_number_is_the_same_input(decoders: tuple[Decoder, ...]) -> None:
    for number in range(20):
        first, second = (Plan(seed=3, decoders=decoders).case(number) for _ in range(2))
        assert first == second


def test_a_finding_says_how_to_try_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    broken = Decoder(name="broken", read=bytes.decode, corpus=(b"\xff\xff",), mutate=_same)
    with pytest.raises(Finding, match=r"UnicodeDecodeError.*seed 5, number 7.*--decoder 'broken'"):
        Plan(seed=5, decoders=[broken]).check(7)


def test_memory_beyond_the_bound_is_a_finding() -> None:
    greedy = Decoder(
        name="greedy", read=lambda data: bytes(1 << 20), corpus=(b"x",), mutate=_same, constant=1000
    )
    with pytest.raises(Finding, match="memory"):
        greedy.check(b"x")


def test_the_table_of_decoders_names_all_and_their_bounds(decoders: tuple[Decoder, ...]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in text.splitlines() if row.startswith("| `")]
    told = {name: row for row in rows for name in re.findall("`([^`]+)`", row[0])}
    assert set(told) == {decoder.name for decoder in decoders}
    for decoder in decoders:
        bound = re.search(r"(\d+)n \+ (\d+) (KiB|MiB)", told[decoder.name][3])
        assert bound is not None
        assert decoder.per_byte <= int(bound[1])
        assert decoder.constant <= int(bound[2]) << {"KiB": 10, "MiB": 20}[bound[3]]


def _same(random: Random, message: bytes, others: object) -> bytes:
    return message


def test_mutants_are_not_all_refused_at_the_door(decoders: tuple[Decoder, ...]) -> None:
    """A form that is known gets behind the checksum: many framed mutants are in their kind."""
    framed = [decoder for decoder in decoders if decoder.name in {"ciphertext", "opening", "proof"}]
    for decoder in framed:
        made = [mutant(decoder, repeatable(seed)) for seed in range(100)]
        reasons = Counter(_reason(decoder, data) for data in made)
        assert reasons["accepted"] >= 5, decoder.name
        assert sum(v for k, v in reasons.items() if k not in {"accepted", "checksum"}) >= 20


def _reason(decoder: Decoder, data: bytes) -> str:
    try:
        decoder.read(data)
    except decoder.refusals as error:
        return "checksum" if "checksum" in str(error) else "refused"
    return "accepted"
