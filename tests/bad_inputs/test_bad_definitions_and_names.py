"""Definitions and names: what could run, mean two things, or change after the promise."""

import pytest

from tests.bad_inputs.commands import done, run
from tests.bad_inputs.inputs import DEFINITION, all_of, defined, good_inputs, options
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import folder_of
from uplift.experiment import experiment_from, load_experiment
from uplift.registry.registry import Registry
from uplift.strict_yaml import parse_yaml

DEFINED = ("define", "lint")
NAMED = ("status", "lint NAME", "child", "control", "eligible", "do-not-contact")
ASKED = ("status", "eligible")
TITLE, ID, OWNER = "title: Voucher", "id: voucher", "owner: crm\n"
SQL, PATH, SCRIPT = "x'; DROP TABLE t;--", "../../etc/x", "<script>alert(1)</script>"
BOMB = "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 8))
CONTROL, EMAIL = "{name: control, share: 0.5}", "{name: email, share: 0.5"
CHANGES = {
    "metric": defined("minimum_effect: 0.1", "minimum_effect: 0.2"),
    "arms": defined("channel: email", "channel: post"),
    "weights": defined(CONTROL, CONTROL.replace("0.5", "0.4"), EMAIL, EMAIL.replace("0.5", "0.6")),
}
AFTER = (  # steps that meet a definition which was changed after it was sealed
    "seal again",
    "assign under another definition",
    "adopt",
    "export",
    "ingest under another definition",
    "analyse under another definition",
    "train",
    "evaluate",
    "report",
    "lint sealed",
)
BODIES = {
    "NaN": '{"a": NaN}',
    "Infinity": '{"a": [1, -Infinity]}',
    "the same key twice": '{"digest": "1", "digest": "2"}',
    "a depth of 1,000": "[" * 1_000 + "]" * 1_000,
    "no end": '{"a": 1',
}

CASES = (
    Case("B71", "SQL as id", defined(ID, f'id: "{SQL}"'), REFUSE, "NAME_INVALID", DEFINED, SQL),
    Case(
        "B71",
        "SQL as column",
        defined("column: spend", "column: '1) OR 1=1'"),
        REFUSE,
        "NAME_INVALID",
        DEFINED,
        says="1) OR 1=1",
    ),
    Case("B71", "SQL as the name given", options(name=SQL), REFUSE, "NAME_INVALID", NAMED),
    Case(
        "B72",
        "a script as arm",
        defined("name: email,", f"name: '{SCRIPT}',"),
        REFUSE,
        "NAME_INVALID",
        DEFINED,
        says="<script>",
    ),
    Case("B72", "a path as id", defined(ID, f"id: {PATH}"), REFUSE, "NAME_INVALID", DEFINED, PATH),
    Case("B72", "a path as the name given", options(name=PATH), REFUSE, "NAME_INVALID", NAMED),
    Case("B72", "a script as the name given", options(name=SCRIPT), REFUSE, "NAME_INVALID", ASKED),
    Case(
        "B72",
        "half a character as the name",
        options(name="a\udc80"),
        REFUSE,
        "NAME_INVALID",
        ASKED,
    ),
    Case(
        "B72",
        "a line break in the name, in a message of one line",
        options(name="a\nb"),
        REFUSE,
        "NAME_INVALID",
        ASKED,
    ),
    Case(
        "B73",
        "a tag that would run a program",
        defined(TITLE, "title: !!python/object/apply:os.system [x] #"),
        REFUSE,
        "YAML_TAG",
        DEFINED,
    ),
    *(
        Case("B74", given, change, REFUSE, "YAML_AMBIGUOUS", DEFINED, says)
        for given, change, says in (
            ("a key twice", defined(OWNER, f"{OWNER}owner: you\n"), "there twice"),
            ("a share of 012", defined("share: 0.5", "share: 012"), "octal"),
            ("an arm called no", defined("name: email", "name: no"), "truth value"),
            ("a plain on", defined(TITLE, "title: on"), "truth value"),
        )
    ),
    Case(
        "B75",
        "a bomb of aliases",
        defined(ID, f"a0: &a0 [x]\n{BOMB}{ID}"),
        REFUSE,
        "YAML_ALIAS",
        DEFINED,
    ),
    Case(
        "B75",
        "1,000 levels",
        defined(TITLE, f"title: {'[' * 1_000} #"),
        REFUSE,
        "YAML_TOO_DEEP",
        DEFINED,
        says="20 levels",
    ),
    *(
        Case(
            "B76",
            f"JSON with {given}",
            options(body=body),
            REFUSE,
            "JSON_INVALID",
            ("parse", "seal"),  # other JSON that a command reads is in the registry by its digest
        )
        for given, body in BODIES.items()
    ),
    *(
        Case("B77", f"another {what} after the start", change, REFUSE, "EXPERIMENT_FROZEN", AFTER)
        for what, change in CHANGES.items()
    ),
    Case(
        "B78",
        "a version of 2^63 in a definition",
        defined("version: 1,", f"version: {2**63},"),
        REFUSE,
        "VALUE_RANGE",
        DEFINED,
        says="64 bits",
    ),
    Case(
        "B78",
        "2^63 in a number column of the registry",
        options(),
        REFUSE,
        "VALUE_RANGE",
        ("row of 2^63",),
        says="64 bits",
    ),
    Case(
        "B78",
        "text in a number column of the registry",
        options(),
        REFUSE,
        "VALUE_RANGE",
        ("row of text",),
        says="'abc'",
    ),
    Case(
        "B78",
        "half a character for the trail",
        options(who="ann\udc80"),
        REFUSE,
        "VALUE_RANGE",
        ("seal",),
    ),
    Case(
        "B78",
        "the largest whole number",
        defined("version: 1,", f"version: {2**63 - 1},"),
        ACCEPT,
        steps=("define",),
    ),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_definition_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_definition_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


# What the table cannot say in a code.


@pytest.mark.parametrize("what", CHANGES)
def test_the_sealed_definition_stays_readable_beside_the_changed_file(what, project_for):
    inputs, project = good_inputs(), project_for("sealed")
    sealed = experiment_from(parse_yaml(DEFINITION))
    CHANGES[what](inputs)
    (folder_of(project) / "experiment.yaml").write_text(inputs.definition)
    registry = Registry(project / "experiments")
    with pytest.raises(Exception, match="sealed with definition") as error:
        registry.add(load_experiment(folder_of(project)))
    assert error.value.code == "EXPERIMENT_FROZEN"
    assert registry.definition("voucher") == sealed
    new = inputs.definition.replace(ID, "id: voucher_2")  # a new version is a new experiment
    folder = project / "experiments" / "voucher_2"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(new)
    done("design", "voucher_2", "--n-units", 1_000, "--root", project)
    done("seal", "voucher_2", "--root", project)


def test_a_refused_definition_names_its_file_and_line(project_for):
    project = project_for("draft")
    file = folder_of(project) / "experiment.yaml"
    file.write_text(DEFINITION.replace("name: email", "name: no"))
    _, _, err = run("design", "voucher", "--n-units", 1_000, "--root", project)
    assert err.startswith(f"YAML_AMBIGUOUS: {file}, line 11: ")


def test_a_title_that_is_a_script_is_escaped_wherever_it_is_shown(project_for):
    inputs, project = good_inputs(), project_for("draft")
    all_of(defined(TITLE, f"title: {SCRIPT}"))(inputs)
    (folder_of(project) / "experiment.yaml").write_text(inputs.definition)
    done("design", "voucher", "--n-units", 1_000, "--root", project)
    done("seal", "voucher", "--root", project)
    registry = Registry(project / "experiments")
    shown = [registry.experiments()._repr_html_(), registry.calendar()._repr_html_()]
    done("report", "voucher", "--root", project)
    shown.append((folder_of(project) / "report.html").read_text())
    assert all("&lt;script&gt;alert(1)" in html for html in (shown[0], shown[-1]))
    assert not any(SCRIPT in html for html in shown)
