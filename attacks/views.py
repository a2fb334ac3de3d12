"""Who looks: the named vantage points from which a swarm can be attacked."""

from __future__ import annotations

from enum import Enum


class View(Enum):
    """What an attacker sees; the value is the name in reports and in CI.

    OUTSIDER_FINAL_MODEL
        The model that is published when training ends, and the code that trained it.
    MEMBER_EVERY_MODEL
        Every round's global model: what each site receives in order to train.
    LEADER_PLAINTEXT_UPDATE
        A leader with `encryption="none"`: the global model of a round and one site's own update
        to it, so that site's model in the clear.
    LEADER_ENCRYPTED
        A leader of an encrypted round: ciphertexts, which reveal nothing, and the certified sum,
        which is to say the next global model. Attack that model under this name.
    """

    OUTSIDER_FINAL_MODEL = "outsider: final model"
    MEMBER_EVERY_MODEL = "member: every global model"
    LEADER_PLAINTEXT_UPDATE = "leader, encryption=none: single update"
    LEADER_ENCRYPTED = "leader, encryption=threshold: ciphertexts and sum"
