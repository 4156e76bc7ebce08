"""Experiments are complete, unambiguous and known by their digest."""

from datetime import date, datetime
from fractions import Fraction

import pytest

from uplift.errors import DefinitionError
from uplift.experiment import Arm, experiment_from, load_experiment
from uplift.metrics import MetricCatalogue
from uplift.strict_yaml import parse_yaml

CATALOGUE = MetricCatalogue.from_document(
    parse_yaml(
        """
metrics:
  - name: spend_28d
    version: 1
    title: In four weeks
    window_days: 28
    column: spend
    unit: USD
    owner: crm
  - name: visit_28d
    version: 1
    title: In four weeks
    window_days: 28
    column: visit
    kind: proportion
    unit: share
    owner: crm
  - name: optout_28d
    version: 1
    title: In four weeks
    window_days: 28
    column: opted_out
    kind: proportion
    direction: down
    unit: share
    owner: care
"""
    )
)
TEXT = """
id: spring
title: Spring
kind: campaign_holdout
owner: crm
objective: profit
hypothesis: It pays.
audience: {description: Everyone}
arms:
  - {name: voucher, share: 0.9, channel: email, unit_cost: 0.05, redemption_cost: 2}
  - {name: control, share: 0.1}
metrics:
  primary: {metric: spend_28d@1, minimum_effect: 0.05}
  secondary:
    - {metric: visit_28d@1}
  guardrails:
    - {metric: optout_28d@1, margin: 0.01}
schedule: {starts_at: 2017-07-03T08:00:00, timezone: Europe/Paris, response_days: 28}
analysis: {decision_rule: Scale what is proven.}
money: {currency: EUR, value: spend, margin_rate: 0.3}
"""


def read(text: str = TEXT):
    return experiment_from(parse_yaml(text, name="experiment.yaml"), catalogue=CATALOGUE)


def test_control_comes_first_and_shares_are_exact():
    experiment = read()
    assert experiment.arm_names == ("control", "voucher")
    assert experiment.arms[0].share == Fraction(1, 10)
    assert experiment.shares == {"control": 0.1, "voucher": 0.9}


def test_the_start_is_local_time_and_the_window_closes_after_the_response_days():
    experiment = read()
    assert experiment.schedule.launch_at.isoformat() == "2017-07-03T06:00:00+00:00"
    assert (experiment.schedule.closes_at - experiment.schedule.launch_at).days == 28


@pytest.mark.parametrize(
    ("given", "in_utc"),
    [
        ("2017-07-31", "2017-07-30T22:00:00+00:00"),
        (date(2017, 7, 31), "2017-07-30T22:00:00+00:00"),
        ("2017-07-31T08:00", "2017-07-31T06:00:00+00:00"),
        (datetime(2017, 12, 31, 8), "2017-12-31T07:00:00+00:00"),
        ("2017-07-31T08:00Z", "2017-07-31T08:00:00+00:00"),
    ],
)
def test_a_time_without_a_zone_is_in_the_zone_of_the_schedule(given, in_utc):
    assert read().schedule.moment(given).isoformat() == in_utc


def test_economics_takes_the_costs_of_the_arms():
    economics = read().economics
    assert economics.contact_cost == {"control": 0.0, "voucher": 0.05}
    assert economics.redemption_cost["voucher"] == 2


def test_outcome_columns_are_those_of_metrics_and_money_once():
    assert read().outcome_columns == ("spend", "visit", "opted_out")


def test_yaml_round_trip_gives_an_equal_definition():
    experiment = read()
    again = experiment_from(parse_yaml(experiment.to_yaml()))
    assert again == experiment
    assert again.digest == experiment.digest


def test_the_digest_notices_any_change_also_of_a_cited_metric():
    changed_share = read(TEXT.replace("0.9", "0.8").replace("0.1}", "0.2}"))
    other = parse_yaml(
        "metrics:\n- {name: spend_28d, version: 1, title: In four weeks, column: spend, unit: EUR, "
        "window_days: 28, owner: crm}"
    )
    others = MetricCatalogue((*MetricCatalogue.from_document(other), *CATALOGUE.metrics[1:]))
    changed_metric = experiment_from(parse_yaml(TEXT), catalogue=others)
    assert len({read().digest, changed_share.digest, changed_metric.digest}) == 3


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("share: 0.9", "share: 0.89", "WEIGHTS_INVALID", "add up to exactly 1"),
        ("share: 0.9", "share: -0.9", "WEIGHTS_INVALID", "between 0 and 1"),
        ("share: 0.9", "share: .nan", "WEIGHTS_INVALID", "fraction"),
        ("share: 0.9", "share: many", "WEIGHTS_INVALID", "fraction"),
        ("share: 0.1}", "share: 0}", "HOLDOUT_EMPTY", "share 0"),
        ("name: control", "name: keep", "ARM_MISSING", "must be called 'control'"),
        ("name: voucher", "name: control", "ARM_DUPLICATE", "same name"),
        ("name: voucher", "name: 'Voucher '", "NAME_INVALID", "lower-case"),
        ("id: spring", "id: ../../etc/x", "NAME_INVALID", "lower-case"),
        ("id: spring", 'id: "spring\\n"', "NAME_INVALID", "lower-case"),
        ("id: spring", 'id: "x\'; DROP TABLE t;--"', "NAME_INVALID", "lower-case"),
        ("id: spring", "id: <script>alert(1)</script>", "NAME_INVALID", "lower-case"),
        ("unit_cost: 0.05", "unit_cost: -1", "COST_INVALID", "0 or more"),
        ("unit_cost: 0.05", "unit_cost: .nan", "COST_INVALID", "0 or more"),
        ("spend_28d@1", "spend_28d@9", "METRIC_UNKNOWN", "no metric 'spend_28d@9'"),
        (", margin: 0.01", "", "GUARDRAIL_MARGIN", "needs a margin"),
        ("visit_28d@1", "spend_28d@1", "METRIC_DUPLICATE", "one role only"),
        ("Europe/Paris", "Europe/Pari", "TIME_ZONE", "IANA"),
        ("2017-07-03T08:00:00", "2017-03-26T02:30:00", "TIME_AMBIGUOUS", "clock change"),
        ("2017-07-03T08:00:00", "2017-10-29T02:30:00", "TIME_AMBIGUOUS", "clock change"),
        ("response_days: 28", "response_days: 0", "DEFINITION_INVALID", "response_days"),
        ("response_days: 28", "response_days: 14", "WINDOW_TOO_SHORT", "needs 28 days"),
        ("timezone: Europe/Paris, ", "", "TIME_NAIVE", "timezone"),
        ("hypothesis: It pays.", "note: x", "DEFINITION_INVALID", "hypothesis"),
        ("owner: crm\n", "owner: crm\nbudget: 3\n", "DEFINITION_INVALID", "budget"),
    ],
)
def test_a_definition_that_is_wrong_is_refused_with_code_file_and_line(old, new, code, said):
    assert old in TEXT
    with pytest.raises(DefinitionError, match=said) as error:
        read(TEXT.replace(old, new, 1))
    assert error.value.code == code
    assert str(error.value).startswith("experiment.yaml, line ")


def test_definitions_made_in_python_give_the_same_errors():
    with pytest.raises(DefinitionError, match="cost must be 0 or more") as error:
        Arm(name="voucher", share=0.5, unit_cost=-1)
    assert error.value.code == "COST_INVALID"


def test_two_metrics_with_one_key_are_refused():
    text = (
        "metrics:\n"
        + "- {name: a, version: 1, title: A, column: a, unit: x, window_days: 1, owner: o}\n" * 2
    )
    with pytest.raises(DefinitionError, match="line 3: metric a@1") as error:
        MetricCatalogue.from_document(parse_yaml(text))
    assert error.value.code == "METRIC_DUPLICATE"


@pytest.mark.parametrize("name", ["hillstrom_email", "spring_voucher", "universal_control"])
def test_the_definitions_that_are_shipped_are_valid(root, name):
    experiment = load_experiment(root / "experiments" / name)
    assert experiment.id == name
    assert sum(experiment.shares.values()) == pytest.approx(1)


def test_the_folder_and_the_id_must_agree(tmp_path):
    (tmp_path / "autumn").mkdir()
    (tmp_path / "autumn" / "experiment.yaml").write_text(read().to_yaml())
    with pytest.raises(DefinitionError, match="same name") as error:
        load_experiment(tmp_path / "autumn")
    assert error.value.code == "NAME_MISMATCH"


FACTORIAL = TEXT.replace("kind: campaign_holdout", "kind: factorial").replace(
    """  - {name: voucher, share: 0.9, channel: email, unit_cost: 0.05, redemption_cost: 2}
  - {name: control, share: 0.1}
""",
    """  - {name: both, share: 1/4, levels: {offer: voucher, channel: email}}
  - {name: control, share: 1/4, levels: {offer: none, channel: none}}
  - {name: only_email, share: 1/4, levels: {offer: none, channel: email}}
  - {name: only_voucher, share: 1/4, levels: {offer: voucher, channel: none}}
factors:
  - {name: offer, levels: [none, voucher]}
  - {name: channel, levels: [none, email]}
""",
)


def test_a_factorial_experiment_has_an_arm_for_every_combination():
    experiment = read(FACTORIAL)
    assert experiment.arms[0].levels == {"offer": "none", "channel": "none"}
    assert len(experiment.arms) == 4


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("offer: voucher, channel: none", "offer: voucher, channel: email", "FACTORIAL_INCOMPLETE"),
        ("{offer: none, channel: none}", "{}", "FACTORIAL_INCOMPLETE"),
        ("levels: [none, voucher]", "levels: [voucher, none]", "FACTORIAL_INCOMPLETE"),
        ("kind: factorial", "kind: ab_test", "KIND_MISMATCH"),
    ],
)
def test_a_factorial_experiment_with_a_hole_is_refused(old, new, code):
    with pytest.raises(DefinitionError) as caught:
        read(FACTORIAL.replace(old, new))
    assert caught.value.code == code


def test_a_stated_default_leaves_the_digest_as_it_is():
    stated = TEXT + "assignment: {method: hash, exposure_share: 1}\nfactors: []\n"
    assert read(stated).digest == read().digest


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("assignment: {method: rerandomised}", "BALANCE_MISSING"),
        ("assignment: {strata: [region]}", "STRATA_UNUSED"),
        ("assignment: {layer: {name: spring, start: 0.5, end: 0.5}}", "LAYER_EMPTY"),
        ("rotation: {cohorts: 4, every_days: 91}", "KIND_MISMATCH"),
    ],
)
def test_a_draw_that_contradicts_itself_is_refused(part, code):
    with pytest.raises(DefinitionError) as caught:
        read(f"{TEXT}\n{part}\n")
    assert caught.value.code == code
