"""Each condition of SECURITY.md, lifted on purpose: what is read then, and who refuses it.

A test is named after its row; `test_conditions_table` holds the two together.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tenseal as ts
import tenseal.sealapi as seal
import zstandard
from encryption_support import (
    certified_set,
    dealt_to,
    deterministic,
    key_pairs,
    openings_of,
    public_keys,
    round_context,
    seal_all,
    sum_without_memory,
)
from flwr_swarm_attacks.key_recovery import (
    CkksParameters,
    chunk_of,
    open_with,
    recover_ckks_key,
    slots,
)
from flwr_swarm_attacks.ntt import ring as polynomials_over
from hypothesis import given, settings
from hypothesis import strategies as st
from test_shifted_openings import opened as opened_with_a_shift

import flwr_swarm
from flwr_swarm._exceptions import (
    ConfigurationError,
    KeyReused,
    OpeningRejected,
    OpeningReused,
    UpdateMismatch,
    WireError,
)
from flwr_swarm.encryption import (
    Codec,
    Holder,
    RingParameters,
    ThresholdScheme,
    VolatileMemory,
    modular,
    ring,
)
from flwr_swarm.encryption.cipher import decrypt, encrypt
from flwr_swarm.encryption.key import OneTimeKey
from flwr_swarm.encryption.opening import recover_key
from flwr_swarm.encryption.packing import unpack, without_filling
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE, ETA, MODULUS
from flwr_swarm.encryption.randomness import Coins, Stream
from flwr_swarm.encryption.ring import common_polynomial, seal_context
from flwr_swarm.encryption.scaling import scale_down
from flwr_swarm.encryption.wire import read_ciphertext
from flwr_swarm.protocol.merge import _matching
from flwr_swarm.protocol.messages import MergeRequest, Place
from flwr_swarm.protocol.payload import encode_layout, payload_hash
from flwr_swarm.protocol.quorum import check_protects, smallest_threshold
from flwr_swarm.protocol.terms import Terms
from flwr_swarm.protocol.types import Phase, Policy, Round, Seal

SCHEME = ThresholdScheme()
HOLDERS, THRESHOLD, LANES = 4, 3, 50
TERMS = Terms(encryption="threshold", members=HOLDERS)
FEW = settings(max_examples=10, deadline=None)


def updates(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 1 << 20, LANES, dtype=np.uint32) for _ in range(HOLDERS)]


def sealed_updates(lanes: list[np.ndarray], seed: int) -> list:
    return seal_all(SCHEME, lanes, holders=HOLDERS, threshold=THRESHOLD, seed=seed)


def opened_over(sealed: list, members: tuple[int, ...], holders: tuple[int, ...]) -> dict:
    """Openings over `members`, as the holders' code makes them when nobody stops it."""
    return {
        holder: sum_without_memory(
            {member: dealt_to(sealed[member], holder) for member in members},
            context=round_context(),
            receiver=holder,
            private_keys=[key_pairs(HOLDERS)[holder][0]],
        )
        for holder in holders
    }


def key_of(openings: dict, included: int) -> np.ndarray:
    return recover_key(
        openings,
        context=round_context(),
        threshold=THRESHOLD,
        included=included,
        parameters=DEFAULT,
    )


def read_with(payload: bytes, secret: np.ndarray) -> np.ndarray:
    seed = round_context().common_seed()
    ciphertext = read_ciphertext(payload, DEFAULT)
    return decrypt(ciphertext, secret=secret, seed=seed, parameters=DEFAULT)


def encrypted(lanes: np.ndarray, secret: np.ndarray, stream: Stream) -> bytes:
    seed = round_context().common_seed()
    return encrypt(lanes, secret=secret, seed=seed, stream=stream, parameters=DEFAULT)


@FEW
@given(st.integers(0, 1000))
def test_a_key_seals_once(seed: int) -> None:
    """Two ciphertexts under one key show the difference of two updates."""
    low = updates(seed)[0]
    high = low + np.arange(LANES, dtype=np.uint32)
    key = OneTimeKey(random=deterministic(seed))
    with key.spend() as secret:
        first, second = (
            read_ciphertext(
                encrypted(lanes, secret, Stream(random=deterministic(f"{seed}/{lanes.sum()}"))),
                DEFAULT,
            )
            for lanes in (low, high)
        )
    seen = scale_down(
        modular.subtract(second.residues, first.residues), included=2, parameters=DEFAULT
    )
    sums = np.empty(DEFAULT.lanes * seen.size, dtype=np.uint64)
    unpack(seen, DEFAULT, out=sums)
    assert np.array_equal(without_filling(sums, LANES), np.arange(LANES))
    with pytest.raises(KeyReused), key.spend():
        pass


@FEW
@given(st.integers(0, 1000))
def test_one_set_a_round_is_opened(seed: int) -> None:
    """The difference of two openings is one member's key."""
    lanes = updates(seed)
    sealed = sealed_updates(lanes, seed)
    holders = (0, 1, 3)
    larger = key_of(opened_over(sealed, (0, 1, 2, 3), holders), 4)
    smaller = key_of(opened_over(sealed, (0, 1, 3), holders), 3)
    victim = modular.subtract(larger, smaller)
    assert np.array_equal(read_with(sealed[2].payload, victim), lanes[2])
    # One opening alone reads no single ciphertext.
    with pytest.raises(OpeningRejected):
        read_with(sealed[2].payload, larger)
    # A holder makes the one and not the other, in whatever order it is asked.
    sets = [(0, 1, 2, 3), (0, 1, 3)]
    for first, second in (sets, sets[::-1]):
        holder = Holder(index=0, private_keys=[key_pairs(HOLDERS)[0][0]], memory=VolatileMemory())

        def ask(members: tuple[int, ...], holder: Holder = holder) -> bytes:
            dealt = {i: dealt_to(sealed[i], 0) for i in members}
            return holder.open(dealt, certified=certified_set(members), context=round_context())

        assert ask(first) == ask(first)
        with pytest.raises(OpeningReused):
            ask(second)


@FEW
@given(st.integers(0, 1000), st.integers(1, 2))
def test_two_honest_members_in_the_set(seed: int, too_few: int) -> None:
    """The others subtract themselves from the sum, and what is left is one update."""
    lanes = updates(seed)[:3]
    sealed = sealed_updates(lanes, seed)
    total = SCHEME.open(
        SCHEME.merge([one.payload for one in sealed]),
        openings_of(SCHEME, sealed, holders=HOLDERS, who=(0, 1, 2)),
        context=round_context(),
        threshold=THRESHOLD,
        included=3,
    )
    assert np.array_equal(total - lanes[1] - lanes[2], lanes[0])
    # Nobody opens a sum of fewer than three, and no member takes a policy that would.
    with pytest.raises(ConfigurationError, match="3 to 256 members"):
        certified_set(range(too_few))
    policy = Policy(threshold=3, min_included=too_few, witnesses=2, close_at=4)
    with pytest.raises(ConfigurationError, match="min_included"):
        check_protects(policy, 4)


@FEW
@given(st.integers(0, 1000), st.permutations(range(HOLDERS)), st.integers(3, 64))
def test_fewer_than_t_colluding_holders(seed: int, order: list[int], members: int) -> None:
    """As many as t open any ciphertext."""
    lanes = updates(seed)
    sealed = sealed_updates(lanes, seed)
    colluders = tuple(order[:THRESHOLD])
    key = key_of(opened_over(sealed, (0,), colluders), 1)
    assert np.array_equal(read_with(sealed[0].payload, key), lanes[0])
    with pytest.raises(OpeningRejected):
        key_of(opened_over(sealed, (0,), colluders[:-1]), 1)
    # A threshold that two sets of openers could meet without a common honest one is refused.
    policy = Policy(
        threshold=smallest_threshold(members) - 1, min_included=3, witnesses=1, close_at=members
    )
    with pytest.raises(ConfigurationError, match="threshold"):
        check_protects(policy, members)
    # So is one that a single holder meets.
    with pytest.raises(ConfigurationError, match="threshold"):
        SCHEME.seal(
            lanes[0], context=round_context(), sender=0, holders=public_keys(4), threshold=1
        )
    with pytest.raises(ConfigurationError, match="threshold"):
        SCHEME.open(
            SCHEME.merge([sealed[0].payload]),
            opened_over(sealed, (0,), (0,)),
            context=round_context(),
            threshold=1,
            included=1,
        )


class Silent(Stream):
    """Errors that are not there."""

    def coins(self, count: int) -> Coins:
        """So many coins turned up that every error is zero."""
        words = np.full(count, (1 << ETA) - 1, dtype=np.uint64)
        return Coins(words=words, spare=np.zeros(count, dtype=np.uint32))


def key_behind_the_filling(payload: bytes) -> np.ndarray:
    """The key, if the last polynomial of a short update, which holds zeros, is a*s and no more."""
    field = polynomials_over(DEGREE, MODULUS)
    residues = read_ciphertext(payload, DEFAULT).residues[1]
    common = common_polynomial(round_context().common_seed(), 1).astype(object)
    solved = field.values(residues.astype(object)) * field.inverse(common[field.seal_order])
    key = np.empty(DEGREE, dtype=np.uint64)
    key[field.seal_order] = (solved % MODULUS).astype(np.uint64)
    return key


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 1000))
def test_every_ciphertext_has_secret_errors(seed: int) -> None:
    """Without them, what is known of an update, such as what fills it up, gives the key."""
    lanes = updates(seed)[0]
    with OneTimeKey(random=deterministic(seed)).spend() as secret:
        bare = encrypted(lanes, secret, Silent(random=os.urandom))
        found = key_behind_the_filling(bare)
        assert np.array_equal(found, secret)
        assert np.array_equal(read_with(bare, found), lanes)
        sealed = encrypted(lanes, secret, Stream(random=os.urandom))
        with pytest.raises(OpeningRejected):
            read_with(sealed, key_behind_the_filling(sealed))
    # Nothing that a caller can set turns them off.
    settable = {*inspect.signature(RingParameters).parameters}
    settable |= {*inspect.signature(ThresholdScheme.seal).parameters}
    assert not [name for name in settable if re.search("err|eta|noise|stream|seed", name)]


def test_integers_not_floats_are_opened() -> None:
    """CKKS opens floats with its errors in them: two sums give the key of all that follows."""
    settings = CkksParameters()
    context = ts.context(
        ts.SCHEME_TYPE.CKKS,
        poly_modulus_degree=settings.degree,
        coeff_mod_bit_sizes=list(settings.bits),
    )
    context.global_scale = settings.scale
    rng = np.random.default_rng(1)
    sums = [ts.ckks_vector(context, rng.normal(size=settings.degree // 2)) for _ in range(2)]
    key = recover_ckks_key(*(chunk_of(one, one.decrypt()) for one in sums), settings)
    assert key is not None
    private = rng.normal(size=settings.degree // 2)
    upload = ts.ckks_vector(context, private)
    read = slots(open_with(key, upload.ciphertext()[0], settings), settings)
    assert np.abs(read - private).max() < 1e-6
    # Here nothing but integers goes in, and their exact sum comes out: no error is in it.
    for floats in (private, private.astype(np.float32), private.astype(np.int64)):
        with pytest.raises(UpdateMismatch, match="uint32"):
            SCHEME.seal(
                floats, context=round_context(), sender=0, holders=public_keys(3), threshold=2
            )
    codec = Codec(members=3)
    lanes = [codec.encode(rng.normal(size=20), weight=3.0) for _ in range(3)]
    sealed = sealed_updates(lanes, 1)
    opened = SCHEME.open(
        SCHEME.merge([one.payload for one in sealed]),
        openings_of(SCHEME, sealed, holders=HOLDERS, who=(0, 1, 2)),
        context=round_context(),
        threshold=THRESHOLD,
        included=3,
    )
    assert opened.dtype == np.uint32
    assert np.array_equal(opened, np.sum(lanes, axis=0, dtype=np.uint64))


@FEW
@given(st.integers(0, 1000), st.integers(0, HOLDERS - 1))
def test_all_members_of_a_sum_were_asked_alike(seed: int, victim: int) -> None:
    """Told to stand still, the others' updates are nothing and the sum is the victim's."""
    lanes = [one if i == victim else np.zeros_like(one) for i, one in enumerate(updates(seed))]
    sealed = sealed_updates(lanes, seed)
    total = SCHEME.open(
        SCHEME.merge([one.payload for one in sealed]),
        openings_of(SCHEME, sealed, holders=HOLDERS, who=(0, 1, 2)),
        context=round_context(),
        threshold=THRESHOLD,
        included=HOLDERS,
    )
    assert np.array_equal(total, lanes[victim])
    # What a member was asked is in what it seals, so an officer adds up the others only.
    layouts = [encode_layout((), bytes([i == victim]) * 32) for i in range(HOLDERS)]
    sent = {i: (layouts[i], sealed[i].payload) for i in range(HOLDERS)}
    seals = tuple(
        Seal(
            member=i,
            parent=bytes(32),
            payload_hash=payload_hash(TERMS, *sent[i], i),
            shares_hash=bytes(32),
            epsilon=0,
            verified=True,
        )
        for i in range(HOLDERS)
    )
    group = _matching(
        MergeRequest(
            place=Place(chain_id=1, contract="", chain_url="", terms={}),
            round=1,
            view=0,
            updates=sent,
        ),
        Round(number=1, phase=Phase.MERGING, seals=seals),
        TERMS,
    )
    assert set(group.members) == set(range(HOLDERS)) - {victim}


def test_a_sum_has_two_polynomials_or_more() -> None:
    """With one, a holder that answers falsely moves the sum by what it likes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RingParameters, "chunks", lambda self, lanes: 1)
        true, false = opened_with_a_shift(9, 0, 5, 0)
        assert false[0] == true[0] + 5
        assert np.array_equal(false[1:], true[1:])
    with pytest.raises(OpeningRejected):
        opened_with_a_shift(9, 0, 5, 0)
    assert min(DEFAULT.chunks(lanes) for lanes in range(1, 10)) == 2


def test_bytes_are_parsed_before_seal_sees_any(tmp_path: Path) -> None:
    """SEAL's loader takes one ciphertext in two encodings: its bytes fix nothing."""
    context = seal_context(DEFAULT)
    fresh, file = seal.Ciphertext(context), tmp_path / "object"
    fresh.resize(context, 2)
    fresh.save(str(file))
    packed = file.read_bytes()
    body = zstandard.ZstdDecompressor().decompressobj().decompress(packed[16:])
    plain = packed[:5] + bytes([0]) + packed[6:8] + (16 + len(body)).to_bytes(8, "little") + body
    assert plain != packed
    for encoding in (packed, plain):
        file.write_bytes(encoding)
        seal.Ciphertext().load(context, str(file))
        # Neither is a message here.
        with pytest.raises(WireError):
            SCHEME.merge([encoding])
    # SEAL loads in one module only, which is given arrays and no bytes of anybody.
    root = Path(flwr_swarm.__file__).parent
    loading = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
        if (name or "").startswith("tenseal")
    }
    assert loading == {"encryption/ring.py"}
    given = inspect.signature(ring.Multiplier.__init__).parameters
    assert {name: given[name].annotation for name in given if name != "self"} == {
        "seed": "bytes",
        "factor": "NDArray[np.uint64]",
    }


def test_randomness_is_the_systems() -> None:
    """Who knows what a member's source gave has its key."""
    lanes = updates(1)[0]

    def sealed_from(random: object) -> bytes:
        return SCHEME.seal(
            lanes,
            context=round_context(),
            sender=0,
            holders=public_keys(HOLDERS),
            threshold=THRESHOLD,
            random=random,
        ).payload

    with OneTimeKey(random=deterministic("guessed")).spend() as secret:
        assert np.array_equal(read_with(sealed_from(deterministic("guessed")), secret), lanes)
        with pytest.raises(OpeningRejected):
            read_with(sealed_from(os.urandom), secret)
    # The default; `tests/review/test_secrets_in_code.py` reads that nobody gives another.
    for function in (ThresholdScheme.seal, Codec.encode, Codec.encoding):
        assert inspect.signature(function).parameters["random"].default is os.urandom
