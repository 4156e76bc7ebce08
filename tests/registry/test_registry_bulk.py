"""Rows written many at once are the rows, and have the digest, of the plain way one by one."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.checks import blocked_by
from uplift.errors import DataError, StateError
from uplift.registry import bulk
from uplift.registry.bulk import Same, ready_rows, total_of
from uplift.registry.contents import insert_ready, insert_rows
from uplift.registry.tables import control_cohorts, export_lines, leases

texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=9)
START = "2024-01-01T00:00:00.000000+00:00"


def plain_digest(table, row):
    """The digest of one row as it was defined: SHA-256 of a JSON list."""
    text = json.dumps([table.name, *row], ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(texts, st.integers(-(2**63), 2**63 - 1), texts), max_size=7),
    texts,
    st.integers(1, 3),
)
def test_the_total_of_columns_is_the_sum_of_rows(rows, shared, chunk_rows):
    names, numbers, ends = (
        (list(column) for column in zip(*rows, strict=True)) if rows else 3 * [[]]
    )
    values = {"name": names, "holder": Same(shared), "fencing": numbers, "expires_at": ends}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "CHUNK_ROWS", chunk_rows)
        made = ready_rows(leases, len(rows), values)
    wanted = [plain_digest(leases, (name, shared, n, end)) for name, n, end in rows]
    assert made.total == sum(wanted)


def test_values_in_each_others_columns_or_rows_give_another_total():
    """The wrong variants: shown so that the test above is known to be able to fail."""
    right = [["a", "b"], Same("x"), [1, 2], ["c", "d"]]
    for wrong in (
        [["c", "d"], Same("x"), [1, 2], ["a", "b"]],
        [["a", "b"], Same("x"), [2, 1], ["c", "d"]],
        [["a", "b"], Same("y"), [1, 2], ["c", "d"]],
    ):
        assert total_of(leases, wrong, 2) != total_of(leases, right, 2)
    assert total_of(leases, [["b", "a"], Same("x"), [2, 1], ["d", "c"]], 2) == total_of(
        leases, right, 2
    )


def cohorts(*names, n_units=1):
    return {
        "programme": Same("p"),
        "cohort": list(names),
        "batch": Same("b"),
        "n_units": Same(n_units),
        "from_at": Same(START),
    }


ODD = ("a", "b'c", 'q"x', "Ünï", "客户7", "🛒", "a\\b", "%s", "{x}", "NULL", "t\ttab")


def test_what_is_written_is_what_was_made_ready_and_verifies(sealed, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 4)
    with sealed._database.write("fill") as connection:
        assert insert_ready(connection, ready_rows(control_cohorts, len(ODD), cohorts(*ODD))) == 11
        assert insert_ready(connection, ready_rows(control_cohorts, 0, cohorts())) == 0
        row = {"programme": "p", "cohort": "z", "batch": "b", "n_units": 2, "from_at": START}
        assert insert_rows(connection, control_cohorts, [row]) == 1
    assert not blocked_by(sealed.verify())
    with sealed._database.read() as connection:
        found = connection.execute(control_cohorts.select()).all()
    expected = {("p", name, "b", 1, START, None) for name in ODD}
    assert set(map(tuple, found)) == expected | {("p", "z", "b", 2, START, None)}


def test_a_key_that_is_there_already_is_refused_whole(sealed):
    with pytest.raises(StateError) as caught, sealed._database.write("fill") as connection:
        insert_ready(connection, ready_rows(control_cohorts, 3, cohorts("a", "b", "a")))
    assert caught.value.code == "ROW_REFUSED"
    with sealed._database.read() as connection:
        assert not connection.execute(control_cohorts.select()).all()


@pytest.mark.parametrize("bad", [7, None, "a\0", "\ud800", b"x", True])
def test_one_bad_value_among_many_is_refused_before_the_transaction(bad):
    with pytest.raises(DataError, match="cohort") as caught:
        ready_rows(control_cohorts, 3, cohorts("a", bad, "c"))
    assert (caught.value.code, caught.value.column) == ("VALUE_RANGE", "cohort")
    with pytest.raises(DataError, match="colour"):
        ready_rows(export_lines, 1, {"colour": Same("red")})
