"""What leaves a site is what the list says: every record of every reply, over two rounds."""

from collections import defaultdict

import apps
import pytest
from flwr.app import ConfigRecord, Context, RecordDict
from flwr.serverapp.strategy import FedAvg
from swarm_bench import StillClock

from flwr_swarm import SwarmStrategy, swarm_mod
from flwr_swarm._exceptions import ConfigurationError, NotPrivate
from flwr_swarm.flower.compat import detached_message, with_content
from flwr_swarm.flower.records import BLOBS, FIELDS
from flwr_swarm.flower.sharing import EVALUATE_OPTION, evaluated
from flwr_swarm.privacy.disclosure import DISCLOSURES
from flwr_swarm.testing import InProcessGrid

LISTED = {entry.what: entry for entry in DISCLOSURES}
PUBLIC = {"phase", "member", "round", "view", "included", "aggregate_hash", "signature"}
IDENTITY = {"account", "commitment", "encryption_key", "label"}
SEALED = {  # in a seal's reply, and what of the list it is
    "payload": (
        "update",
        "number of examples",
        "training metrics",
        "whether the update was clipped",
    ),
    "layout": ("names of metrics", "hash of what was asked"),
    "dealing": ("key shares",),
    "envelope": ("key shares",),
    "envelopes": ("key shares",),
}
SUMS = {"merged", "opening", "complaints"}  # of the sum over all, of key shares, of bad dealers
EVALUATION = {"loss", "num-examples"}


def chatty(message, context, call_next):
    """Below `swarm_mod`: a train function that returns more than it should."""
    reply = call_next(message, context)
    notes = ConfigRecord({"patient": "Maria Example"})
    return with_content(RecordDict({**reply.content, "notes": notes}), reply.metadata)


def test_every_reply_holds_only_what_is_listed(tmp_path):
    seen = defaultdict(set)

    def spy(message):
        fields = message.content.config_records.get(FIELDS)
        phase = "evaluate" if fields is None else fields["phase"]
        for record, values in message.content.items():
            assert record in (FIELDS, BLOBS) or phase == "evaluate"
            seen[phase] |= {name.split("/")[0] for name in values}
        return message

    grid = InProcessGrid(apps.make_app(swarm_mod, chatty), nodes=4, to_relay=spy)
    strategy = SwarmStrategy(
        FedAvg(min_available_nodes=4), evidence=tmp_path, clock=StillClock().clock()
    )
    strategy.start(grid, apps.initial_model(), num_rounds=1)
    assert set(seen) == {"enrol", "seal", "merge", "open", "evaluate"}
    assert seen["enrol"] == IDENTITY | {"phase", "signature"}
    assert seen["seal"] == set(SEALED) | {"phase", "member", "round"}
    assert seen["merge"] | seen["open"] <= PUBLIC | SUMS
    assert seen["evaluate"] - {"patient"} == EVALUATION
    told = {what for whats in SEALED.values() for what in whats}
    on_chain = {what for what, entry in LISTED.items() if entry.road == "chain"}
    others = {"class of an error in training", "evaluation metrics"}
    assert told | on_chain | others == set(LISTED)
    for what in SEALED["payload"]:
        assert LISTED[what].road == "encrypted"
    for name in ("layout", "dealing"):
        assert not any(LISTED[what].of_data for what in SEALED[name])


def test_only_the_update_is_said_to_be_inside_epsilon():
    assert [entry.what for entry in DISCLOSURES if entry.in_epsilon] == ["update"]
    exposed = [e for e in DISCLOSURES if e.of_data and not e.in_epsilon and e.road != "chain"]
    assert all(entry.remark for entry in exposed)


def site(**node_config):
    return Context(run_id=1, node_id=2, node_config=node_config, state=RecordDict(), run_config={})


def test_a_site_can_keep_its_evaluation_at_home():
    called = []

    def evaluate(message, _context):
        called.append(message)
        return message

    message = detached_message(RecordDict())
    for consent in ({}, {EVALUATE_OPTION: "clear"}):
        assert evaluated(evaluate, message, site(**consent)) is message
    with pytest.raises(NotPrivate, match="in the clear"):
        evaluated(evaluate, message, site(**{EVALUATE_OPTION: "never"}))
    for unclear in ("no", ""):
        with pytest.raises(ConfigurationError, match="'never'"):
            evaluated(evaluate, message, site(**{EVALUATE_OPTION: unclear}))
    assert len(called) == 2
