"""Numbers and curves of the leakage benchmark's board, and what it calls a right build."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from flwr_swarm_attacks import Estimate, Separation, View, auc, tpr_at_fpr
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.leakage import crafted_refused, verdicts
from benchmarks.leakage_board import REGIMES, Board, roc
from benchmarks.leakage_page import headline, page
from benchmarks.leakage_roc import chart
from benchmarks.leakage_strength import Strength
from benchmarks.leakage_words import EMPTY, WHO, level

rows = st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=2, max_size=200).filter(
    lambda found: len({member for _, member in found}) == 2
)


def split(found):
    score, member = zip(*found, strict=True)
    return np.array(score, float), np.array(member)


@settings(deadline=None)
@given(rows)
def test_a_curve_climbs_through_points_that_a_threshold_reaches(found):
    score, member = split(found)
    curve = roc(score, member)
    reached = {
        (
            round(float((score[~member] >= t).mean()), 6),
            round(float((score[member] >= t).mean()), 6),
        )
        for t in score
    }
    assert set(curve) <= reached
    assert curve == sorted(curve)
    assert curve[-1] == (1.0, 1.0)


@settings(deadline=None)
@given(rows, st.integers(1, 3))
def test_the_board_pools_targets_and_keeps_cells_apart(found, targets):
    score, member = split(found)
    board = Board()
    examples = np.arange(len(score))
    for _ in range(targets):
        board.add("swarm", View.OUTSIDER_FINAL_MODEL, "a", score, member, examples)
    board.add("local", View.OUTSIDER_FINAL_MODEL, "a", -score, member, examples)
    one, other = board.curves(resamples=10)
    assert one.separation.auc.value == pytest.approx(auc(score, member))
    assert one.separation.tpr.value == pytest.approx(tpr_at_fpr(score, member))
    assert other.separation.auc.value == pytest.approx(1 - auc(score, member))
    assert (one.targets, other.targets) == (targets, 1)
    assert one.members == targets * member.sum()


def estimate(value):
    return Estimate(value=value, low=value - 0.05, high=value + 0.05)


def curve(regime, view, attack, value):
    found = Separation(auc=estimate(value), tpr=estimate(0.1))
    return SimpleNamespace(regime=regime, view=view, attack=attack, separation=found)


RIGHT = {
    ("federated", View.MEMBER_EVERY_MODEL, "LiRA online"): 0.65,
    ("federated", View.MEMBER_EVERY_MODEL, "loss"): 0.55,
    ("federated", View.LEADER_PLAINTEXT_UPDATE, "FedMIA-I"): 0.8,
    ("swarm", View.LEADER_ENCRYPTED, "LiRA online"): 0.65,
    ("swarm", View.LEADER_ENCRYPTED, "ciphertext as update"): 0.5,
    ("swarm", View.CHAIN_OBSERVER, "guess and check"): 0.5,
}


def judged(change=None, strong=(True,), refused=True):
    cells = RIGHT | (change or {})
    return verdicts([curve(*key, value) for key, value in cells.items()], list(strong), refused)


def test_a_right_build_holds_and_each_fault_is_named():
    assert all(judged().values())
    sealed = ("swarm", View.LEADER_ENCRYPTED, "LiRA online")
    faults = {
        "leader_under_encryption_not_above_aggregate_only": judged({sealed: 0.8}),
        "ciphertexts_tell_nothing": judged({(*sealed[:2], "ciphertext as update"): 0.62}),
        "hashes_tell_nothing": judged({("swarm", View.CHAIN_OBSERVER, "guess and check"): 0.62}),
        "crafted_model_refused": judged(refused=False),
        "attacks_are_strong": judged(strong=(True, False)),
    }
    for name, found in faults.items():
        assert [n for n, ok in found.items() if not ok] == [name]


@pytest.mark.parametrize(("share", "why"), [(0.1, "ModelRefused"), (0.0, "UpdateMismatch")])
def test_a_crafted_model_that_is_not_refused_is_seen(share, why):
    def one(regime, share, why):
        return SimpleNamespace(regime=regime, share=share, why=why)

    robbed = one("federated", 0.9, "")
    assert crafted_refused([robbed, one("swarm", 0.0, "ModelRefused")])
    assert not crafted_refused([robbed, one("swarm", share, why)])


@pytest.mark.parametrize(("auc_", "tpr", "holds"), [(0.7, 0.1, True), (0.6, 0.1, False)])
def test_strength_is_judged_by_the_upper_end(auc_, tpr, holds):
    found = Strength(
        attack="a", separation=Separation(auc=estimate(auc_), tpr=estimate(tpr)),
        wanted_auc=0.7, wanted_tpr=0.11, shadows=64, targets=2,
    )  # fmt: skip
    assert found.holds is holds
    assert found.to_json()["holds"] is holds


def a_study():
    board, rng = Board(), np.random.default_rng(0)
    member = np.arange(200) % 2 == 0
    for regime, view, attack, shift in (
        ("local", View.OUTSIDER_FINAL_MODEL, "strong <b>", 2.0),
        ("local", View.OUTSIDER_FINAL_MODEL, "weak", 0.1),
        ("swarm", View.LEADER_ENCRYPTED, "weak", 0.1),
    ):
        board.add(
            regime, view, attack, rng.normal(size=200) + shift * member, member, np.arange(200)
        )
    return {
        "dataset": "made-up", "rows": 200, "sites": 4, "targets": 1, "shadows": 2,
        "attacks": [one.to_json() for one in board.curves(resamples=20)],
        "source_inference": [], "crafted": [], "strength": [], "holds": {"all_is_well": False},
    }  # fmt: skip


def test_the_page_shows_each_cells_strongest_attack_and_loads_nothing():
    study = a_study()
    assert [one["attack"] for one in headline(study)] == ["strong <b>", "weak"]
    text = page({"seconds": 1.0, "studies": [study]}, {"a picture": "data:image/png;base64,AA=="})
    assert "strong &lt;b&gt;" in text
    assert "strong <b>" not in text
    assert "does not exist: nothing leaves the site" in text
    assert "not attacked in this run" in text
    assert text.count("<svg") == 2
    assert not [sign for sign in ("http", "url(", "src='/", "@import", "<link") if sign in text]
    assert "<script" not in text
    assert "<b class='bad'>NO</b> all is well" in text


def test_both_axes_are_logarithmic():
    """A decade is as wide as the next, and the diagonal runs from corner to corner."""
    points = [(1e-3, 1e-3), (1e-2, 1e-2), (1e-1, 1e-1), (1.0, 1.0)]
    text = chart([points]).split('points="')[1].split('"')[0]
    corners = [tuple(map(float, pair.split(","))) for pair in text.split()]
    across = sorted({x for x, _ in corners})
    up = sorted({y for _, y in corners})
    for steps in (np.diff(across), np.diff(up)):
        assert len(steps) == 3
        assert steps == pytest.approx(steps[0], abs=0.2)


def test_the_bar_spans_the_interval_at_one_percent():
    """Its ends lie where the curve's own points of the same rates lie."""
    low, high = 0.05, 0.3
    text = chart([[(0.01, low), (0.01, high), (1.0, 1.0)]], interval=(low, high))
    pairs = text.split('points="')[1].split('"')[0].split()
    found = [tuple(map(float, pair.split(","))) for pair in pairs]
    bar = re.search(r'class="whisker" d="M([\d.]+) ([\d.]+)h8m-4 0V([\d.]+)', text)
    left, bottom, top = map(float, bar.groups())
    for end in (bottom, top):
        assert any(one == pytest.approx((left + 4, end), abs=0.11) for one in found)
    assert "whisker" not in chart([[(1.0, 1.0)]])


def test_every_cell_has_a_number_or_says_why_not():
    """Of a full grid; the words are those of a page for people who cannot ask."""
    attacked = {
        ("local", View.OUTSIDER_FINAL_MODEL),
        ("central", View.OUTSIDER_FINAL_MODEL),
        *(("federated", v) for v in View
          if v not in (View.CHAIN_OBSERVER, View.LEADER_ENCRYPTED, View.COALITION)),
        *(("swarm", v) for v in View if v is not View.LEADER_PLAINTEXT_UPDATE),
    }  # fmt: skip
    assert set(WHO) == set(View)
    for regime in REGIMES:
        for view in View:
            assert ((regime, view) in attacked) or EMPTY[regime, view.value]


@pytest.mark.parametrize(
    ("value", "low", "word"),
    [(0.9, 0.5, "like guessing"), (0.51, 0.505, "weak"), (0.7, 0.6, "clear"), (1.0, 0.9, "strong")],
)
def test_a_cell_is_called_by_its_interval_first(value, low, word):
    assert level({"value": value, "low": low, "high": 1.0})[0] == word
