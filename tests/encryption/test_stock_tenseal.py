"""The cross-check: stock TenSEAL and SEAL read, add and decrypt our ciphertexts exactly."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
import tenseal as ts
import tenseal.sealapi as seal
import zstandard
from encryption_support import Q, openings_of, round_context, seal_all

from flwr_swarm.encryption import RingParameters, ThresholdScheme, ring
from flwr_swarm.encryption.opening import recover_key
from flwr_swarm.encryption.packing import pack
from flwr_swarm.encryption.parameters import DEFAULT, KEYS
from flwr_swarm.encryption.randomness import uniform
from flwr_swarm.encryption.wire import read_ciphertext

N = 4096
T = 1032193  # prime, 1 mod 8192: stock BFV vectors batch with it
PRIME = RingParameters(plain_modulus=T, lane_bits=9, lanes=2)
MEMBERS, THRESHOLD = 3, 2


def varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[place] & 127) << shift
        shift += 7
        place += 1
        if data[place - 1] < 128:
            return value, place


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """Length-delimited fields of a protobuf message, which is how TenSEAL wraps SEAL objects."""
    place, found = 0, []
    while place < len(data):
        key, place = varint(data, place)
        assert key & 7 == 2
        size, place = varint(data, place)
        found.append((key >> 3, data[place : place + size]))
        place += size
    return found


def unfields(parts: list[tuple[int, bytes]]) -> bytes:
    def encode(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    return b"".join(encode(n << 3 | 2) + encode(len(body)) + body for n, body in parts)


def with_data(saved: bytes, data: bytes) -> bytes:
    """SEAL's own encoding of an object, its data replaced by ours, compr_mode none."""
    magic, size, major, minor, mode, _, total = struct.unpack_from("<HBBBBHQ", saved)
    assert (magic, size, mode, total) == (0xA15E, 16, 2, len(saved))
    body = zstandard.ZstdDecompressor().decompressobj().decompress(saved[16:])
    body = body[: -len(data)] + data
    return struct.pack("<HBBBBHQ", magic, size, major, minor, 0, 0, 16 + len(body)) + body


BATCHED = {
    lanes: RingParameters(plain_modulus=T, lane_bits=bits, lanes=lanes)
    for lanes, bits in ((1, 19), (2, 9), (3, 6), (4, 4))
}
"""As many lanes as the precisions have, in a t that stock vectors can batch with."""


@pytest.fixture(scope="module", params=BATCHED)
def opened(request):
    """Three members' ciphertexts with the prime t, the common a, and the key sum."""
    parameters = BATCHED[request.param]
    scheme = ThresholdScheme(parameters=parameters)
    rng = np.random.default_rng(5)
    top = 2**parameters.lane_bits // MEMBERS
    size = parameters.lanes_per_chunk
    lanes = [rng.integers(0, top, size, dtype=np.uint32) for _ in range(MEMBERS)]
    sealed = seal_all(scheme, lanes, holders=3, threshold=THRESHOLD)
    openings = openings_of(scheme, sealed, holders=3, who=[0, 2])
    key = recover_key(
        openings,
        context=round_context(),
        threshold=THRESHOLD,
        included=MEMBERS,
        parameters=KEYS,
    )
    ours = scheme.open(
        scheme.merge([one.payload for one in sealed]),
        openings,
        context=round_context(),
        threshold=THRESHOLD,
        included=MEMBERS,
    )
    assert np.array_equal(ours, np.sum(lanes, axis=0))
    return (
        parameters,
        lanes,
        [read_ciphertext(one.payload, parameters).residues[0] for one in sealed],
        key,
    )


def minus_common() -> np.ndarray:
    """-a in coefficients: a stock ciphertext (c0, c1) decrypts c0 + c1*s."""
    # 1 is the polynomial 1, whose transform is 1 in every slot.
    with ring.Multiplier(
        seed=round_context().common_seed(), factor=np.ones(N, np.uint64)
    ) as multiplier:
        return (np.uint64(Q) - multiplier.products(0, 1)[0]) % np.uint64(Q)


def second_parts(ciphertexts: list[np.ndarray]) -> list[np.ndarray]:
    """Stock pairs (c0, c1). The sum must decrypt c - a*S, so -a goes into one of them only."""
    zero = np.zeros(N, np.uint64)
    return [
        np.concatenate([one, zero if i else minus_common()]) for i, one in enumerate(ciphertexts)
    ]


def test_stock_tenseal_adds_and_decrypts_our_ciphertexts(opened):
    parameters, lanes, ciphertexts, key = opened
    # The second prime is the one that TenSEAL keeps for key switching; fresh vectors are mod q.
    fresh = ts.context(ts.SCHEME_TYPE.BFV, N, plain_modulus=T, coeff_mod_bit_sizes=[60, 40])
    context = fields(
        fresh.serialize(
            save_public_key=False,
            save_galois_keys=False,
            save_relin_keys=False,
            save_secret_key=True,
        )
    )
    private = fields(context[2][1])
    secret = with_data(private[0][1], key.astype("<u8").tobytes() + bytes(8 * N))
    stock = ts.context_from(unfields([*context[:2], (3, unfields([(1, secret), *private[1:]]))]))

    template = fields(ts.bfv_vector(fresh, [0] * N).serialize())
    vectors = []
    for one in second_parts(ciphertexts):
        data = one.astype("<u8").tobytes()
        saved = with_data(template[1][1], data)
        vectors.append(ts.bfv_vector_from(stock, unfields([template[0], (2, saved)])))

    total = vectors[0] + vectors[1] + vectors[2]
    slots = total.decrypt()

    # Stock vectors hold slots; the batching transform takes ours there.
    sums = np.sum(lanes, axis=0).astype(np.uint32)
    assert slots == batch_decode(pack(sums, parameters)[0])


def batch_decode(coefficients: np.ndarray) -> list[int]:
    """Slots of a plaintext with these coefficients, signed as TenSEAL returns them."""
    text = " + ".join(
        f"{int(c):X}x^{i}" if i else f"{int(c):X}"
        for i, c in reversed(list(enumerate(coefficients)))
        if c
    )
    encoder = seal.BatchEncoder(ring.seal_context(PRIME))
    slots = encoder.decode_int64(seal.Plaintext(text))
    return list(slots)


def layout(lanes: int, bits: int) -> RingParameters:
    return RingParameters(plain_modulus=1 << (lanes * bits), lane_bits=bits, lanes=lanes)


LAYOUTS = {
    "2 lanes of 24 bits": DEFAULT,
    "4 lanes of 12 bits": layout(4, 12),
    "3 lanes of 16 bits": layout(3, 16),
    "1 lane of 32 bits": layout(1, 32),
    "prime t": PRIME,
}


@pytest.mark.parametrize("parameters", LAYOUTS.values(), ids=LAYOUTS)
def test_stock_seal_decrypts_a_sum_of_many(parameters, tmp_path):
    """SEAL's own decryptor, a power of two for t included, which batching cannot use."""
    scheme = ThresholdScheme(parameters=parameters)
    top = (1 << parameters.lane_bits) // 12
    rng = np.random.default_rng(7)
    size = parameters.lanes_per_chunk
    lanes = [rng.integers(0, top, size, dtype=np.uint32) for _ in range(12)]
    sealed = seal_all(scheme, lanes, holders=12, threshold=2)
    key = recover_key(
        openings_of(scheme, sealed, holders=12, who=[4, 11]),
        context=round_context(),
        threshold=2,
        included=12,
        parameters=KEYS,
    )
    context = ring.seal_context(parameters)
    file = str(tmp_path / "object")

    def load(kind, fresh, data):
        fresh.save(file)
        with open(file, "rb") as stream:  # noqa: PTH123
            saved = with_data(stream.read(), data.astype("<u8").tobytes())
        with open(file, "wb") as stream:  # noqa: PTH123
            stream.write(saved)
        kind.load(context, file)
        return kind

    secret = load(seal.SecretKey(), seal.KeyGenerator(context).secret_key(), key)
    total = None
    payloads = [read_ciphertext(one.payload, parameters).residues[0] for one in sealed]
    for data in second_parts(payloads):
        fresh = seal.Ciphertext(context)
        fresh.resize(context, 2)
        cipher = load(seal.Ciphertext(), fresh, data)
        if total is None:
            total = cipher
        else:
            seal.Evaluator(context).add_inplace(total, cipher)
    plain = seal.Plaintext()
    seal.Decryptor(context, secret).decrypt(total, plain)
    expected = pack(np.sum(lanes, axis=0).astype(np.uint32), parameters)[0]
    assert [plain[i] for i in range(N)] == expected.tolist()


def test_seal_and_we_agree_on_what_192_bit_means():
    """q has 60 bits where SEAL's table allows 75; SEAL itself checks this context."""
    assert seal.CoeffModulus.MaxBitCount(N, seal.SEC_LEVEL_TYPE.TC192) >= Q.bit_length()
    assert seal.Modulus(Q).is_prime()
    assert uniform(os.urandom, 10).max() < Q
