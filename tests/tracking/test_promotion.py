from dataclasses import dataclass, replace

import pytest

from uplift.checks import Check
from uplift.errors import DataError, PromotionRefused, StateError, UpliftError
from uplift.promotion import MOVE_TAG, WRITTEN, promote, rollback
from uplift.registry.registry import Registry
from uplift.tracking.store import Tracking, alias_of, drop_alias, resolve

BETTER = Check("gain", passed=True, value=0.3, bound=0.0)
BEST = Check("gain", passed=True, value=0.5, bound=0.0)
NOT_PROVEN = Check(
    "gain_over_everyone",
    passed=False,
    value=-0.2,
    bound=0.0,
    remedy="Send the best arm to everyone.",
    code="GAIN_NOT_PROVEN",
)


@dataclass(frozen=True)
class Promise:
    """Stands for a design: what sealing asks for."""

    digest: str

    def to_json(self):
        return "{}"


@pytest.fixture
def book(tmp_path, experiment):
    """A registry with some sealed experiments."""
    registry = Registry(tmp_path / "experiments")

    def seal(name):
        own = experiment.model_copy(update={"id": name})
        registry.seal(own, Promise(own.digest), who="ada")
        return registry

    return seal


def moves_in(registry, name):
    rows = registry.history(name).rows
    return [(row.action, row.who) for row in rows if row.action in ("promote", "rollback")]


def champion_of(name, store):
    return alias_of(name, "champion", store).version


def test_a_model_that_passes_every_gate_becomes_champion(log, store):
    run = log("first_champion")
    promotion = promote(run, who="ada")
    assert promotion.action == "promoted"
    assert (promotion.model_version, promotion.previous_version) == (1, None)
    assert [check.name for check in promotion.gates] == [
        "gain_over_nobody",
        "sample_ratio",
        "model_files",
        "schema",
        "same_scores_after_reload",
    ]
    assert all(check.passed for check in promotion.gates)
    assert champion_of("first_champion", store) == 1
    assert alias_of("first_champion", "challenger", store) is None
    assert "By ada" in promotion.table().text()


def test_promoting_twice_is_promoting_once(log, book):
    registry = book("promoted_twice")
    run = log("promoted_twice")
    promote(run, registry=registry, who="ada")
    again = promote(run, registry=registry, who="ada")
    assert again.action == "unchanged"
    assert again.previous_version is None
    assert moves_in(registry, "promoted_twice") == [("promote", "ada")]
    assert all(check.passed for check in registry.verify())


def test_an_audit_row_that_was_owed_is_written_later(log, book):
    run = log("owed_row")
    promote(run)
    registry = book("owed_row")
    promote(run, registry=registry, who="bob")
    assert moves_in(registry, "owed_row") == [("promote", "bob")]


def test_a_model_of_another_definition_or_an_unsealed_one_is_refused(
    log, tmp_path, experiment, store
):
    registry = Registry(tmp_path / "experiments")
    run = log("other_definition")
    with pytest.raises(UpliftError) as refusal:
        promote(run, registry=registry)
    assert refusal.value.code == "EXPERIMENT_UNKNOWN"
    own = experiment.model_copy(update={"id": "other_definition"})
    registry.add(own, who="ada")
    with pytest.raises(PromotionRefused, match="sealed_definition"):
        promote(run, registry=registry)
    changed = own.model_copy(update={"title": "Something else"})
    registry.seal(changed, Promise(changed.digest), who="ada")
    with pytest.raises(PromotionRefused, match="sealed_definition") as refusal:
        promote(run, registry=registry)
    assert refusal.value.checks[0].code == "DEFINITION_DIFFERS"
    assert alias_of("other_definition", "champion", store) is None


def test_a_refusal_lists_every_failed_gate_and_the_champion_stays(log, store):
    promote(log("refused"))
    weak = log(
        "refused", NOT_PROVEN, Check("slope", False, value=-1.0, bound=0.0, remedy="Shrink."), BEST
    )
    with pytest.raises(PromotionRefused, match="2 of 7 gates failed") as refusal:
        promote(weak)
    assert refusal.value.code == "PROMOTION_REFUSED"
    assert [check.name for check in refusal.value.checks] == ["gain_over_everyone", "slope"]
    for words in ("gain_over_everyone", "Send the best arm to everyone.", "-0.2", "Shrink."):
        assert words in str(refusal.value)
    assert champion_of("refused", store) == 1
    assert alias_of("refused", "challenger", store).version == 2


def test_a_warning_does_not_stop_a_promotion(log, store):
    note = Check("category_unseen", False, value=0.01, code="CATEGORY_UNSEEN", blocking=False)
    promotion = promote(log("with_a_warning", BETTER, note))
    assert promotion.action == "promoted"
    assert note in promotion.gates


def test_a_broken_sample_ratio_stops_a_promotion(log):
    from types import SimpleNamespace

    broken = Check("sample_ratio", False, value=1e-9, bound=0.001, remedy="Look.", code="SRM")
    run = log("broken_split", report=SimpleNamespace(checks=(broken,)))
    with pytest.raises(PromotionRefused, match="sample_ratio"):
        promote(run)


@pytest.mark.parametrize("file", ["scoring.json", "model.json", "package.json"])
def test_files_changed_after_registration_stop_a_promotion(log, store, file):
    name = f"tampered_{file.partition('.')[0]}"
    run = log(name)
    (path,) = (store.folder / "artifacts" / name).rglob(file)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(PromotionRefused, match="model_files") as refusal:
        promote(run)
    assert refusal.value.checks[0].code == "FILE_CHECKSUM"
    assert alias_of(name, "champion", store) is None


def test_scores_that_differ_from_those_recorded_stop_a_promotion(log, monkeypatch):
    from uplift.tracking import package

    run = log("other_arithmetic")
    right = package.apply_rules

    def other(effects, rules):
        advice = right(effects, rules)
        return replace(advice, effect=advice.effect + 1e-9)  # as another library's sums might be

    monkeypatch.setattr(package, "apply_rules", other)
    with pytest.raises(PromotionRefused, match="same_scores_after_reload") as refusal:
        promote(run)
    assert refusal.value.checks[0].code == "SCORES_DIFFER"


def test_a_signature_that_differs_from_the_model_stops_a_promotion(log, store):
    run = log("other_signature")
    (path,) = (store.folder / "artifacts" / "other_signature").rglob("MLmodel")
    path.write_text(path.read_text().replace('"name": "recency"', '"name": "frequency"'))
    with pytest.raises(PromotionRefused, match="schema"):
        promote(run)


def test_the_gates_that_count_are_those_in_the_store(log, store):
    from dataclasses import replace

    run = log("own_gates", NOT_PROVEN)
    with pytest.raises(PromotionRefused, match="gain_over_everyone"):
        promote(replace(run, gates=()))


def test_rollback_brings_the_champion_before_back(log, store, book):
    registry = book("went_back")
    promote(log("went_back"), registry=registry, who="ada")
    promote(log("went_back", BETTER), registry=registry, who="ada")
    assert champion_of("went_back", store) == 2
    back = rollback("went_back", registry=registry, tracking=store, who="bob")
    assert back.action == "rolled back"
    assert (back.model_version, back.previous_version) == (1, 2)
    assert champion_of("went_back", store) == 1
    assert moves_in(registry, "went_back") == [
        ("promote", "ada"),
        ("promote", "ada"),
        ("rollback", "bob"),
    ]
    last = registry.history("went_back").rows[-1]
    assert (last.payload["model_version"], last.payload["replaced_version"]) == (1, 2)
    assert promote(log("went_back", BETTER), registry=registry, who="ada").model_version == 2
    assert len(moves_in(registry, "went_back")) == 4


def test_rollback_goes_back_step_by_step(log, store):
    for check in (BETTER, BEST, Check("gain", True, value=0.7, bound=0.0)):
        promote(log("three_champions", check))
    assert rollback("three_champions", tracking=store).model_version == 2
    assert rollback("three_champions", tracking=store).model_version == 1
    with pytest.raises(StateError, match="none before it") as refusal:
        rollback("three_champions", tracking=store)
    assert refusal.value.code == "NO_PREVIOUS_CHAMPION"


def test_there_is_nothing_to_roll_back_without_a_champion(log, store):
    log("never_promoted")
    for name in ("never_promoted", "never_heard_of"):
        with pytest.raises(StateError, match="Promote a model first") as refusal:
            rollback(name, tracking=store)
        assert refusal.value.code == "NO_CHAMPION"


def test_a_rollback_where_nothing_was_ever_logged_leaves_no_store_behind(tmp_path):
    nowhere = Tracking(tmp_path)
    with pytest.raises(StateError, match="Promote a model first") as refusal:
        rollback("never_heard_of", tracking=nowhere)
    assert refusal.value.code == "NO_CHAMPION"
    with pytest.raises(DataError, match="no store of models") as unknown:
        resolve("models:/never_heard_of@champion", nowhere)
    assert unknown.value.code == "MODEL_UNKNOWN"
    assert not list(tmp_path.iterdir())


def test_rollback_to_damaged_files_is_refused(log, store):
    promote(log("damaged_before"))
    (path,) = (store.folder / "artifacts" / "damaged_before").rglob("scoring.json")
    promote(log("damaged_before", BETTER))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(PromotionRefused, match="model_files"):
        rollback("damaged_before", tracking=store)
    assert champion_of("damaged_before", store) == 2


def stop(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["tag_version", "move_alias", "_audit", "drop_alias"])
def test_an_interrupted_promotion_is_finished_by_the_next(log, store, book, monkeypatch, step):
    name = f"half_promoted_{step.strip('_')}"
    registry, run = book(name), log(name)
    with monkeypatch.context() as broken:
        broken.setattr(f"uplift.promotion.{step}", stop)
        with pytest.raises(KeyboardInterrupt):
            promote(run, registry=registry)
    promote(run, registry=registry, who="ada")
    assert champion_of(name, store) == 1
    assert alias_of(name, "challenger", store) is None
    assert len(moves_in(registry, name)) == 1
    assert resolve(run.model_uri, store).tags[MOVE_TAG] == WRITTEN


def test_an_audit_row_is_written_once_though_the_promotion_stopped_right_after_it(
    log, store, book, monkeypatch
):
    registry, run = book("stopped_after_row"), log("stopped_after_row")
    write = registry.audit

    def write_and_stop(*args, **kwargs):
        write(*args, **kwargs)
        stop()

    with monkeypatch.context() as broken:
        broken.setattr(registry, "audit", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            promote(run, registry=registry, who="ada")
    promote(run, registry=registry, who="ada")
    assert moves_in(registry, "stopped_after_row") == [("promote", "ada")]


def test_a_rollback_that_stopped_before_its_audit_row_is_recorded_as_one(
    log, store, book, monkeypatch
):
    registry = book("half_back")
    first = log("half_back")
    promote(first, registry=registry, who="ada")
    promote(log("half_back", BETTER), registry=registry, who="ada")
    with monkeypatch.context() as broken:
        broken.setattr("uplift.promotion._audit", stop)
        with pytest.raises(KeyboardInterrupt):
            rollback("half_back", registry=registry, tracking=store)
    assert champion_of("half_back", store) == 1
    promote(first, registry=registry, who="bob")
    assert moves_in(registry, "half_back")[-1] == ("rollback", "bob")


def test_removing_an_alias_that_is_not_there_changes_nothing(log, store):
    log("no_alias")
    drop_alias("no_alias", "champion", store)
    assert alias_of("no_alias", "challenger", store).version == 1
