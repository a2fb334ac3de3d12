"""The report's standing sentences: who could see what, and what is not protected."""

from __future__ import annotations

from typing import Final

PROTECTED: Final = (
    (
        "Relay (the server)",
        "who takes part and when, encrypted updates, and each round’s merged result",
        "any single update: it holds no key",
    ),
    (
        "Leader of a round",
        "encrypted updates and, like every member, the merged result",
        "any single update: a leader is a member like the others, and nobody holds a key to one",
    ),
    (
        "Any other site",
        "the model of every round, which it needs in order to train",
        "another site’s patients or update; too few colluding sites to open a sum learn only sums "
        "over the others",
    ),
    (
        "Reader of the chain",
        "hashes, signatures, elections, and the privacy loss that each site reports, from which "
        "about how many patients it has",
        "models, updates and data: none of them is on the chain",
    ),
    (
        "Whoever gets the final model",
        "the model, and all that can be inferred from it",
        "much about any one patient: differential privacy bounds it, and the attacks below "
        "measure it",
    ),
)
"""Who, what they could see, what they could not."""

LIMITS: Final = (
    "The encryption scheme is the project’s own construction and <b>has not been reviewed</b> by "
    "independent cryptographers. SECURITY.md gives the argument and its conditions.",
    "A site can lie about its own data. The committee proves that the sum is right, not that what "
    "went into it is true.",
    "Privacy loss (ε) counts one record. A patient who was treated at two sites counts twice.",
    "The training loss that sites report is outside ε. It travels encrypted, and only its mean "
    "over sites is opened.",
    "Attacks are lower bounds: that these found little does not prove that none could find more. "
    "ε is the upper bound.",
    "In this demonstration all sites and the chain ran on one computer, which could see "
    "everything. In use, each site runs its own.",
)
"""What a reader must not conclude. HTML."""

MODELS: Final = {
    "pooled": "All patients in one place, unprotected",
    "federated": "Federated, plain Flower, unprotected",
    "swarm": "Swarm: encrypted, differentially private",
    "swarm_without_dp": "Swarm: encrypted, no differential privacy",
    "plaintext": "A single site’s update, encryption and privacy off",
}

VIEWS: Final = {
    "outsider: final model": "attacked by anyone who has the final model",
    "leader, encryption=none: single update": (
        "attacked by a leader who reads updates. With encryption on, no one is in this position"
    ),
}
