"""kill -9: every role, in every trip."""

from __future__ import annotations

from . import acts
from .scenario import TRIPS, WINDOW, Scenario, nothing

_DEAD_CLIENT = 62.0
"""Flower's SuperNode notices after 57 s that its ClientApp is gone."""


_SITE_DIED = r"SuperNode of \w+: ended by signal 9"
_SILENT = r"(no reply from|waiting for|waiting for seals of|goes on without) members \[\d"


def kills() -> list[Scenario]:
    made = []
    for trip in TRIPS:
        who = "d" if trip == "seal" else "ordinary"
        made.append(
            Scenario(
                name=f"supernode-{trip}",
                role="supernode",
                trip=trip,
                fault="kill -9 of an ordinary member's SuperNode",
                group="members",
                act=acts.kill("supernode", who),
                orders=WINDOW[trip],
                after=acts.all_ready,
                names=_SITE_DIED,
            )
        )
    for trip in TRIPS[1:]:
        made.append(
            Scenario(
                name=f"leader-supernode-{trip}",
                role="supernode (leader)",
                trip=trip,
                fault="kill -9 of the leader's SuperNode",
                group="members",
                act=acts.kill("supernode", "leader"),
                orders=WINDOW[trip],
                after=acts.all_ready,
                names=_SITE_DIED,
            )
        )
    for trip in TRIPS:
        who = "d" if trip == "seal" else "ordinary"
        made.append(
            Scenario(
                name=f"clientapp-{trip}",
                role="clientapp",
                trip=trip,
                fault="kill -9 of an ordinary member's ClientApp",
                group="clientapps",
                act=acts.kill("clientapp", who),
                orders=WINDOW[trip],
                after=acts.settle(_DEAD_CLIENT / 2) if trip == "open" else nothing,
                names=_SILENT,
            )
        )
    made.append(
        Scenario(
            name="leader-clientapp-merge",
            role="clientapp (leader)",
            trip="merge",
            fault="kill -9 of the leader's ClientApp",
            group="clientapps",
            act=acts.kill("clientapp", "leader"),
            orders=WINDOW["merge"],
            names=r"leader \d and committee came to no certificate",
        )
    )
    for role, title, names in (
        ("chain", "chain server", "chain: ended by signal 9"),
        ("serverapp", "ServerApp", r"the ServerApp ended .* goes on without it; begins again"),
        ("superlink", "SuperLink", r"SuperLink of \w+: ended by signal 9"),
    ):
        made += [
            Scenario(
                name=f"{role}-{trip}",
                role=role,
                trip=trip,
                fault=f"kill -9 of the {title}",
                group=role,
                act=acts.kill(role),
                orders=WINDOW[trip],
                names=names,
            )
            for trip in TRIPS
        ]
    for trip, to in zip(TRIPS, "bcd", strict=True):
        made.append(
            Scenario(
                name=f"relay-{trip}" if trip != "open" else "relay-final-open",
                role="relay",
                trip=trip,
                fault="kill -9 of all that the relay runs (SuperLink, ServerApp, command); "
                + ("of the last round; " if trip == "open" else "")
                + f"member {to} relays",
                group="relays",
                act=acts.move_relay(to),
                orders=WINDOW[trip],
                final=trip == "open",
                names=r"taking it up from there|of \d+ rounds of this study have ended",
            )
        )
    return made
