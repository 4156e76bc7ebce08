"""A row of the table, run by function or by command, and judged.

A refusal has its code, says what to do, names at most five rows and no customer, and leaves every
file as it was. What is taken has its warning in whatever form the result is shown.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bad_inputs.commands import contents, in_project, run
from tests.bad_inputs.inputs import Change, Inputs, good_inputs
from tests.bad_inputs.steps import STEPS, Step
from uplift.cli.common import CHECKS
from uplift.errors import MAX_ROWS_SHOWN, UpliftError
from uplift.registry.registry import Registry

ACCEPT, WARN, REFUSE, WITHHOLD = "accept", "warn", "refuse", "withhold the verdict"
# what to do is an imperative, at the beginning of a clause
VERBS = """
Aggregate Bring Build Change Check Choose Correct Decide Export Fetch Find Flatten Give Hold Keep
Leave Look Make Quote Read Recode Record Remove Rename Repair Restore Run Say Send Train Trim Use
Write
"""
REMEDY = re.compile(rf"(?:^|[.,:;?!] (?:or )?)({'|'.join(VERBS.split())})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One row of the catalogue: what is wrong, what happens, with which code, in which steps.

    says  what the message or the report holds
    also  codes of further warnings that come with it
    """

    id: str
    given: str
    change: Change
    happens: str
    code: str = ""
    steps: tuple[str, ...] = ("assign",)
    says: str = ""
    also: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        if self.happens == REFUSE:
            return 1 if self.code in CHECKS else 2
        return 1 if self.happens == WITHHOLD else 0


def rows_by_function(cases: Iterable[Case]):
    """Parameters of a test: the rows whose step has a function."""
    return list(_rows(cases, lambda step: step.call))


def rows_by_command(cases: Iterable[Case]):
    """Parameters of a test: the rows whose step has a command."""
    return list(_rows(cases, lambda step: step.words))


def _rows(cases, has) -> Iterator:
    for case in cases:
        for name in case.steps:
            if has(STEPS[name]):
                yield pytest.param(case, name, id=f"{case.id} {name}: {case.given}")


def judge_function(case: Case, name: str, project_for) -> None:
    """Run the row by the public function of its step."""
    step, inputs = STEPS[name], good_inputs()
    case.change(inputs)
    project = project_for(step.stage_for(inputs))
    call = step.call(inputs, project)
    before = contents(project)
    if case.happens == REFUSE and not step.reports:
        with pytest.raises(UpliftError) as error:
            call()
        assert error.value.code == case.code
        assert len(error.value.rows) <= MAX_ROWS_SHOWN
        judge_refusal(case, step, str(error.value), inputs)
        require_untouched(project, before, step)
        return
    result = call()
    if step.reports:
        found = [check for check in result.checks if check.code == case.code]
        assert len(found) == 1
        judge_refusal(case, step, found[0].remedy, inputs)
        require_untouched(project, before, step)
        return
    judge_result(case, result, inputs)


def judge_command(case: Case, name: str, project_for) -> None:
    """Run the row by the command of its step."""
    step, inputs = STEPS[name], good_inputs()
    case.change(inputs)
    project = project_for(step.stage_for(inputs))
    words = step.words(inputs, project)
    before = contents(project)
    code, out, err = run(*in_project(words, project))
    assert "Traceback" not in out + err
    if case.happens == REFUSE:
        if step.reports:
            assert (code, err) == (1, "")
            line = next(line for line in out.splitlines() if case.code in line)
        else:
            assert (code, err.split(":")[0]) == (case.exit_code, case.code), (err, out)
            assert (out, len(err.strip().splitlines())) == ("", 1)
            line = err
        judge_refusal(case, step, line, inputs)
        require_untouched(project, before, step)
        return
    expected = {0, 1} if name == "eligible" else {case.exit_code}  # 1: it may not be contacted
    assert code in expected, err
    for said in (case.code, case.says):
        assert said in out
    require_anonymous(out + err, inputs)


def judge_refusal(case: Case, step: Step, message: str, inputs: Inputs) -> None:
    """What must hold, what was found, what to do: and nobody's id."""
    assert case.says in message
    assert REMEDY.search(message), message
    require_anonymous(message, inputs)


def judge_result(case: Case, result, inputs: Inputs) -> None:
    """A result with exactly the warnings of the case, in every form in which it is shown."""
    failed = {check.code: check for check in getattr(result, "checks", ()) if not check.passed}
    failed |= {check.code: check for check in getattr(result, "notices", ())}
    assert failed.keys() == ({case.code} if case.code else set()) | {*case.also}
    if case.code:
        assert failed[case.code].blocking == (case.happens == WITHHOLD)
        for shown in (str(result), result.to_json(), result._repr_html_()):
            assert case.code in shown
        require_anonymous(result.to_json(), inputs)
    assert case.says in str(result)
    if case.happens == WITHHOLD:
        assert result.decision.action == "none"


def require_anonymous(text: str, inputs: Inputs) -> None:
    assert not [unit for unit in inputs.ids if unit in text]


def require_untouched(project: Path, before: dict[str, str], step: Step) -> None:
    """Nothing was written, but for a row in the trail where somebody must look."""
    after = contents(project)
    database = str(Path("experiments") / "registry.db")
    if step.alerts and after[database] != before[database]:
        last = Registry(project / "experiments").history("voucher").rows[-1]
        assert (last.action, set(last.payload)) == ("export_refused", {"code"})
        after[database] = before[database]
    assert after == before
