"""What is sealed is complete, its metrics mean what they meant, and its parent is known."""

import json
from types import SimpleNamespace

import pytest

from uplift.errors import DefinitionError, StateError
from uplift.experiment import experiment_from, load_experiment
from uplift.metrics import MetricCatalogue
from uplift.registry.lineage import child_of, child_text
from uplift.registry.registry import Registry
from uplift.strict_yaml import parse_yaml
from uplift.table import to_plain


@pytest.fixture
def experiment():
    return load_experiment("experiments/spring_voucher")


def changed(experiment, **fields):
    """The experiment with other fields, `__` going one level down."""
    plain = to_plain(experiment)
    for path, value in fields.items():
        *above, last = path.split("__")
        part = plain
        for name in above:
            part = part[int(name) if name.isdigit() else name]
        part[last] = value
    return type(experiment)(**plain)


def promise(experiment):
    return SimpleNamespace(to_json=lambda: json.dumps({"digest": experiment.digest}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"audience__description": " "}, "audience.description"),
        ({"metrics__primary__minimum_effect": None}, "metrics.primary.minimum_effect"),
        ({"metrics__guardrails": []}, "metrics.guardrails"),
        ({"arms__2__unit_cost": None}, "arms post: unit_cost"),
        ({"analysis__looks_days": []}, r"looks_days: the days.*\[28\]"),
        ({"analysis__looks_days": [14]}, "the last look, on day 14, is before"),
        ({"analysis__decision_rule": ""}, "analysis.decision_rule"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_written(experiment, tmp_path, change, named):
    draft = changed(experiment, **change)
    registry = Registry(tmp_path)
    registry.add(draft)  # a draft may be incomplete
    with pytest.raises(DefinitionError, match=named) as caught:
        registry.seal(draft, promise(draft))
    assert caught.value.code == "SEAL_INCOMPLETE"
    assert registry.state(draft.id) == "draft"


def test_all_that_is_missing_is_named_at_once(experiment, tmp_path):
    draft = changed(experiment, metrics__guardrails=[], analysis__looks_days=[])
    with pytest.raises(DefinitionError) as caught:
        Registry(tmp_path).seal(draft, promise(draft))
    assert caught.value.count == 2


def test_a_reason_stands_in_for_guardrails(experiment, tmp_path):
    bare = changed(
        experiment, metrics__guardrails=[], metrics__no_guardrails_because="No opt-out is recorded."
    )
    assert Registry(tmp_path).seal(bare, promise(bare)).state == "sealed"


def test_a_key_means_one_definition_in_all_experiments(experiment, tmp_path):
    registry = Registry(tmp_path)
    registry.seal(experiment, promise(experiment))
    other = changed(experiment, id="other", metrics__primary__metric__cap=100.0)
    with pytest.raises(DefinitionError, match=r"another cap.*call it spend_28d@2") as caught:
        registry.add(other)
    assert caught.value.code == "METRIC_CHANGED"
    newer = changed(
        experiment,
        id="other",
        metrics__primary__metric__cap=100.0,
        metrics__primary__metric__version=2,
    )
    registry.seal(newer, promise(newer))
    assert {m.key for m in registry.metrics()} >= {"spend_28d@1", "spend_28d@2"}
    same = changed(experiment, id="third")
    registry.seal(same, promise(same))
    assert registry.definition("third").primary == registry.definition(experiment.id).primary


def test_a_draft_does_not_bind_a_key(experiment, tmp_path):
    registry = Registry(tmp_path)
    registry.add(experiment)
    other = changed(experiment, id="other", metrics__primary__metric__cap=100.0)
    registry.seal(other, promise(other))
    with pytest.raises(DefinitionError) as caught:
        registry.seal(experiment, promise(experiment))
    assert caught.value.code == "METRIC_CHANGED"


def test_a_parent_must_be_registered_before_its_child(experiment, tmp_path):
    registry = Registry(tmp_path)
    child = changed(experiment, id="child", parent=experiment.id)
    with pytest.raises(DefinitionError, match="not an experiment of this registry") as caught:
        registry.add(child)
    assert caught.value.code == "PARENT_UNKNOWN"
    registry.add(experiment)
    registry.add(child)


@pytest.mark.parametrize("parent", ["spring_voucher", "child", "grandchild"])
def test_nobody_is_its_own_ancestor_even_while_all_are_drafts(experiment, tmp_path, parent):
    registry = Registry(tmp_path)
    registry.add(experiment)
    registry.add(changed(experiment, id="child", parent="spring_voucher"))
    registry.add(changed(experiment, id="grandchild", parent="child"))
    with pytest.raises(DefinitionError, match=r"→ spring_voucher\)") as caught:
        registry.add(changed(experiment, parent=parent))
    assert caught.value.code == "PARENT_CYCLE"


def test_a_child_goes_on_from_the_decision_with_what_was_learned(experiment):
    effects = {"spend_28d@1": (0.08, 0.03)}
    child = child_of(experiment, "again", state="decided", decision="retest", effects=effects)
    prior = child.metrics.primary.prior
    assert (child.id, child.parent) == ("again", experiment.id)
    assert (prior.mean, prior.std_dev, prior.source) == (0.08, 0.03, "spring_voucher (retest)")
    assert child.metrics.secondary[0].prior is None
    assert child.arms == experiment.arms


def test_a_child_of_an_undecided_experiment_is_refused(experiment):
    with pytest.raises(StateError, match="goes on from a decision") as caught:
        child_of(experiment, "again", state="read", decision=None, effects={})
    assert caught.value.code == "STATE_ORDER"


@pytest.mark.parametrize("decision", ["fix", "stop", "retest"])
def test_a_child_repeats_its_parent_after_its_windows_have_closed(experiment, decision):
    child = child_of(experiment, "again", state="decided", decision=decision, effects={})
    assert child.arms == experiment.arms
    assert child.schedule.launch_at >= experiment.schedule.closes_at
    shift = child.schedule.starts_at - experiment.schedule.starts_at
    assert (shift.days % 7, shift.seconds) == (0, 0)


def test_a_scaled_child_has_the_best_arm_and_a_small_holdout(experiment):
    child = child_of(
        experiment, "roll_out", state="decided", decision="scale", effects={}, best_arm="email"
    )
    assert {arm.name: str(arm.share) for arm in child.arms} == {"control": "1/10", "email": "9/10"}
    assert child.treatments[0].unit_cost == 0.05


def test_the_file_of_a_child_says_what_to_do_cites_metrics_and_reads_back_equal(experiment):
    catalogue = MetricCatalogue.load("experiments/metrics.yaml")
    effects = {"spend_28d@1": (0.08, 0.03)}
    child = child_of(experiment, "again", state="decided", decision="retest", effects=effects)
    text = child_text(child, "retest", catalogue)
    assert text.startswith("# Goes on from spring_voucher, whose decision was: retest.")
    assert "metric: spend_28d@1" in text
    assert experiment_from(parse_yaml(text), catalogue=catalogue) == child
    assert experiment_from(parse_yaml(child.to_yaml())) == child
