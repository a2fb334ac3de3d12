"""Security margins, computed: modulus, errors, classes, estimates, failures, for each precision.

python -m benchmarks.margins [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, Final

from flwr_swarm.encryption.edwards import ORDER
from flwr_swarm.encryption.parameters import DEGREE, ETA, MODULUS, RingParameters
from flwr_swarm.encryption.wire import MASKS, SEALED_BYTES

from . import margins_exact as exact
from .margins_lattice import CLASSICAL, CORE_CLASSICAL, CORE_QUANTUM, QUANTUM, Lwe, dual, primal
from .margins_standard import SIGMA, level_of

LARGEST_MODEL: Final = 10**8
NEVER: Final = -40.0
"""log2 of the probability with which a statement on the worst coefficient may be wrong."""
ROUNDS: Final = 2**32
"""Of all swarms together, for collisions."""
QUERIES: Final = 2**80
"""Hashes that a cheating dealer computes in search of a challenge that suits it."""

LAYOUTS: Final = {
    "8 bits, to 16 members": (4, 12, 16),
    "8 bits, to 256 members": (3, 16, 256),
    "12 bits, to 16 members": (3, 16, 16),
    "12 bits, to 256 members": (2, 24, 256),
    "16 bits, to 256 members": (2, 24, 256),
    "24 bits, to 256 members": (1, 32, 256),
}
"""Precision to lanes of a coefficient, bits of one, and most members of a sum."""


def ring_of(lanes: int, bits: int) -> RingParameters:
    """The ring's parameters for so many lanes."""
    return RingParameters(plain_modulus=1 << (lanes * bits), lane_bits=bits, lanes=lanes)


def chunks_of(ring: RingParameters) -> int:
    """Ciphertexts under one key, in a model of 1e8 parameters."""
    return ring.chunks(LARGEST_MODEL)


def errors() -> dict[str, float]:
    """Deviations of an error: fresh, and given the sum of several honest members' errors."""
    worst = exact.extreme_sum(DEGREE * chunks_of(ring_of(1, 32)), NEVER)
    found = {"fresh": math.sqrt(ETA / 2), "standard": SIGMA}
    for honest in (2, 3, 4, 8):
        found[f"given the sum of {honest}"] = math.sqrt(exact.mean_conditional_variance(honest))
    found["given the sum of 2, worst coefficient"] = math.sqrt(exact.conditional_variance(worst))
    return found


def classes() -> dict[str, int]:
    """Levels of the standard's table, by the distribution of the secret and by attacker."""
    return {
        f"{secret} secret, {attacker}": level_of(DEGREE, MODULUS, secret=secret, attacker=attacker)
        for secret in ("uniform", "ternary")
        for attacker in ("classical", "quantum")
    }


def estimates() -> dict[str, dict[str, float]]:
    """log2 of the cost of each attack in each model, for each deviation of the errors."""
    models = {
        "classical": CLASSICAL,
        "quantum": QUANTUM,
        "core-SVP": CORE_CLASSICAL,
        "core-SVP, quantum": CORE_QUANTUM,
    }
    found = {}
    for name, sigma in errors().items():
        if name in {"fresh", "given the sum of 2", "given the sum of 2, worst coefficient"}:
            lwe = Lwe(n=DEGREE, log2_q=math.log2(MODULUS), sigma=sigma)
            found[name] = {
                f"{attack.__name__}, {model}": attack(lwe, models[model]).cost
                for attack in (primal, dual)
                for model in models
            }
    return found


def arora_ge() -> dict[str, float]:
    """Linearisation (Arora and Ge 2011): an error of k values is a root of degree k."""
    samples = DEGREE * chunks_of(ring_of(1, 32))
    # Given the sum s of a pair, an error has 85 - |s| values: of large sums, fewer.
    fewest = COUNT_OF_VALUES - exact.extreme_sum(samples, NEVER)
    return {
        "log2 samples": math.log2(samples),
        "values of an error": COUNT_OF_VALUES,
        "log2 equations needed": exact.monomials(DEGREE, COUNT_OF_VALUES),
        "fewest values given the sum of 2": fewest,
        "log2 equations needed for those": exact.monomials(DEGREE, fewest),
    }


COUNT_OF_VALUES: Final = 2 * ETA + 1


def layouts() -> dict[str, dict[str, float]]:
    """What depends on the precision: noise and failures with the most members."""
    found = {}
    for name, (lanes, bits, members) in LAYOUTS.items():
        ring = ring_of(lanes, bits)
        coefficients = math.log2(DEGREE * chunks_of(ring))
        found[name] = {
            "log2 t": math.log2(ring.plain_modulus),
            "noise bound": ring.noise_bound(members),
            "q/2t": ring.half_step,
            "ciphertexts under one key at 1e8 parameters": chunks_of(ring),
            "log2 P(honest sum refused)": coefficients + exact.log2(exact.refused(ring, members)),
            "log2 P(sum misread)": coefficients + exact.log2(exact.misread(ring, members)),
            "log2 P(wrong key passes)": exact.passes(ring, members),
        }
    return found


def proofs() -> dict[str, float]:
    """log2 of what cheats succeed with, and of collisions."""
    blocks = DEGREE * chunks_of(ring_of(1, 32)) * 8 / 16
    challenges = MASKS * math.log2(MODULUS)
    return {
        "dealing that is on no polynomial, one try": -challenges,
        "dealing that is on no polynomial, 2^80 tries": math.log2(QUERIES) - challenges,
        "complaint about an honest dealer, one try": -math.log2(ORDER),
        "forged envelope (Poly1305), one try": math.log2(8 * -(-SEALED_BYTES // 16)) - 106,
        "two of 2^32 rounds with one common seed": 2 * math.log2(ROUNDS) - 257,
        "collision of SHA-256 among 2^80 hashes": 2 * math.log2(QUERIES) - 257,
        "a_k told from random by AES's being a permutation": 2 * math.log2(blocks) - 129,
    }


def margins() -> dict[str, Any]:
    """All of it, as numbers."""
    return {
        "N": DEGREE,
        "q": MODULUS,
        "log2 q": math.log2(MODULUS),
        "sigma": errors(),
        "class": classes(),
        "log2 cost": estimates(),
        "linearisation": arora_ge(),
        "layouts": layouts(),
        "log2 probability": proofs(),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """For people."""
    text = [f"N = {found['N']}, q = {found['q']}, log2 q = {found['log2 q']:.6f}", ""]
    text += [f"sigma, {name}: {value:.3f}" for name, value in found["sigma"].items()]
    text += ["", "Class by the homomorphic-encryption standard (2018), its sigma 3.19:"]
    text += [f"  {name}: {level}-bit" for name, level in found["class"].items()]
    text += ["  (our secrets are uniform; SEAL checks the ternary rows)", ""]
    text += ["Our own estimate, log2 of the operations:"]
    for name, costs in found["log2 cost"].items():
        text += [f"  errors {name}: "]
        text += [f"    {attack}: {cost:.1f}" for attack, cost in costs.items()]
    text += ["", "Arora and Ge's linearisation, in a model of 1e8 parameters:"]
    text += [f"  {name}: {value:.4g}" for name, value in found["linearisation"].items()]
    text += ["  attacks on small or sparse secrets do not apply: keys are uniform", ""]
    for name, values in found["layouts"].items():
        text += [f"{name}:", *(f"  {key}: {value:.8g}" for key, value in values.items())]
    text += ["", "log2 of probabilities:"]
    text += [f"  {name}: {value:.1f}" for name, value in found["log2 probability"].items()]
    text += [
        "",
        "Envelopes are X25519, of about 2^126 classical operations: a quantum computer that",
        "recorded a round's envelopes would open it, whatever the lattice resists.",
    ]
    return text


def main() -> None:
    """Print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = margins()
    print("\n".join(lines(found)))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
