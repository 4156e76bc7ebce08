"""The registry walks forwards only, freezes what is sealed, and repeats change nothing."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from uplift.checks import blocked_by
from uplift.errors import DataError, DefinitionError, StateError
from uplift.experiment import Experiment
from uplift.registry.registry import Registry
from uplift.registry.states import STATES
from uplift.sizing.plan import design

ID = "hillstrom_email"


@pytest.fixture(scope="module")
def promised(experiment):
    return design(experiment, n_units=64_000)


def changed(experiment, **fields):
    return Experiment(**{**experiment.model_dump(), **fields})


def file(registry, name: str, content: str = "content"):
    path = registry.root / ID / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def test_an_experiment_walks_from_draft_to_archive_and_every_step_is_in_the_trail(
    registry, experiment, promised
):
    assert registry.add(experiment, who="ada", why="idea").state == "draft"
    registry.seal(experiment, promised, who="bob", why="agreed")
    for state in ("assigned", "live", "maturing", "read"):
        registry.advance(ID, state, who="bob", why=f"now {state}")
    registry.decide(ID, "retest", "not proven", who="ada")
    assert registry.advance(ID, "archived", who="ada").state == "archived"
    rows = registry.history(ID).rows
    assert [row.to_state for row in rows] == list(STATES)
    assert [row.seq for row in rows] == list(range(1, 9))
    assert (rows[1].who, rows[1].why, rows[1].digest) == ("bob", "agreed", experiment.digest)
    assert len(rows[1].payload["design_sha256"]) == 64
    assert rows[6].payload["decision"] == "retest"
    assert not blocked_by(registry.verify())


def test_reading_a_registry_that_is_not_there_writes_nothing(tmp_path):
    registry = Registry(tmp_path / "nowhere")
    assert registry.experiments().rows == ()
    assert registry.history().rows == ()
    with pytest.raises(StateError) as error:
        registry.state("spring")
    assert error.value.code == "EXPERIMENT_UNKNOWN"
    assert list(tmp_path.iterdir()) == []


def test_sealing_again_changes_nothing(sealed, experiment, promised):
    before = sealed.history().rows
    assert sealed.seal(experiment, promised, who="eve").state == "sealed"
    assert sealed.add(experiment, who="eve").state == "sealed"
    assert sealed.history().rows == before


@pytest.mark.parametrize("field", ["title", "arms", "metrics"])
def test_a_sealed_definition_cannot_be_changed(sealed, experiment, field):
    fields = experiment.model_dump()
    if field == "title":
        other = changed(experiment, title="Another title")
    elif field == "arms":
        arms = [{**arm, "unit_cost": 0.01} for arm in fields["arms"]]
        other = changed(experiment, arms=arms)
    else:
        other = changed(experiment, metrics={"primary": fields["metrics"]["primary"]})
    for attempt in (
        lambda: sealed.add(other),
        lambda: sealed.seal(other, design(other, n_units=64_000)),
    ):
        with pytest.raises(StateError, match="sealed with definition") as error:
            attempt()
        assert error.value.code == "EXPERIMENT_FROZEN"
    assert sealed.definition(ID) == experiment
    assert not blocked_by(sealed.verify())


def test_a_draft_may_be_rewritten_and_the_trail_says_so(registry, experiment):
    registry.add(experiment)
    other = changed(experiment, title="Another title")
    assert registry.add(other).digest == other.digest
    assert [row.action for row in registry.history(ID).rows] == ["add", "edit"]
    assert registry.experiments().rows[0].title == "Another title"
    assert not blocked_by(registry.verify())


@pytest.mark.parametrize(
    ("promise", "error", "code"),
    [
        (None, DefinitionError, "DESIGN_MISSING"),
        (SimpleNamespace(to_json=lambda: '{"digest": "other"}'), StateError, "DESIGN_OTHER"),
        (SimpleNamespace(to_json=lambda: "[]"), StateError, "DESIGN_OTHER"),
    ],
)
def test_sealing_needs_the_design_of_this_very_definition(
    registry, experiment, promise, error, code
):
    with pytest.raises(error) as refused:
        registry.seal(experiment, promise)
    assert refused.value.code == code
    assert registry.experiments().rows == ()


def test_the_definition_is_kept_as_it_was_sealed(sealed, experiment):
    assert sealed.definition(ID) == experiment
    assert sealed.definition(ID).digest == sealed.entry(ID).digest


@pytest.mark.parametrize(
    ("to", "error", "code"),
    [
        ("live", StateError, "STATE_ORDER"),
        ("decided", StateError, "STATE_ORDER"),
        ("finished", DefinitionError, "STATE_UNKNOWN"),
    ],
)
def test_no_state_is_skipped(sealed, to, error, code):
    with pytest.raises(error) as refused:
        sealed.advance(ID, to)
    assert refused.value.code == code
    assert sealed.state(ID) == "sealed"


def test_sealing_and_deciding_have_their_own_methods(registry, experiment, promised):
    registry.add(experiment)
    with pytest.raises(StateError, match=r"seal\(\)"):
        registry.advance(ID, "sealed")
    registry.seal(experiment, promised)
    for state in ("assigned", "live", "maturing", "read"):
        registry.advance(ID, state)
    with pytest.raises(StateError, match=r"decide\(\)"):
        registry.advance(ID, "decided")
    with pytest.raises(DefinitionError) as error:
        registry.audit(ID, "decide", {"decision": "scale"})
    assert error.value.code == "ACTION_RESERVED"


def test_a_decision_is_one_of_four_and_is_taken_once(sealed):
    with pytest.raises(StateError) as early:
        sealed.decide(ID, "scale", "proven")
    assert early.value.code == "STATE_ORDER"
    for state in ("assigned", "live", "maturing", "read"):
        sealed.advance(ID, state)
    with pytest.raises(DefinitionError, match="not proven; worth another") as unknown:
        sealed.decide(ID, "maybe", "hm")
    assert unknown.value.code == "DECISION_UNKNOWN"
    sealed.decide(ID, "scale", "proven")
    n_rows = len(sealed.history().rows)
    assert sealed.decide(ID, "scale", "proven").state == "decided"
    assert len(sealed.history().rows) == n_rows
    with pytest.raises(StateError) as again:
        sealed.decide(ID, "stop", "changed my mind")
    assert again.value.code == "ALREADY_DECIDED"


def test_a_transition_fixes_its_files_and_repeating_it_with_them_changes_nothing(sealed):
    path = file(sealed, "assignment.parquet")
    sealed.advance(ID, "assigned", artefacts={"assign": path})
    before = sealed.history().rows
    sealed.advance(ID, "assigned", artefacts={"assign": path})
    assert sealed.history().rows == before
    assert sealed.record(ID, "assign", path) == before[-1].payload["artefacts"]["assign"]
    assert sealed.history().rows == before
    path.write_text("other content")
    for attempt in (
        lambda: sealed.advance(ID, "assigned", artefacts={"assign": path}),
        lambda: sealed.record(ID, "assign", path),
    ):
        with pytest.raises(StateError, match="another 'assign'") as error:
            attempt()
        assert error.value.code == "ARTEFACT_FROZEN"
    assert sealed.history().rows == before


def test_a_file_is_given_out_only_while_it_is_the_one_recorded(sealed):
    path = file(sealed, "quality.json")
    sealed.record(ID, "evaluate", path)
    assert sealed.artefact(ID, "evaluate") == path
    path.write_text("tampered")
    with pytest.raises(DataError, match="has changed") as error:
        sealed.artefact(ID, "evaluate")
    assert error.value.code == "FILE_CHECKSUM"
    sealed.record(ID, "evaluate", path, why="computed again")  # not fixed by a transition
    assert sealed.artefact(ID, "evaluate") == path
    path.unlink()
    with pytest.raises(DataError) as error:
        sealed.artefact(ID, "evaluate")
    assert error.value.code == "ARTEFACT_MISSING"
    with pytest.raises(StateError) as error:
        sealed.artefact(ID, "roi")
    assert error.value.code == "ARTEFACT_UNKNOWN"


def test_a_folder_is_an_artefact_whose_every_file_counts(sealed):
    folder = sealed.root / ID / "suite"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.json").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    first = sealed.record(ID, "train", folder)
    assert sealed.record(ID, "train", folder) == first
    (folder / "deep" / "b.txt").rename(folder / "deep" / "c.txt")
    assert sealed.record(ID, "train", folder) != first


@pytest.mark.parametrize(
    ("name", "path", "error", "code"),
    [
        ("design", "missing.json", DataError, "ARTEFACT_MISSING"),
        ("design", "../outside.json", DefinitionError, "ARTEFACT_OUTSIDE"),
        ("../etc/x", "here.json", DefinitionError, "NAME_INVALID"),
        ("<script>", "here.json", DefinitionError, "NAME_INVALID"),
    ],
)
def test_only_files_of_the_folder_are_recorded_under_plain_names(sealed, name, path, error, code):
    (sealed.root / "here.json").write_text("{}")
    with pytest.raises(error) as refused:
        sealed.record(ID, name, sealed.root / path)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["x'; drop table experiments;--", "../etc", "half\udc80", ""])
def test_a_name_that_is_no_id_is_refused_before_anything_is_looked_up(sealed, name):
    with pytest.raises(DefinitionError) as error:
        sealed.state(name)
    assert error.value.code == "NAME_INVALID"
    assert sealed.state(ID) == "sealed"


def test_a_deviation_after_sealing_is_an_amendment(registry, experiment, promised):
    registry.add(experiment)
    with pytest.raises(StateError, match="is a draft"):
        registry.amend(ID, "other window", why="late")
    registry.seal(experiment, promised)
    registry.amend(ID, "window 28 days", why="late data", who="ada")
    registry.amend(ID, "one arm stopped", why="complaints", who="bob")
    found = registry.amendments(ID)
    assert [(one.change, one.who, one.why) for one in found] == [
        ("window 28 days", "ada", "late data"),
        ("one arm stopped", "bob", "complaints"),
    ]
    assert registry.amendments("another") == ()


def test_the_trail_takes_notes_of_what_is_no_transition(sealed):
    row = sealed.audit(ID, "promote", {"version": 3, "big": 2**63}, who="ada", why="gates passed")
    assert sealed.history(ID).rows[-1] == row
    assert (row.from_state, row.to_state) == ("sealed", "sealed")
    assert row.payload["big"] == 2**63
    with pytest.raises(StateError):
        sealed.audit("unknown", "promote")


def test_order_is_by_number_when_the_clock_goes_back(tmp_path, place, experiment, promised):
    hours = iter(range(100, 0, -1))
    start = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    registry = Registry(
        tmp_path, database=place.location, clock=lambda: start + timedelta(hours=next(hours))
    )
    registry.seal(experiment, promised)
    registry.advance(ID, "assigned")
    rows = registry.history().rows
    assert [row.to_state for row in rows] == ["draft", "sealed", "assigned"]
    assert rows[0].at > rows[-1].at
    assert rows[0].at.endswith("+00:00")
    assert not blocked_by(registry.verify())


def test_the_registry_shows_itself(sealed):
    assert "Men's or women's" in sealed.experiments().table().text()
    assert "sealed" in str(sealed.entry(ID))
    assert "agreed" in str(sealed.history(ID))
    assert json.loads(sealed.history(ID).to_json())["rows"][0]["seq"] == 1
