"""Experiments that run at the same time are known; those of one layer never share a unit."""

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.assignment.assign import assign
from uplift.assignment.hashing import hash_units, inside
from uplift.datasets.journey import complete_journey
from uplift.errors import DataError, DefinitionError
from uplift.experiment import Experiment, load_experiment
from uplift.registry.calendar import calendar_of
from uplift.registry.overlap import (
    circle_of,
    overlap_of,
    overlaps_among,
    require_no_conflict,
)
from uplift.registry.registry import Registry
from uplift.table import to_plain

VOUCHER = to_plain(load_experiment("experiments/spring_voucher"))
for planned in (
    VOUCHER["metrics"]["primary"],
    *VOUCHER["metrics"]["secondary"],
    *VOUCHER["metrics"]["guardrails"],
):
    planned["metric"]["window_days"] = 1  # so that an experiment may be as short as a day


def experiment(id_, *, starts="2017-07-03T08:00", days=28, cluster=None, **assignment):
    schedule = {"starts_at": starts, "timezone": "UTC", "response_days": days}
    fields = {"id": id_, "schedule": schedule, "assignment": assignment, "cluster": cluster}
    return Experiment(**{**VOUCHER, **fields})


def in_layer(id_, start, end, by=None, **fields):
    layer = {"name": "spring", "start": start, "end": end, "by": by}
    return experiment(id_, layer=layer, **fields)


def promise(one):
    return SimpleNamespace(to_json=lambda: json.dumps({"digest": one.digest}))


def test_the_campaigns_of_complete_journey_overlap_in_65_of_351_pairs():
    campaigns = complete_journey(["campaign_descriptions"]).frame("campaign_descriptions")
    runs = [
        experiment(f"campaign_{i}", starts=f"{row.start_date:%Y-%m-%d}", days=days)
        for i, row in enumerate(campaigns.itertuples())
        for days in [(row.end_date - row.start_date).days + 1]
    ]
    assert len(list(itertools.combinations(runs, 2))) == 351
    assert len(overlaps_among(runs).pairs) == 65


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(1, 90)), min_size=2, max_size=8, unique=True
    )
)
def test_pairs_are_those_that_share_a_moment(spans):
    origin = datetime(2017, 1, 1, tzinfo=UTC)
    runs = [
        experiment(f"e{i}", starts=(origin + timedelta(days=start)).isoformat(), days=days)
        for i, (start, days) in enumerate(spans)
    ]
    hours = [set(range(24 * start, 24 * (start + days))) for start, days in spans]
    shared = {
        frozenset((f"e{i}", f"e{j}"))
        for i, j in itertools.combinations(range(len(spans)), 2)
        if hours[i] & hours[j]
    }
    assert {frozenset((p.first, p.second)) for p in overlaps_among(runs).pairs} == shared


@pytest.mark.parametrize(
    ("other", "relation"),
    [
        (in_layer("b", "1/2", "1"), "apart"),
        (in_layer("b", "0.4", "1"), "conflict"),
        (experiment("b"), "independent"),
        (experiment("b", excludes=["a"]), "leaves out"),
    ],
)
def test_a_pair_is_apart_independent_or_in_conflict(other, relation):
    assert overlap_of(in_layer("a", "0", "1/2"), other).relation == relation


N = 400
CUSTOMERS = pd.DataFrame(
    {
        "unit": [f"c{i:04d}" for i in range(N)],
        "household": [f"h{i // 2:04d}" for i in range(N)],
        "store": [f"s{i // 20:02d}" for i in range(N)],  # a household has one store
        "n_baskets_182d": 3,
    }
)
COARSER = {None: (None, "household", "store"), "household": (None, "store"), "store": (None,)}
drawn_by = st.sampled_from([(c, by) for c, columns in COARSER.items() for by in columns])
parts = st.lists(st.fractions(0, 1, max_denominator=12), min_size=2, max_size=2, unique=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(drawn_by, parts), min_size=2, max_size=4))
def test_experiments_of_a_layer_that_may_run_together_share_no_unit(plans):
    """Whatever each of them randomises: customers, households or stores."""
    sealed, drawn = [], []
    for i, ((cluster, by), part) in enumerate(plans):
        one = in_layer(f"e{i}", *map(str, sorted(part)), by=by, cluster=cluster)
        if any(overlap_of(one, other).relation == "conflict" for other in sealed):
            with pytest.raises(DefinitionError, match="part of the layer"):
                require_no_conflict(one, sealed)
            continue
        require_no_conflict(one, sealed)
        sealed.append(one)
        table = assign(one, CUSTOMERS)
        drawn += table["unit"].tolist()
        if cluster:  # taken whole
            taken = CUSTOMERS.loc[CUSTOMERS["unit"].isin(table["unit"]), cluster]
            assert len(table) == CUSTOMERS[cluster].isin(taken).sum()
    assert len(drawn) == len(set(drawn))


def test_parts_that_do_not_meet_share_customers_when_each_is_drawn_by_an_id_of_its_own():
    """The wrong variant, which sealing refuses: shown so that the test above can fail."""
    half = Fraction(1, 2)
    by_unit = inside(hash_units(CUSTOMERS["unit"], salt="spring:layer:1"), Fraction(0), half)
    by_home = inside(hash_units(CUSTOMERS["household"], salt="spring:layer:1"), half, Fraction(1))
    assert np.sum(by_unit & by_home) > N / 8


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((None, None), ("household", None), "Choose another layer"),
        (("household", None), (None, None), "Write by: household in its layer"),
        ((None, "store"), ("household", None), "Write by: store in its layer"),
    ],
)
def test_parts_drawn_by_different_ids_are_a_conflict_with_its_reason(tmp_path, first, second, said):
    registry = Registry(tmp_path)
    a, b = (
        in_layer(name, *part, by=by, cluster=cluster)
        for name, part, (cluster, by) in (("a", ("0", "1/2"), first), ("b", ("1/2", "1"), second))
    )
    registry.seal(a, promise(a))
    with pytest.raises(DefinitionError, match=f"so customers could be in both. {said}") as caught:
        registry.seal(b, promise(b))
    assert caught.value.code == "LAYER_CONFLICT"
    later = in_layer("b", "1/2", "1", by=second[1], cluster=second[0], starts="2017-09-03T08:00")
    registry.seal(later, promise(later))


def test_a_layer_that_would_cut_a_household_apart_is_refused():
    one = in_layer("a", "0", "1/2", by="store", cluster="household")
    moved = CUSTOMERS.assign(store=CUSTOMERS["store"].where(CUSTOMERS.index != 7, "s19"))
    with pytest.raises(
        DataError, match=r"1 household\(s\) have members of several stores"
    ) as caught:
        assign(one, moved)
    assert (caught.value.code, caught.value.count) == ("LAYER_CUTS_CLUSTER", 1)
    with pytest.raises(DataError, match="'store'") as missing:
        assign(one, CUSTOMERS.drop(columns="store"))
    assert missing.value.code == "COLUMN_MISSING"
    with pytest.raises(DefinitionError, match="cut clusters apart") as by_unit:
        in_layer("a", "0", "1/2", by="unit", cluster="household")
    assert by_unit.value.code == "LAYER_BY_UNIT"


def test_a_conflict_is_refused_at_sealing_and_another_overlap_is_recorded(tmp_path):
    registry = Registry(tmp_path)
    first = in_layer("first", "0", "1/2")
    registry.seal(first, promise(first))
    clash = in_layer("clash", "0.4", "0.6")
    with pytest.raises(DefinitionError, match=r"meets that of first \(2017-07-03 to") as caught:
        registry.seal(clash, promise(clash))
    assert caught.value.code == "LAYER_CONFLICT"
    later = in_layer("clash", "0.4", "0.6", starts="2017-09-03T08:00")
    registry.seal(later, promise(later))
    beside = experiment("beside")
    registry.seal(beside, promise(beside))
    (row,) = [row for row in registry.history("beside").rows if row.action == "seal"]
    assert [pair["second"] for pair in row.payload["overlaps"]] == ["first"]
    assert [(p.first, p.second) for p in registry.overlaps().pairs] == [("beside", "first")]


def test_the_calendar_shows_every_wave_in_its_weeks():
    waves = [
        {"name": "one", "starts_at": "2017-07-03", "response_days": 28},
        {"name": "two", "starts_at": "2017-07-31"},
    ]
    schedule = {"starts_at": "2017-07-03", "timezone": "UTC", "response_days": 28, "waves": waves}
    run = Experiment(**{**VOUCHER, "schedule": schedule})
    calendar = calendar_of([(run, "live")])
    assert [row[-1] for row in calendar.table().rows] == ["█████····", "····█████"]
    july = calendar_of([(run, "live")], last=date(2017, 7, 30))
    assert [row.wave for row in july.rows] == ["one"]


def test_shared_units_are_counted_and_a_broken_layer_is_found(tmp_path):
    registry = Registry(tmp_path)
    for one, units in (
        (in_layer("first", "0", "1/2"), ["a", "b", "c"]),
        (in_layer("second", "1/2", "1"), ["c", "d"]),
        (experiment("third"), ["a", "d", "e"]),
        (experiment("fourth"), None),
    ):
        registry.seal(one, promise(one))
        if units:
            path = tmp_path / one.id / "assignment.parquet"
            path.parent.mkdir()
            pd.DataFrame({"unit": units}).to_parquet(path)
            registry.advance(one.id, "assigned", artefacts={"assign": path})
    found = registry.overlaps(count_units=True)
    shared = {frozenset((p.first, p.second)): p.n_shared for p in found.pairs}
    assert shared == {
        frozenset(("first", "second")): 1,
        frozenset(("first", "third")): 1,
        frozenset(("second", "third")): 1,
        frozenset(("first", "fourth")): None,
        frozenset(("second", "fourth")): None,
        frozenset(("third", "fourth")): None,
    }
    (broken,) = found.checks
    assert (broken.passed, broken.code, broken.value) == (False, "LAYER_BROKEN", 1)
    assert all(pair.n_shared is None for pair in registry.overlaps().pairs)


@pytest.mark.parametrize("path", [["a"], ["b", "a"], ["b", "c", "a"]])
def test_experiments_that_leave_out_each_other_in_a_circle_are_refused(tmp_path, path):
    registry = Registry(tmp_path)
    for name, excluded in itertools.pairwise(path):
        one = experiment(name, excludes=[excluded])
        registry.seal(one, promise(one))
    last = experiment("a", excludes=[path[0]])
    with pytest.raises(DefinitionError, match="none can be drawn first") as caught:
        registry.seal(last, promise(last))
    assert caught.value.code == "EXCLUDES_CYCLE"
    assert caught.value.count == len(path)


def test_a_circle_that_does_not_hold_the_experiment_ends_the_search(tmp_path):
    others = [experiment("b", excludes=["c"]), experiment("c", excludes=["b"])]
    assert circle_of(experiment("a", excludes=["b"]), others) == ()
