"""A suppression list that cannot be trusted stops the export."""

import hmac
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.export.conftest import AT, ID, customers, make_project
from uplift.errors import DataError
from uplift.export.suppression import KEY, read_suppression

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
HEAD = "# generated_at: 2026-03-01T06:00:00Z"


def read(path, *, hours=24.0):
    return read_suppression(path, as_of=NOW, max_age_hours=hours)


def code_of(source) -> str:
    with pytest.raises(DataError) as error:
        read(source)
    return error.value.code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "SUPPRESSION_STALE"),
        (f"{HEAD}\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit\n", "SUPPRESSION_STALE"),  # nobody: more often a failed query than true
        ("unit\nc1\n", "SUPPRESSION_STALE"),  # it does not say when it was made
        ("# generated_at: 2026-03-01T06:00:00\nunit\nc1\n", "SUPPRESSION_STALE"),
        ("# generated_at: yesterday\nunit\nc1\n", "SUPPRESSION_STALE"),
        ("# generated_at: 2026-02-28T08:59:59Z\nunit\nc1\n", "SUPPRESSION_STALE"),
        ("# generated_at: 2026-03-01T09:06:00Z\nunit\nc1\n", "SUPPRESSION_STALE"),
        (f"{HEAD}, rows: 3\nunit\nc1\nc2\n", "SUPPRESSION_STALE"),  # cut short
        (f"{HEAD}\ncustomer_id\nc1\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit,reason\nc1,x\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit,unit\nc1,c1\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit,unit_hmac\nc1,c1\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit,channel\nc1,E-Mail\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit_hmac\nABCDEF\n", "SUPPRESSION_STALE"),
        (f"{HEAD}\nunit,channel\nc1\n", "CSV_MALFORMED"),
        (f'{HEAD}\nunit\n"c1\n', "CSV_MALFORMED"),
        (f"{HEAD}\nunit\nc\0\n", "CSV_MALFORMED"),
        (f"{HEAD}\nunit\n c1\n", "ID_WHITESPACE"),
        (f"{HEAD}\nunit,channel\n,email\n", "ID_MISSING"),
    ],
)
def test_a_list_that_cannot_be_trusted_is_refused(tmp_path, text, code):
    path = tmp_path / "suppression.csv"
    path.write_text(text)
    assert code_of(path) == code


def test_a_list_that_is_not_there_or_not_a_list_is_refused(tmp_path):
    broken = tmp_path / "suppression.parquet"
    broken.write_bytes(b"PAR1")
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEAD}\nunit\nc\xe9\n".encode("latin-1"))
    sources = [None, tmp_path / "none.csv", tmp_path, pd.DataFrame({"unit": ["c1"]}), broken]
    assert {code_of(source) for source in sources} == {"SUPPRESSION_STALE"}
    assert code_of(latin) == "CSV_MALFORMED"


def test_marks_line_ends_and_padding_of_spreadsheets_are_read_through(tmp_path):
    path = tmp_path / "suppression.csv"
    lines = [f"{HEAD},,", "unit,channel,since", "c1,,2026-01-01", '"c,2",email,']
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    found = read(path)
    assert list(found.keys) == ["c1", "c,2"]
    assert list(found.channel) == ["", "email"]
    assert found.generated_at == datetime(2026, 3, 1, 6, tzinfo=UTC)


def test_a_parquet_file_says_in_its_metadata_when_it_was_made(tmp_path):
    path = tmp_path / "suppression.parquet"
    table = pa.table({"unit": ["c1", "c2"], "channel": ["email", None]})
    pq.write_table(table.replace_schema_metadata({"generated_at": AT, "rows": "2"}), path)
    assert list(read(path).channel) == ["email", ""]
    pq.write_table(table, path)
    assert code_of(path) == "SUPPRESSION_STALE"


def test_the_limit_of_age_is_the_callers(tmp_path):
    path = tmp_path / "suppression.csv"
    path.write_text("# generated_at: 2026-02-20T06:00:00Z\nunit\nc1\n")
    assert code_of(path) == "SUPPRESSION_STALE"
    assert read(path, hours=24 * 14).n_rows == 1


def test_a_refused_list_leaves_no_file_and_a_row_in_the_trail(project):
    with pytest.raises(DataError, match="nobody is exported"):
        project.export(None)
    assert project.files() == {}
    last = project.registry.history(ID).rows[-1]
    assert (last.action, last.payload) == ("export_refused", {"code": "SUPPRESSION_STALE"})
    assert project.registry.state(ID) == "assigned"


def no_match(project, suppression, **more):
    with pytest.raises(DataError, match="not one id") as error:
        project.export(suppression, **more)
    assert error.value.code == "SUPPRESSION_NO_MATCH"


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda unit: unit.replace("c", "c-"), lambda unit: f"{hash(unit) % 16**8:064x}"],
    ids=["case", "dashes", "hash"],
)
def test_ids_of_another_form_are_refused_at_once(tmp_path, change):
    project = make_project(tmp_path)
    path = tmp_path / "suppression.csv"
    path.write_text("\n".join([HEAD, "unit", *(change(u) for u in project.of_arm("post"))]) + "\n")
    no_match(project, path)


def test_leading_zeros_lost_on_the_way_are_noticed(tmp_path):
    project = make_project(tmp_path, table=customers(prefix=""))
    no_match(project, project.suppression([str(i) for i in range(50)]))


def test_nobody_matches_where_the_last_run_met_some(project):
    project.export(project.suppression(project.of_arm("post")[:1]))
    no_match(project, project.suppression([f"other-{i}" for i in range(10)]), wave="reminder")


def test_a_list_that_met_nobody_before_may_meet_nobody_again(project):
    project.export(project.suppression([]))
    project.export(project.suppression([]), wave="reminder")


def test_keyed_hashes_hold_back_whom_they_mean(project, monkeypatch):
    out = project.of_arm("email_10")[:2]
    hashed = [hmac.new(b"secret", unit.encode(), "sha256").hexdigest() for unit in out]
    path = project.root / "suppression.csv"
    path.write_text("\n".join([HEAD, "unit_hmac", *hashed]) + "\n")
    with pytest.raises(DataError, match=KEY) as error:
        project.export(path)
    assert error.value.code == "SUPPRESSION_KEY_MISSING"
    monkeypatch.setenv(KEY, "secret")
    report = project.export(path)
    assert report.n_matched == 2
    assert not set(out) & project.units_of("email")
    monkeypatch.setenv(KEY, "another")
    no_match(project, path, wave="reminder")
