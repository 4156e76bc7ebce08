"""Progress never changes what is yielded, and goes to standard error only."""

import sys

import pytest

from uplift.progress import Steps, track


def test_tracking_yields_every_item_and_writes_nothing_when_nobody_looks(capsys):
    assert list(track([1, 2, 3], label="work")) == [1, 2, 3]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_steps_print_a_plain_line_each_when_there_is_no_terminal(capsys):
    with Steps(["design", "assign"]) as steps:
        for _ in range(2):
            with steps.step():
                assert list(track(range(3), label="inner")) == [0, 1, 2]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line[:15] for line in captured.err.splitlines()] == [
        "[ 1/2] design  ",
        "[ 2/2] assign  ",
    ]


def test_steps_draw_a_bar_each_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with Steps(["design", "assign"]) as steps:
        for _ in range(2):
            with steps.step():
                assert list(track([1, 2], label="inner")) == [1, 2]
    assert "assign" in capsys.readouterr().err
    assert list(track([1, 2], label="alone", total=2)) == [1, 2]


def test_a_step_that_fails_is_not_counted_as_done():
    steps = Steps(["design"])

    def fail() -> None:
        with steps, steps.step():
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert steps.seconds == []
