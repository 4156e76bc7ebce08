"""Definitions are read strictly: nothing in them can mean two things."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uplift.errors import DefinitionError
from uplift.strict_yaml import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\nb: !!python/object:os.system x", "YAML_TAG", 2),
        ("a: &x 1\nb: *x", "YAML_ALIAS", 1),
        ("a: 1\nb: 2\na: 3", "YAML_AMBIGUOUS", 3),
        ("weight: 012", "YAML_AMBIGUOUS", 1),
        ("flag: no", "YAML_AMBIGUOUS", 1),
        ("flag:\n  - On", "YAML_AMBIGUOUS", 2),
        ("a: [1, 2", "YAML_INVALID", 1),
        ("a: " + "[" * 40 + "]" * 40, "YAML_TOO_DEEP", 1),
        ("a: " + "x" * 1_000_001, "YAML_TOO_LARGE", 1),
        (b"a: \xff", "YAML_INVALID", 1),
    ],
)
def test_what_is_ambiguous_or_unsafe_is_refused_with_its_line(text, code, line):
    with pytest.raises(DefinitionError, match=f"line {line}:") as error:
        parse_yaml(text, name="file.yaml")
    assert error.value.code == code
    assert str(error.value).startswith("file.yaml")


def test_an_alias_bomb_is_refused_before_it_grows():
    bomb = "a: &a [x,x]\n" + "".join(
        f"{c}: &{c} [*{p},*{p},*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(DefinitionError) as error:
        parse_yaml(bomb)
    assert error.value.code == "YAML_ALIAS"


def test_quoted_words_numbers_and_dates_keep_their_meaning():
    content = parse_yaml("a: 'no'\nb: 0.25\nc: 0\nd: 2017-07-03\ne: '012'\nf: -0.5").content
    assert content["a"] == "no"
    assert (content["b"], content["c"], content["e"], content["f"]) == (0.25, 0, "012", -0.5)


def test_the_line_of_a_nested_key_is_known():
    document = parse_yaml("a:\n  b:\n    - x: 1\n    - x: 2\n")
    assert document.line(("a", "b", 1, "x")) == 4
    assert document.line(("a", "b", 1, "not there")) == 4


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DefinitionError, match=r"no\.yaml") as error:
        read_yaml(tmp_path / "no.yaml")
    assert error.value.code == "FILE_MISSING"


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\n? [x, y]\n: 2", "YAML_INVALID", 2),
        ("a: 1\nb: 2017-13-45T00:00:00", "YAML_INVALID", 2),
        ("a: " + "9" * 5_000, "YAML_INVALID", 1),
        ("a: 1\nb: 12:30", "YAML_AMBIGUOUS", 2),  # 750 to readers of YAML 1.1
        ("a: 0x1F", "YAML_AMBIGUOUS", 1),
        ("a: 1_000", "YAML_AMBIGUOUS", 1),
        ("a: 1\nb: \x07", "YAML_INVALID", 2),
        ("%YAML 1.1\n---\na: 1", "YAML_TAG", 1),
        ("a: 1\n---\nb: 2", "YAML_INVALID", 2),
        ("\n".join("  " * i + f"k{i}:" for i in range(100)), "YAML_TOO_DEEP", 21),
        ("- " * 3_000 + "x", "YAML_TOO_DEEP", 1),
        ("[" * 200_000, "YAML_TOO_DEEP", 1),
        ("{a: " * 100_000, "YAML_TOO_DEEP", 1),
    ],
)
def test_no_text_reaches_the_reader_that_would_break_it(text, code, line):
    with pytest.raises(DefinitionError, match=rf"line {line}:") as error:
        parse_yaml(text)
    assert error.value.code == code


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-[]{}!&*?'\"#|>%@ \n\t0123.,~<", max_size=60))
def test_any_text_is_read_or_refused_with_a_code(text):
    refused = None
    try:
        parse_yaml(text)
    except DefinitionError as error:
        refused = error
    assert refused is None or (refused.code.startswith("YAML_") and "line" in str(refused))
