"""A thousand frozen ids: a change of any of their values would move customers between arms."""

import csv
from fractions import Fraction

import pyarrow as pa

from uplift.assignment.hashing import draw_arms, hash_units, hash_units_plain

SHARES = {arm: Fraction(1, 3) for arm in ("control", "a", "b")}


def test_a_thousand_frozen_ids_keep_their_values_and_arms(root):
    with (root / "tests" / "golden" / "hash_assignment.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1_000
    for salt in {row["salt"] for row in rows}:
        mine = [row for row in rows if row["salt"] == salt]
        units = [row["unit"] for row in mine]
        expected = [int(row["value"], 16) for row in mine]
        assert hash_units_plain(units, salt=salt).tolist() == expected
        many = hash_units(pa.array(units * 10), salt=salt)  # enough of them to be compiled
        assert many.tolist() == expected * 10
        arms = [list(SHARES)[i] for i in draw_arms(many[: len(units)], SHARES)]
        assert arms == [row["arm_of_thirds"] for row in mine]
