"""Tables round in one place, and results become JSON without surprises."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest

from uplift.checks import Check, blocked_by, checks_table, warning
from uplift.table import Column, Result, Table, canonical_json, format_value


@dataclass(frozen=True, repr=False)
class Answer(Result):
    value: float
    parts: np.ndarray

    def table(self) -> Table:
        return Table("Answer", (Column("value", kind="signed"),), [(self.value,)])


def test_each_kind_of_column_formats_its_numbers():
    assert format_value(1234.4, "count") == "1,234"
    assert format_value(0.12345, "share") == "12.3 %"
    assert format_value(1234.5, "cents") == "1,234.50"
    assert format_value(0.00001, "p_value") == "< 0.0001"
    assert format_value(0.76979, "signed") == "+0.7698"
    assert format_value(-12345.6, "signed") == "-12,346"
    assert format_value((0.1, 0.25), "interval") == "[+0.1000, +0.2500]"


def test_numbers_are_written_as_the_language_writes_them():
    assert format_value(1234.5, "cents", "fr") == "1\u202f234,50"
    assert format_value(0.1234, "share", "fr") == "12,3\u00a0%"
    assert format_value(0.721, "signed_share") == "+72.1 %"
    assert format_value((0.1, 1234.5), "interval", "fr") == "[+0,1000\u00a0; +1\u202f234]"
    assert format_value((0.1, 0.25), "share_interval") == "[+10.0 %, +25.0 %]"
    assert format_value((None, None), "interval", "fr") == "non estimable"
    assert format_value(True, "plain", "fr") == "oui"
    assert format_value("a.b, c", "plain", "fr") == "a.b, c"  # names stay as they are


def test_a_number_that_does_not_exist_is_a_dash_and_an_interval_is_not_estimable():
    assert format_value(float("nan"), "number") == "–"
    assert format_value(None, "count") == "–"
    assert format_value((float("nan"), 1.0), "interval") == "not estimable"


def test_zero_and_tiny_and_huge_numbers_stay_readable():
    assert format_value(0.0, "number") == "0.000"
    assert format_value(1.23e-7, "number") == "1.23e-07"
    assert format_value(123456789.0, "number") == "123,456,789"


def test_text_columns_line_up():
    table = Table("T", (Column("arm"), Column("n", kind="count")), [("a", 1), ("longer", 1000)])
    lines = table.text().splitlines()
    assert lines == ["T", "arm         n", "a           1", "longer  1,000"]


def test_html_escapes_every_cell():
    table = Table("<b>", (Column("x"),), [("<script>alert(1)</script>",)], note="a & b")
    html = table.html()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "a &amp; b" in html


def test_markdown_escapes_the_column_mark():
    assert "a\\|b" in Table("", (Column("x"),), [("a|b",)]).markdown()


def test_to_pandas_keeps_the_unrounded_values():
    table = Table("", (Column("x", kind="share"),), [(1 / 3,)])
    assert table.to_pandas()["x"][0] == 1 / 3


def test_json_is_canonical_and_has_no_nan():
    answer = Answer(float("nan"), np.array([1.0, np.inf]))
    assert json.loads(answer.to_json()) == {"value": None, "parts": [1.0, None]}
    assert canonical_json({"b": 1, "a": Fraction(1, 3)}) == canonical_json(
        {"a": Fraction(1, 3), "b": 1}
    )
    assert "2020-01-01" in canonical_json(datetime(2020, 1, 1, tzinfo=UTC))


def test_json_refuses_what_it_cannot_hold():
    with pytest.raises(TypeError, match="object has no JSON form"):
        canonical_json({"x": object()})


def test_a_result_shows_itself_as_text_and_html():
    answer = Answer(0.5, np.array([]))
    assert "+0.5000" in str(answer)
    assert repr(answer) == str(answer)
    assert "<table" in answer._repr_html_()


def test_a_failed_blocking_check_withholds_and_a_warning_does_not():
    failed = Check("sample_ratio", False, value=0.0001, bound=0.001, remedy="Look at the logs.")
    note = warning("WINDOW_OPEN", value=3, remedy="Wait.")
    fine = Check("overlap", True)
    assert blocked_by([failed, note, fine]) == (failed,)
    assert [check.verdict for check in (failed, note, fine)] == ["failed", "warning", "ok"]
    assert "Look at the logs." in checks_table([failed, note, fine]).text()
