"""The printed margins, each recomputed on another path; the estimate against the standard."""

from __future__ import annotations

import json
import math
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import tenseal.sealapi as seal
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import margins
from benchmarks import margins_exact as exact
from benchmarks.margins_lattice import CLASSICAL, QUANTUM, Lwe, Model, dual, log2_delta, primal
from benchmarks.margins_standard import DEGREES, LEVELS, SIGMA, largest_modulus, level_of
from flwr_swarm.encryption.parameters import DEFAULT, DEGREE, MODULUS, RingParameters

FOUND = margins.margins()
ROWS = [(n, level, who) for n in DEGREES for level in LEVELS for who in ("classical", "quantum")]


# --- the standard's table -------------------------------------------------------------------------


@pytest.mark.parametrize("degree", DEGREES)
def test_the_ternary_rows_are_those_of_seal(degree: int) -> None:
    names = seal.SEC_LEVEL_TYPE
    for level, name in zip(LEVELS, (names.TC128, names.TC192, names.TC256), strict=True):
        ours = largest_modulus(degree, level, secret="ternary", attacker="classical")
        assert ours == seal.CoeffModulus.MaxBitCount(degree, name)


@pytest.mark.parametrize(("degree", "level", "attacker"), ROWS)
def test_the_table_falls_as_it_must(degree: int, level: int, attacker: str) -> None:
    for secret in ("uniform", "error", "ternary"):
        here = largest_modulus(degree, level, secret=secret, attacker=attacker)
        for higher in LEVELS[LEVELS.index(level) + 1 :]:
            assert here > largest_modulus(degree, higher, secret=secret, attacker=attacker)
        assert here <= largest_modulus(degree, level, secret=secret, attacker="classical")
        # The standard's own largest ring is one bit off from this.
        uniform = largest_modulus(degree, level, secret="uniform", attacker=attacker)
        assert here <= uniform + 3 * (degree == DEGREES[-1])


@pytest.mark.parametrize(("degree", "level", "attacker"), ROWS)
def test_our_estimate_reproduces_the_standard(degree: int, level: int, attacker: str) -> None:
    """At the largest log2 q the level is reached, at two bits more it is missed."""
    model = CLASSICAL if attacker == "classical" else QUANTUM
    row = largest_modulus(degree, level, secret="uniform", attacker=attacker)
    here, beyond = (
        primal(Lwe(n=degree, log2_q=q, sigma=SIGMA), model).cost for q in (row, row + 2)
    )
    assert here > level - 1.5
    assert beyond < level + 1.5
    # The other attack costs about as much.
    assert abs(dual(Lwe(n=degree, log2_q=row, sigma=SIGMA), model).cost - here) < 3


def test_the_class_of_our_ring() -> None:
    assert MODULUS < 2**60
    assert FOUND["class"] == {
        "uniform secret, classical": 256,
        "uniform secret, quantum": 192,
        "ternary secret, classical": 192,
        "ternary secret, quantum": 192,
    }
    assert level_of(DEGREE, 2**60 + 1, secret="uniform", attacker="classical") == 192
    assert level_of(DEGREE, 2**112, secret="uniform", attacker="classical") == 0
    # The table's errors are no wider than what a published sum leaves of ours.
    assert FOUND["sigma"]["given the sum of 2"] > FOUND["sigma"]["standard"]


# --- the estimate ---------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1024, 2048, 4096]), st.floats(15.0, 27.0), st.floats(3.0, 20.0))
def test_a_larger_modulus_is_weaker_and_wider_errors_are_stronger(
    n: int, share: float, sigma: float
) -> None:
    log2_q = share * n / 1024
    for attack in (primal, dual):
        here = attack(Lwe(n=n, log2_q=log2_q, sigma=sigma), CLASSICAL).cost
        assert attack(Lwe(n=n, log2_q=log2_q + 1, sigma=sigma), CLASSICAL).cost <= here + 1e-6
        assert attack(Lwe(n=n, log2_q=log2_q, sigma=2 * sigma), CLASSICAL).cost >= here - 1e-6


@pytest.mark.parametrize("block", [60, 200, 800])
def test_the_hermite_factor_is_chens(block: int) -> None:
    volume = (math.pi * block) ** (1 / block) * block / (2 * math.pi * math.e)
    factor = 2 ** log2_delta(block)
    assert factor ** (2 * (block - 1)) == pytest.approx(volume, rel=1e-9)


@pytest.mark.parametrize("log2_q", [16, 29])
def test_no_block_size_or_dimension_is_cheaper(log2_q: int) -> None:
    """All of them, for a small ring."""
    lwe, oracle = Lwe(n=1024, log2_q=log2_q, sigma=SIGMA), Model(slope=1.0, offset=0.0, tours=False)
    best = primal(lwe, oracle).block

    def works(block: int) -> bool:
        delta = ((math.pi * block) ** (1 / block) * block / (2 * math.pi * math.e)) ** (
            1 / (2 * (block - 1))
        )
        left = math.log2(math.sqrt(block) * lwe.sigma)
        return any(
            left <= (2 * block - d) * math.log2(delta) + log2_q * (d - lwe.n - 1) / d
            for d in range(max(lwe.n + 2, block), 4 * lwe.n, 7)
        )

    assert not works(best - 2)
    assert works(best + 2)
    cheapest = dual(lwe, CLASSICAL)
    for block in range(cheapest.block - 40, cheapest.block + 40):
        for d in range(1100, 4000, 25):
            delta = ((math.pi * block) ** (1 / block) * block / (2 * math.pi * math.e)) ** (
                1 / (2 * (block - 1))
            )
            log2_tau = d * math.log2(delta) + lwe.n * log2_q / d + math.log2(lwe.sigma) - log2_q
            advantage = 2 - 2 * (math.pi * 2 ** min(log2_tau, 20)) ** 2 / math.log(2)
            repeats = max(0.0, -2 * advantage - 0.2075 * block)
            assert 0.292 * block + 16.4 + math.log2(8 * d) + repeats > cheapest.cost - 0.2


# --- probabilities --------------------------------------------------------------------------------


def convolved(members: int) -> list[Fraction]:
    """The distribution of a sum of errors from -42n to 42n, member by member."""
    one = [Fraction(math.comb(84, k), 2**84) for k in range(85)]
    total = [Fraction(1)]
    for _ in range(members):
        longer = [Fraction(0)] * (len(total) + 84)
        for i, p in enumerate(total):
            for j, q in enumerate(one):
                longer[i + j] += p * q
        total = longer
    return total


@pytest.mark.parametrize("members", [1, 2, 3])
def test_tails_are_those_of_the_convolution(members: int) -> None:
    distribution = convolved(members)
    assert sum(distribution) == 1
    for beyond in (0, 1, 20, 41, 42, 60, 42 * members - 1, 42 * members, 200):
        expected = sum(
            (p for k, p in enumerate(distribution) if abs(k - 42 * members) > beyond), Fraction(0)
        )
        assert exact.tail(members, beyond) == expected
    assert exact.tail(members, -1) == 1


@pytest.mark.parametrize("members", [1, 2, 16, 64, 256])
def test_an_honest_sum_is_refused_less_than_the_bound_says(members: int) -> None:
    assert exact.refused(DEFAULT, members) <= Fraction(1, 2**128)
    assert exact.misread(DEFAULT, members) <= exact.refused(DEFAULT, members)


def test_given_the_sum_an_error_varies_as_the_pairs_say() -> None:
    for total in (-84, -50, 0, 3, 80):
        pairs = [(e, total - e) for e in range(-42, 43) if abs(total - e) <= 42]
        weights = [math.comb(84, a + 42) * math.comb(84, b + 42) for a, b in pairs]
        mean = Fraction(sum(w * a for w, (a, _) in zip(weights, pairs, strict=True)), sum(weights))
        second = Fraction(
            sum(w * a * a for w, (a, _) in zip(weights, pairs, strict=True)), sum(weights)
        )
        assert exact.conditional_variance(total) == second - mean**2


@pytest.mark.parametrize("honest", range(2, 9))
def test_on_average_it_keeps_its_share(honest: int) -> None:
    assert exact.mean_conditional_variance(honest) == 21 - Fraction(21, honest)


def test_the_worst_coefficient_is_the_first_that_is_rare_enough() -> None:
    coefficients = 10**8
    worst = exact.extreme_sum(coefficients, -40)
    assert coefficients * exact.tail(2, worst) <= Fraction(1, 2**40)
    assert coefficients * exact.tail(2, worst - 1) > Fraction(1, 2**40)


@pytest.mark.parametrize("name", margins.LAYOUTS)
def test_each_layouts_lines(name: str) -> None:
    lanes, bits, members = margins.LAYOUTS[name]
    ring = RingParameters(plain_modulus=2 ** (lanes * bits), lane_bits=bits, lanes=lanes)
    told = FOUND["layouts"][name]
    chunks = -(-(10**8) // (4096 * lanes))
    assert told["ciphertexts under one key at 1e8 parameters"] == chunks
    assert told["noise bound"] == ring.noise_bound(members) < told["q/2t"]
    # All windows around t messages, none of which overlap, in a ring of q residues.
    windows = Fraction(ring.plain_modulus * (2 * ring.noise_bound(members) + 1), MODULUS)
    assert told["log2 P(wrong key passes)"] == pytest.approx(8192 * exact.log2(windows), abs=0.01)
    assert told["log2 P(wrong key passes)"] < -7000
    coins, beyond = 84 * members, ring.noise_bound(members) - members // 2 - 2
    largest = math.lgamma(coins + 1) - coins * math.log(2)
    far = math.fsum(
        math.exp(largest - math.lgamma(k + 1) - math.lgamma(coins - k + 1))
        for k in range(42 * members - beyond)
    )
    refused = math.log2(2 * far * chunks * 4096)
    assert told["log2 P(honest sum refused)"] == pytest.approx(refused, abs=1e-6)
    assert told["log2 P(honest sum refused)"] < -100
    assert told["log2 P(sum misread)"] < -400


def test_linearisation_lacks_equations() -> None:
    told = FOUND["linearisation"]
    product = sum(math.log2((4096 + k) / k) for k in range(1, 86))
    assert told["log2 equations needed"] == pytest.approx(product)
    assert told["log2 equations needed for those"] > 200
    assert told["log2 samples"] < 27


def test_the_proofs_lines() -> None:
    told = FOUND["log2 probability"]
    assert told["dealing that is on no polynomial, one try"] == pytest.approx(
        -4 * math.log2(MODULUS)
    )
    assert told["dealing that is on no polynomial, 2^80 tries"] < -159
    assert told["complaint about an honest dealer, one try"] < -251.9
    assert told["two of 2^32 rounds with one common seed"] == -193
    assert max(told.values()) < -75


def test_the_command_prints_and_writes_what_it_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["margins", "--json", str(tmp_path / "found.json")])
    margins.main()
    printed = capsys.readouterr().out
    for word in ("log2 q = 60.000", "256-bit", "sigma, given the sum of 2: 3.240", "quantum"):
        assert word in printed
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(json.dumps(FOUND))


def exponent(value: float) -> str:
    """A power of two as SECURITY.md writes it, cut off towards zero."""
    return "2" + str(math.trunc(value)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def test_security_says_what_is_computed() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    (line,) = (part for part in text.split("**") if "`python -m benchmarks.margins`" in part)
    costs = FOUND["log2 cost"]["given the sum of 2"]
    narrow = FOUND["log2 cost"]["given the sum of 2, worst coefficient"]
    largest = FOUND["layouts"].values()

    def least(name: str, costs: dict[str, float] = costs) -> float:
        return min(cost for attack, cost in costs.items() if attack.split(", ", 1)[1] == name)

    for said in (
        f"{exponent(least('classical'))} classical operations",
        f"core-SVP {exponent(least('core-SVP'))}, quantum {exponent(least('core-SVP, quantum'))}",
        f"{exponent(least('classical', narrow))} if every error",
        f"{exponent(FOUND['linearisation']['log2 equations needed'])} equations",
        f"gives {exponent(math.ceil(FOUND['linearisation']['log2 samples']))};",
        f"below {exponent(max(one['log2 P(honest sum refused)'] for one in largest))} and",
        f"misread below {exponent(max(one['log2 P(sum misread)'] for one in largest))};",
        f"passes with {exponent(max(one['log2 P(wrong key passes)'] for one in largest))}.",
        f"down to {FOUND['sigma']['given the sum of 2, worst coefficient']:.2f} for",
    ):
        assert said in line, said
