"""What one engine could not keep as it is, is refused before anything is written, on both."""

import pytest

from uplift.checks import blocked_by
from uplift.errors import DataError, StateError
from uplift.registry.bulk import INT_LIMIT
from uplift.registry.contents import find_row, insert_rows, put_row, update_row
from uplift.registry.tables import leases

ID = "hillstrom_email"
LEASE = {"name": "export", "holder": "me", "fencing": 1, "expires_at": "2026-01-01"}


OUT_OF_RANGE = (
    ("fencing", 2**63),
    ("fencing", -(2**63) - 1),
    ("fencing", "abc"),
    ("fencing", "7"),
    ("fencing", 1.5),
    ("fencing", True),
    ("fencing", None),
    ("holder", 7),
    ("holder", b"me"),
    ("holder", "a\0b"),
    ("holder", "\ud800"),
    ("colour", "red"),
)


def test_a_value_out_of_range_is_refused_before_the_write(sealed):
    for column, value in OUT_OF_RANGE:
        rows = [LEASE, {**LEASE, "name": "other", column: value}]
        with (
            pytest.raises(DataError, match=column) as error,
            sealed._database.write("lease") as connection,
        ):
            insert_rows(connection, leases, rows)
        assert (error.value.code, error.value.column) == ("VALUE_RANGE", column)
        with sealed._database.read() as connection:
            assert find_row(connection, leases, {"name": "export"}) is None


def test_the_largest_whole_numbers_are_kept(sealed):
    with sealed._database.write("lease") as connection:
        insert_rows(connection, leases, [{**LEASE, "fencing": -INT_LIMIT}])
        update_row(connection, leases, {"name": "export"}, {"fencing": INT_LIMIT - 1})
        with pytest.raises(DataError):
            update_row(connection, leases, {"name": "export"}, {"fencing": INT_LIMIT})
    with sealed._database.read() as connection:
        assert find_row(connection, leases, {"name": "export"})["fencing"] == INT_LIMIT - 1
    assert not blocked_by(sealed.verify())


@pytest.mark.parametrize("who", ["a\0b", "\udc80"])
def test_the_trail_holds_text_only(sealed, who):
    before = sealed.history().rows
    with pytest.raises(DataError) as error:
        sealed.audit(ID, "note", who=who)
    assert error.value.code == "VALUE_RANGE"
    assert sealed.history().rows == before


def test_a_row_is_put_once_and_then_changed(sealed):
    with sealed._database.write("lease") as connection:
        put_row(connection, leases, LEASE)
        put_row(connection, leases, {**LEASE, "fencing": 2, "holder": "you"})
        with pytest.raises(StateError, match="no row") as error:
            update_row(connection, leases, {"name": "another"}, {"fencing": 3})
    assert error.value.code == "ROW_UNKNOWN"
    with sealed._database.read() as connection:
        assert find_row(connection, leases, {"name": "export"})["holder"] == "you"
    assert not blocked_by(sealed.verify())
