"""A rotating universal control: who is held out when, whom to compare with, and without bias."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.assignment.hashing import hash_units_plain
from uplift.assignment.universal import (
    Turn,
    comparison_by_cohort,
    comparison_on,
    draw_cohort,
    draws_at_start,
    members_of,
    members_on,
    no_members,
    washing_on,
)
from uplift.errors import DataError, DefinitionError

START = datetime(2024, 1, 1, 8, tzinfo=UTC)
QUARTER = timedelta(days=91)


def customers(n: int, *, first: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"unit": [f"u{i}" for i in range(first, first + n)]})


class Control:
    """A rotating control, kept in memory as the registry keeps it."""

    def __init__(self, *, cohorts: int, size: int, washout_days: int = 60, salt: str = "programme"):
        self.cohorts, self.size, self.washout_days, self.salt = cohorts, size, washout_days, salt
        self.members, self.draws = no_members(), {}

    def start(self, table, at=START, *, cluster=None):
        drawn = draws_at_start(
            table,
            cohorts=self.cohorts,
            size=self.size,
            salt=self.salt,
            at=at,
            cluster=cluster,
        )
        for draw in drawn:
            self._join(draw, at)
        return self

    def rotate(self, table, at, *, cluster=None):
        oldest = members_on(self.members, at)["cohort"].min()
        leaving = (self.members["cohort"] == oldest).to_numpy()
        self.members.loc[leaving, "until_at"] = pd.Timestamp(at)
        turn = Turn(self.members, self.draws, at, self.washout_days)
        number = max(self.draws) + 1
        draw = draw_cohort(
            table, turn, number=number, size=self.size, salt=self.salt, cluster=cluster
        )
        self._join(draw, at)
        return draw

    def compare(self, at, **options):
        options.setdefault("washout_days", self.washout_days)
        return comparison_on(self.members, self.draws, at, **options)

    def _join(self, draw, at):
        joined = members_of(draw, at)
        self.draws[int(draw["cohort"].iloc[0])] = draw
        parts = [self.members, joined] if len(self.members) else [joined]
        self.members = pd.concat(parts, ignore_index=True)


def test_cohorts_are_equally_large_apart_and_the_oldest_goes_first():
    table = customers(2_000)
    control = Control(cohorts=4, size=25).start(table)
    held = members_on(control.members, START)
    assert held["unit"].is_unique
    assert held["cohort"].value_counts().to_dict() == {1: 25, 2: 25, 3: 25, 4: 25}
    for turn in range(1, 9):
        at = START + turn * QUARTER
        control.rotate(table, at)
        held = members_on(control.members, at)
        assert sorted(set(held["cohort"])) == list(range(turn + 1, turn + 5))
        assert len(held) == 100
    assert control.members["unit"].is_unique  # nobody twice while others were never in
    assert len(members_on(control.members, START - timedelta(days=1))) == 0
    assert set(members_on(control.members, START + QUARTER / 2)["cohort"]) == {1, 2, 3, 4}


def test_a_draw_takes_the_smallest_hashes_of_its_own_salt():
    table = customers(500)
    draw = Control(cohorts=1, size=40).start(table).draws[1]
    values = hash_units_plain(table["unit"], salt="programme:holdout:cohort1:1")
    smallest = set(table["unit"].to_numpy()[np.argsort(values)[:40]])
    assert set(draw.loc[draw["drawn"], "unit"]) == smallest
    shuffled = table.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(Control(cohorts=1, size=40).start(shuffled).draws[1], draw)


def test_former_members_are_drawn_again_only_after_wash_out_and_when_few_others_are_left():
    table = customers(200)
    control = Control(cohorts=2, size=20, washout_days=100).start(table)
    for turn in range(1, 30):
        at = START + turn * QUARTER
        barred = set(members_on(control.members, at)["unit"]) | set(
            washing_on(control.members, at, washout_days=100)["unit"]
        )
        # the cohort that is let go now goes into wash-out now
        draw = control.rotate(table, at)
        assert not barred & set(draw.loc[draw["drawn"], "unit"])
        ever = set(control.members.loc[control.members["cohort"] < turn + 2, "unit"])
        if 200 - len(ever) >= 4 * 20:
            assert not ever & set(draw["unit"])
    assert control.members["unit"].duplicated().any()


def test_members_wash_out_before_they_are_compared():
    table = customers(1_000)
    control = Control(cohorts=2, size=50, washout_days=60).start(table)
    at = START + QUARTER
    control.rotate(table, at)
    released = set(control.members.loc[control.members["cohort"] == 1, "unit"])
    washing = washing_on(control.members, at + timedelta(days=59), washout_days=60)
    assert set(washing["unit"]) == released
    assert washing_on(control.members, at + timedelta(days=60), washout_days=60).empty
    compared = control.compare(at + timedelta(days=10))
    assert not released & set(compared["unit"])
    assert set(compared.loc[compared["arm"] == "control", "unit"]) == set(
        members_on(control.members, at)["unit"]
    )


def test_a_new_cohort_counts_only_when_it_has_settled():
    table = customers(1_000)
    control = Control(cohorts=2, size=50).start(table)
    at = START + QUARTER
    control.rotate(table, at)
    newest = set(control.members.loc[control.members["cohort"] == 3, "unit"])
    early = control.compare(at + timedelta(days=20), settle_days=28)
    assert not newest & set(early["unit"])  # neither control yet nor contacted
    late = control.compare(at + timedelta(days=28), settle_days=28)
    assert newest <= set(late.loc[late["arm"] == "control", "unit"])
    with pytest.raises(DataError) as caught:
        control.compare(START - timedelta(days=1))
    assert caught.value.code == "CONTROL_EMPTY"


def test_households_are_held_out_whole_and_counted_as_one():
    table = customers(1_200).assign(household=[f"h{i // 3}" for i in range(1_200)])
    control = Control(cohorts=3, size=10).start(table, cluster="household")
    for turn in range(1, 6):
        control.rotate(table, START + turn * QUARTER, cluster="household")
    members = control.members.merge(table, on="unit")
    per_household = members.groupby(["cohort", "household"])["unit"].nunique()
    assert (per_household == 3).all()
    assert members.groupby("cohort")["household"].nunique().eq(10).all()
    compared = control.compare(START + 5 * QUARTER)
    assert compared.groupby("cluster")["arm"].nunique().eq(1).all()


def test_somebody_who_joins_a_household_that_is_held_out_is_not_drawn_for_the_next_cohort():
    table = customers(400).assign(household=[f"h{i // 2}" for i in range(400)])
    control = Control(cohorts=2, size=10).start(table, cluster="household")
    held = control.draws[2].loc[control.draws[2]["drawn"], "cluster"].iloc[0]
    newcomer = pd.DataFrame({"unit": ["new"], "household": [held]})
    draw = control.rotate(
        pd.concat([table, newcomer], ignore_index=True), START + QUARTER, cluster="household"
    )
    assert "new" not in set(draw["unit"])


@pytest.mark.parametrize(
    ("number", "size", "code"), [(2, 5, "COHORT_ORDER"), (1, 0, "COHORT_ORDER")]
)
def test_cohorts_are_drawn_one_after_another(number, size, code):
    turn = Turn(no_members(), {}, START, 60)
    with pytest.raises(DefinitionError) as caught:
        draw_cohort(customers(50), turn, number=number, size=size, salt="programme")
    assert caught.value.code == code


def test_a_control_that_leaves_nobody_to_compare_with_is_refused():
    with pytest.raises(DataError) as caught:
        Control(cohorts=1, size=50).start(customers(50))
    assert caught.value.code == "POOL_TOO_SMALL"
    with pytest.raises(DataError) as caught:
        comparison_on(
            Control(cohorts=1, size=5).start(customers(50)).members, {}, START, washout_days=0
        )
    assert caught.value.code == "DRAW_MISSING"


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(60, 150),
    cohorts=st.integers(1, 3),
    size=st.integers(1, 6),
    washout=st.sampled_from([0, 40, 200]),
    turns=st.integers(0, 6),
)
def test_whatever_the_plan_each_unit_is_in_one_arm_and_weights_add_up(
    n, cohorts, size, washout, turns
):
    table = customers(n)
    control = Control(cohorts=cohorts, size=size, washout_days=washout).start(table)
    for turn in range(1, turns + 1):
        control.rotate(table, START + turn * QUARTER)
    at = START + turns * QUARTER + timedelta(days=5)
    compared = control.compare(at)
    assert compared["unit"].is_unique
    assert compared.groupby("arm")["weight"].sum().to_numpy() == pytest.approx([1.0, 1.0])
    assert (compared["weight"] > 0).all()
    held = set(members_on(control.members, at)["unit"])
    assert set(compared.loc[compared["arm"] == "control", "unit"]) == held
    assert len(held) == cohorts * size


@pytest.mark.slow
@pytest.mark.parametrize("salts", [300])
def test_weights_undo_what_earlier_and_later_draws_took_away(salts):
    """Over many salts every unit has the same expected weight in both arms, old or new."""
    total = {"control": np.zeros(60), "programme": np.zeros(60)}
    plain = np.zeros(60)
    table = customers(60)
    old = table.iloc[:40]
    for salt in range(salts):
        control = Control(cohorts=2, size=4, washout_days=100, salt=f"s{salt}").start(old)
        for turn in range(1, 5):  # the last twenty come after the second rotation
            control.rotate(old if turn < 3 else table, START + turn * QUARTER)
        at = START + 4 * QUARTER
        parts = comparison_by_cohort(control.members, control.draws, at, washout_days=100)
        _, part = next(iter(parts))  # of the older cohort: later draws thin its comparison
        place = part["unit"].str[1:].astype(int).to_numpy()
        for arm, sums in total.items():
            rows = (part["arm"] == arm).to_numpy()
            np.add.at(sums, place[rows], part["weight"].to_numpy()[rows])
        rows = (part["arm"] == "programme").to_numpy()
        np.add.at(plain, place[rows], 1 / rows.sum())
    fair = 1 / 60  # everybody was eligible at that cohort's draw
    spread = {arm: sums[:40].mean() / salts for arm, sums in total.items()}
    assert spread["programme"] == pytest.approx(fair, rel=0.03)
    assert spread["control"] == pytest.approx(fair, rel=0.15)
    assert plain[:40].mean() / salts < 0.93 * fair  # without weights the old count too little


@dataclass(frozen=True)
class TwoYears:
    """A customer base over nine quarters: who comes, who leaves, what each spends on each path.

    Contacts bring `gain`, and make some leave who would have stayed. Those held out forget the
    brand a little more every quarter. Newcomers spend less and are won more easily; everybody's
    gain grows. So what was true of the customers of the first day is not true of those of today.
    """

    entered: np.ndarray  # (n_units,) quarter
    chance: np.ndarray  # (n_units, n_quarters) one draw of fate per unit and quarter
    base: np.ndarray
    gain: np.ndarray
    noise: np.ndarray

    LAST = 8

    @classmethod
    def drawn(cls, rng, *, n_first=2_000, n_each=150):
        entered = np.concatenate([np.zeros(n_first), np.repeat(np.arange(1, 9), n_each)])
        n = len(entered)
        late = entered > 0
        base = rng.gamma(4, np.where(late, 3.0, 5.0))
        gain = rng.gamma(4, np.where(late, 0.9, 0.4))
        chance, noise = rng.random((n, cls.LAST + 1)), rng.normal(0, 2, n)
        return cls(entered.astype(int), chance, base, gain, noise)

    def alive(self, held_from, *, quarter):
        """Whether each is a customer at the start of a quarter; fate is shared by the paths."""
        quarters = np.arange(self.LAST + 1)
        contacted = quarters < np.asarray(held_from).reshape(-1, 1)
        leaves = self.chance < 0.03 + np.where(self.base[:, None] < 12, 0.06, 0.01) * contacted
        here = (quarters >= self.entered[:, None]) & (quarters < quarter)
        return (self.entered <= quarter) & ~(leaves & here).any(axis=1)

    def spend(self, held_from):
        """Outcome of the last quarter when held out from a quarter on; 9 is never."""
        held_from = np.broadcast_to(held_from, self.base.shape)
        forgotten = 0.06 * np.maximum(self.LAST - np.maximum(held_from, self.entered) + 1, 0)
        contacted = held_from > self.LAST
        spent = self.base * (1 - forgotten) + 1.6 * self.gain * contacted + self.noise
        return spent * self.alive(held_from, quarter=self.LAST)

    def effect(self, quarters):
        """The truth: of being contacted rather than held out since, for those eligible then."""
        never, found = self.spend(9), []
        for quarter in quarters:
            eligible = self.alive(9, quarter=quarter)
            found.append((never - self.spend(quarter))[eligible].mean())
        return float(np.mean(found))


def read_programme(world: TwoYears, *, salt: str) -> dict[str, float]:
    """Errors of several readings of one base in the last quarter."""
    ids = np.array([f"u{i}" for i in range(len(world.base))])
    control = Control(cohorts=4, size=50, salt=salt)
    held_from = np.full(len(ids), 9)  # of the present members
    ever = np.zeros(len(ids), dtype=bool)
    for quarter in range(world.LAST + 1):
        at = START + quarter * QUARTER
        table = pd.DataFrame({"unit": ids[world.alive(9, quarter=quarter)]})
        if quarter == 0:
            control.start(table, at)
            first = np.isin(ids, control.members["unit"])
        else:
            control.rotate(table, at)
        drawn = control.draws[max(control.draws)]
        new = np.isin(ids, drawn.loc[drawn["drawn"], "unit"])
        held_from[new], ever = quarter, ever | new
    now = START + world.LAST * QUARTER + timedelta(days=30)
    held = np.isin(ids, members_on(control.members, now)["unit"])
    spend = np.where(held, world.spend(held_from), world.spend(9))
    compared = control.compare(now)
    place = compared["unit"].str[1:].astype(int).to_numpy()
    sign = np.where(compared["arm"] == "programme", 1, -1)
    truth = world.effect((5, 6, 7, 8))
    here = world.alive(np.where(held, held_from, 9), quarter=world.LAST)
    still = world.alive(0, quarter=world.LAST) & first
    others = world.alive(9, quarter=world.LAST) & ~first
    old = world.entered == 0
    return {
        "rotating": float((sign * compared["weight"] * spend[place]).sum()) - truth,
        "rotating, those still there": spend[here & ~held].mean()
        - spend[here & held].mean()
        - truth,
        "static": world.spend(9)[others].mean() - world.spend(0)[still].mean() - truth,
        "static, same draw": world.spend(9)[old & ~first].mean()
        - world.spend(0)[first].mean()
        - truth,
    }


def biases(n_worlds: int, *, seed: int) -> dict[str, float]:
    """Mean error of each reading over many worlds, in standard errors of that mean."""
    rng = np.random.default_rng(seed)
    errors = pd.DataFrame(
        [read_programme(TwoYears.drawn(rng), salt=f"s{seed}w{i}") for i in range(n_worlds)]
    )
    return (errors.mean() / (errors.std() / np.sqrt(n_worlds))).to_dict()


@pytest.mark.parametrize("n_worlds", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_after_two_years_of_drift_a_rotating_control_is_unbiased_and_a_static_one_is_not(n_worlds):
    found = biases(n_worlds, seed=11)
    assert abs(found["rotating"]) < 4
    assert abs(found["static"]) > 4
    assert abs(found["static, same draw"]) > 4
    if n_worlds > 100:  # leaving out who has left hides that contacts made them leave
        assert abs(found["rotating, those still there"]) > 4
