"""JSON from outside is read strictly: what two readers could take differently is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplift.errors import DefinitionError
from uplift.strict_json import parse_json


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": [1, -Infinity]}', "-Infinity is no number"),
        ('{"a": 1e999}', "beyond the range"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        ("[" * 1_000 + "]" * 1_000, "deeper than 20"),
        ('{"a":' * 100_000, "deeper than 20"),
        ('"' + '\\"' * 400_000, "Unterminated string"),
        ('{"a": "\\ud800"}', "half a character"),
        ("\ud800", "not UTF-8"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": 1\n"b": 2}', "line 2: Expecting ',' delimiter"),
        ("9" * 5_000, "digits"),
        (" " * 1_000_001, "larger than"),
        ("", "Expecting value"),
    ],
)
def test_what_is_ambiguous_or_unsafe_is_refused(text, words):
    with pytest.raises(DefinitionError, match=words) as caught:
        parse_json(text, name="request")
    assert caught.value.code == "JSON_INVALID"
    assert str(caught.value).startswith("request, line ")


def test_brackets_inside_strings_are_no_depth():
    text = json.dumps({"a": "[" * 100 + '"' + "{" * 100})
    assert parse_json(text).content == json.loads(text)


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text('ab[{"\\', max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(plain)
def test_what_python_writes_is_read_back(value):
    assert parse_json(json.dumps(value)).content == value
