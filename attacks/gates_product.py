"""The gates on flwr-swarm itself: ciphertexts, keys, refusals; and faults that they must find."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from flwr.serverapp.strategy import Strategy

from flwr_swarm import swarm_mod

from . import lying_relay, opened_rounds, sealings
from .gate import ALPHA, GateResult
from .gates_cipher import Residues, fresh_ciphertext_gate, uniform_residues_gate
from .gates_inversion import crafted_model_gate, pictures_gate
from .gates_recovery import ckks_key_gate, key_recovery_gate

Progress = Callable[[str], None]
ONE_KEY: Final = "one key for all members of a round"
NO_ERRORS: Final = "encryption without errors"
NOISY: Final = "noisy messages published, as CKKS does"
NVFLARE: Final = "floats published under CKKS with NVFlare's parameters"
FEDAVG: Final = "plain FedAvg under a relay that lies"
_SITES, _ROWS, _OTHERS, _WIDTH = 4, 16, 256, 64


def product_gates(*, alpha: float = ALPHA, progress: Progress = lambda _: None) -> list[GateResult]:
    """Gates on small rounds and a small swarm of our own, with the product as it is installed.

    `alpha` is of ciphertext uniformity and of recovered pictures; the others hardly ever err.
    """
    progress("encryption")
    sealed = cipher_gates(sealings.by_the_scheme(), alpha=alpha)
    recovery = key_recovery_gate({"a round": opened_rounds.by_the_scheme()})
    progress("a relay that lies to a swarm")
    return [*sealed, recovery, *swarm_gates(alpha=alpha)]


def product_controls(*, progress: Progress = lambda _: None) -> dict[str, tuple[str, ...]]:
    """For each planted fault, and for CKKS and plain FedAvg, the gates that it trips.

    FedAvg is one control for each gate on inversion, since it must trip both.
    """
    found = {}
    for name, gates in FAULTS.items():
        progress(f"control: {name}")
        found[name] = _tripped(gates())
    progress(f"control: {FEDAVG}")
    found |= {f"{FEDAVG}: {gate.gate}": _tripped([gate]) for gate in fedavg_gates()}
    return found


def cipher_gates(sealed: Mapping[str, Residues], *, alpha: float = ALPHA) -> list[GateResult]:
    """Both gates on ciphertexts of one update."""
    return [uniform_residues_gate(sealed, alpha=alpha), fresh_ciphertext_gate(sealed)]


def swarm_gates(*mods: Any, alpha: float = ALPHA) -> list[GateResult]:
    """Both gates on inversion, after a relay lied to a swarm; its mod is `swarm_mod` by default."""
    with tempfile.TemporaryDirectory() as folder:
        return _inversion_gates(
            lambda sites: lying_relay.swarm(sites, Path(folder)),
            *(mods or (swarm_mod,)),
            alpha=alpha,
        )


def fedavg_gates() -> list[GateResult]:
    """The same, after the same lie to plain federated learning."""
    return _inversion_gates(lambda sites: lying_relay.fedavg(len(sites)))


def _inversion_gates(
    strategy_for: Callable[[list[lying_relay.Site]], Strategy],
    *mods: Any,
    alpha: float = ALPHA,
) -> list[GateResult]:
    draw = torch.Generator()
    draw.seed()
    pictures = torch.rand(_SITES * _ROWS + 2 * _OTHERS, _WIDTH, generator=draw)
    examples, others, sample = pictures.split([_SITES * _ROWS, _OTHERS, _OTHERS])
    labels = torch.randint(10, (len(examples),), generator=draw)
    sites = [
        lying_relay.Site(x=x, y=y)
        for x, y in zip(examples.split(_ROWS), labels.split(_ROWS), strict=True)
    ]
    view = lying_relay.lied_to(sites, sample, strategy_for(sites), *mods)
    candidates = torch.cat([lying_relay.robbed(view, site) for site in range(_SITES)])
    return [crafted_model_gate(view), pictures_gate(candidates, examples, others, alpha=alpha)]


def _tripped(gates: list[GateResult]) -> tuple[str, ...]:
    return tuple(gate.gate for gate in gates if gate.tripped)


FAULTS: Final[Mapping[str, Callable[[], list[GateResult]]]] = {
    ONE_KEY: lambda: cipher_gates(sealings.with_one_key()),
    NO_ERRORS: lambda: [key_recovery_gate({"a round": opened_rounds.without_errors()})],
    NOISY: lambda: [key_recovery_gate({"a round": opened_rounds.with_published_errors()})],
    NVFLARE: lambda: [ckks_key_gate(*opened_rounds.of_ckks())],
}
