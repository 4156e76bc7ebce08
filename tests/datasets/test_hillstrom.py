"""The e-mail test: where its file may come from, and that it is the published one."""

import gzip
import urllib.error

import pytest

from uplift.datasets import email_test as module
from uplift.datasets.cards import card
from uplift.datasets.email_test import hillstrom
from uplift.errors import DataError
from uplift.experiment import load_experiment
from uplift.trial import Trial


@pytest.fixture(scope="module")
def data(hillstrom_file):
    return hillstrom(hillstrom_file)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without the file and without a network."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("UPLIFT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module.urllib.request, "urlopen", unreachable)
    return tmp_path


def test_the_data_have_the_figures_of_the_card(data):
    arm, outcomes = data.assigned["arm"], data.outcomes
    control = outcomes[arm == "control"]
    found = {
        "customers": len(data.customers),
        **arm.value_counts().to_dict(),
        **{f"control {name}": control[name].mean() for name in ("visit", "conversion", "spend")},
        "largest spend": outcomes["spend"].max(),
    }
    assert found == pytest.approx(dict(card("hillstrom").key_figures), rel=1e-3)


def test_customers_say_nothing_about_the_test(data):
    told = {"segment", "arm", "visit", "conversion", "spend"}
    assert not told & set(data.customers.columns)


def test_the_three_tables_join_to_the_registered_experiment(data, root):
    experiment = load_experiment(root / "experiments" / "hillstrom_email")
    trial = Trial.join(experiment, data.assigned, data.outcomes, data.customers)
    assert trial.counts == {"control": 21_306, "mens_email": 21_307, "womens_email": 21_387}
    assert "zip_code" in trial.features
    assert (data.assigned["assigned_at"] == experiment.schedule.launch_at).all()


def test_packed_and_plain_files_and_their_folder_give_the_same_data(data, hillstrom_file, tmp_path):
    plain = tmp_path / "hillstrom.csv"
    plain.write_bytes(gzip.decompress(hillstrom_file.read_bytes()))
    for place in (plain, tmp_path):
        assert hillstrom(place).outcomes.equals(data.outcomes)


def test_the_environment_names_a_file_or_a_folder(hillstrom_file, nowhere, monkeypatch):
    for place in (hillstrom_file, hillstrom_file.parent):
        monkeypatch.setenv("UPLIFT_DATA", str(place))
        assert str(hillstrom_file.parent) in hillstrom().source


def test_without_a_network_the_refusal_says_which_file_to_put_where(nowhere):
    with pytest.raises(DataError, match=r"cache/uplift/hillstrom\.csv.*UPLIFT_DATA") as refusal:
        hillstrom()
    assert refusal.value.code == "DATA_UNAVAILABLE"
    assert not list(nowhere.rglob("*.csv"))


class Answer:
    """What the public address answers."""

    def __init__(self, content):
        self.content = content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def read(self):
        return self.content


def test_a_fetched_file_is_kept_and_not_fetched_again(hillstrom_file, nowhere, monkeypatch):
    content = gzip.decompress(hillstrom_file.read_bytes())
    fetches = []
    monkeypatch.setattr(
        module.urllib.request, "urlopen", lambda *_, **__: fetches.append(1) or Answer(content)
    )
    assert hillstrom().source.startswith("http")
    assert hillstrom().source == str(nowhere / "cache" / "uplift" / "hillstrom.csv")
    assert len(fetches) == 1


def test_other_bytes_are_refused_and_never_kept(nowhere, monkeypatch):
    monkeypatch.setattr(
        module.urllib.request, "urlopen", lambda *_, **__: Answer(b"<html>gone</html>")
    )
    with pytest.raises(DataError, match="published bytes") as refusal:
        hillstrom()
    assert refusal.value.code == "FILE_CHECKSUM"
    assert not list(nowhere.rglob("*.csv"))


def test_a_changed_or_torn_file_is_refused(hillstrom_file, tmp_path):
    content = hillstrom_file.read_bytes()
    changed, torn = tmp_path / "hillstrom.csv", tmp_path / "hillstrom.csv.gz"
    changed.write_bytes(gzip.decompress(content).replace(b"Rural", b"Urban", 1))
    torn.write_bytes(content[:1000])
    for file, code in ((changed, "FILE_CHECKSUM"), (torn, "FILE_UNREADABLE")):
        with pytest.raises(DataError) as refusal:
            hillstrom(file)
        assert refusal.value.code == code


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file") as refusal:
        hillstrom(tmp_path / "elsewhere.csv")
    assert refusal.value.code == "FILE_MISSING"


def test_the_data_show_their_arms(data):
    assert "womens_email" in str(data)
    assert data.card.name == "hillstrom"
