"""The leakage page's plain words: for people who protect data and do not train models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flwr_swarm_attacks import View

REGIMES: Final[Mapping[str, str]] = {
    "local": "each site alone",
    "central": "all rows in one place",
    "federated": "federated (plain Flower)",
    "swarm": "swarm (encryption)",
}

WHO: Final[Mapping[View, tuple[str, str]]] = {
    View.CHAIN_OBSERVER: (
        "Chain observer",
        "reads the ledger: who took part, hashes, spent privacy budgets",
    ),
    View.OUTSIDER_FINAL_MODEL: ("Outsider", "has the model that was published in the end"),
    View.MEMBER_EVERY_MODEL: (
        "Member",
        "a hospital that takes part: it has every round's common model",
    ),
    View.LEADER_PLAINTEXT_UPDATE: (
        "Leader or server without encryption",
        "reads what each hospital's training made of the model",
    ),
    View.LEADER_ENCRYPTED: (
        "Leader under encryption",
        "has ciphertexts, and the sum over all hospitals",
    ),
    View.COALITION: (
        "Members who collude",
        "one fewer than can open a sum; they subtract their own updates from it",
    ),
    View.MALICIOUS_RELAY: (
        "Leader or relay that cheats",
        "sends a model built to copy training data, and looks at what comes back",
    ),
}

_NOBODY_ELSE: Final = "does not exist: nothing leaves the site before the model is published"
_ONE_PLACE: Final = "does not exist: who holds all rows needs no attack"
_SEEN_BY: Final = {
    "local": dict.fromkeys(View, _NOBODY_ELSE),
    "central": dict.fromkeys(View, _ONE_PLACE),
    "federated": {
        View.CHAIN_OBSERVER: "does not exist: there is no chain",
        View.LEADER_ENCRYPTED: "does not exist: nothing is encrypted",
        View.COALITION: "not attacked: the server alone sees more",
    },
    "swarm": {
        View.LEADER_PLAINTEXT_UPDATE: "does not exist: no single update is ever readable",
    },
}
EMPTY: Final = {
    (regime, view.value): why for regime, found in _SEEN_BY.items() for view, why in found.items()
}
"""Why nobody stands in a cell, by regime and view."""

LEVELS: Final = (
    (0.60, "weak", "l1"),
    (0.75, "clear", "l2"),
    (1.01, "strong", "l3"),
)
GUESSING: Final = ("like guessing", "l0")

HELD: Final[Mapping[str, str]] = {
    "leader_under_encryption_not_above_aggregate_only": "Under encryption the leader finds no more "
    "than whoever has the common models only",
    "ciphertexts_tell_nothing": "Ciphertexts, read as if they were updates, tell nothing",
    "hashes_tell_nothing": "The chain's hashes tell nothing, even to one who knows all other "
    "records",
    "crafted_model_refused": "Every site of the swarm refused the crafted model",
    "attacks_are_strong": "The attacks are as strong as the literature's (on data sets for which "
    "it gives numbers)",
}

READING: Final = (
    "<b>The question</b> of every cell: was this patient's record in the training data? Half of "
    "the records were, half were not, and the attacker has to tell which.",
    "<b>AUC</b>: of one record that was used and one that was not, how often the attack is surer "
    "of the right one. 0.500 is a coin, 1.000 is certainty.",
    "<b>Found at 1 %</b>: the share of used records that the attack names when it may wrongly "
    "accuse one unused record in a hundred. 1 % is a coin. This is what matters to the few "
    "patients who are easy to recognise.",
    "<b>In brackets</b> are 95 % intervals, with all scores of a patient taken together. Each cell "
    "shows the attack that did best of all that this onlooker can run, so it leans upwards.",
    "<b>The attacker is well informed.</b> It knows the training code and has records like the "
    "attacked ones. The model is trained until it overfits, without differential privacy, so that "
    "there is something to find: read the columns against each other, not as forecasts.",
)

ATTACKS: Final[Mapping[str, str]] = {
    "loss threshold": "records that the model fits well (Yeom et al. 2018)",
    "calibrated loss": "the same, less how well models without the record fit it (Watson et al. "
    "2022)",
    "LiRA": "compares with the attacker's own models trained with and without the record (Carlini "
    "et al. 2022); offline: only without",
    "RMIA": "the same as a ratio, against many other records (Zarifzadeh et al. 2024)",
    "trajectory": "all rounds' models instead of the last one",
    "update cosine, gradient difference": "whether training moved the model as the record would "
    "pull it (Li et al. 2023)",
    "FedMIA": "one site's update against the other sites' (Zhu et al. 2025)",
    "ratio to other sites": "RMIA's ratio with the other sites' models as references, over rounds",
    "ratio to shadows over rounds": "the same with the attacker's own models from each round's "
    "start",
    "ciphertext as update": "reads sealed numbers as if they were plain",
    "guess and check of hashes": "knows every other record and the code, computes the next model "
    "with and without the record, and looks for its hash on the chain",
    "imprint": "a first layer that copies pictures into the update (Fowl et al. 2022)",
}


def level(auc: Mapping[str, float]) -> tuple[str, str]:
    """How much an attack finds, as a word and a class of the style sheet."""
    if auc["low"] <= 0.5:
        return GUESSING
    return next((word, name) for below, word, name in LEVELS if auc["value"] < below)
