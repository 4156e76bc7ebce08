"""Ids: text, never numbers; each fault refused by its code, in every table that has ids."""

import json

import pandas as pd
import pytest

import uplift as up
from tests.bad_inputs.commands import done
from tests.bad_inputs.inputs import (
    N_UNITS,
    all_of,
    csv,
    good_inputs,
    ids,
    options,
    other_arm,
    repeated,
    rules,
    same_ids,
)
from tests.bad_inputs.judge import (
    ACCEPT,
    REFUSE,
    WARN,
    Case,
    judge_command,
    judge_function,
    rows_by_command,
    rows_by_function,
)
from tests.bad_inputs.steps import customers_file, folder_of, parquet
from uplift.frames import read_csv, read_frame
from uplift.registry.registry import Registry

READ = ("ingest", "analyse")  # both meet assignment and outcomes
DROP, TRIM = {"two_arms": "drop"}, {"trim": True}
BIG = (9007199254740992, 9007199254740993)
WHERE = {  # a table with ids, and the steps that read it first
    "customers": ("assign", "design"),
    "outcomes": ("ingest",),
    "sent": ("adopt",),
    "suppression": ("export",),
}


def everywhere(id_, given, code, *new, says=""):
    """The same bad ids in every table that somebody brings."""
    return [
        Case(id_, f"{given}, of {table}", ids(table, *new), REFUSE, code, steps, says)
        for table, steps in WHERE.items()
    ]


CASES = (
    Case("B01", "'00123' and '123' in a CSV", csv(b"unit,age\n00123,30\n123,40\n"), ACCEPT),
    Case("B02", "ids NA, null, None, nan", csv(b"unit,age\nNA,1\nnull,1\nNone,1\nnan,1\n"), ACCEPT),
    Case(
        "B03",
        "two ids above 2^53 and an empty one, read as floats",
        options(customers=pd.DataFrame({"unit": [*map(float, BIG), None], "age": 30})),
        REFUSE,
        "ID_MISSING",
    ),
    Case(
        "B03",
        "the same in a CSV",
        csv(b"unit,age\n9007199254740992,1\n,1\n9007199254740993,1\n"),
        REFUSE,
        "ID_MISSING",
        ("assign", "design"),
        says="first: 2",
    ),
    Case(
        "B03",
        "the same once the empty one is gone, as whole numbers",
        options(customers=pd.DataFrame({"unit": BIG, "age": 30})),
        ACCEPT,
    ),
    *everywhere("B04", "an empty id", "ID_MISSING", "", says="Found in 1 row(s), first:"),
    Case("B04", "a blank id", ids("customers", "  "), REFUSE, "ID_MISSING"),
    Case("B04", "an empty field", csv(b"unit,age\na,1\n,1\n"), REFUSE, "ID_MISSING", says=": 2"),
    Case(
        "B04",
        "an empty id that is asked for",
        options(asked=" "),
        REFUSE,
        "ID_MISSING",
        ("eligible",),
    ),
    Case("B05", "a row of the customers twice", repeated("customers"), WARN, "ID_DUPLICATE_SAME"),
    Case(
        "B05",
        "the same, for an assignment drawn elsewhere",
        repeated("customers"),
        WARN,
        "ID_DUPLICATE_SAME",
        ("adopt",),
    ),
    Case(
        "B06",
        "two rows of one customer",
        repeated("customers", age=lambda frame: 99),
        REFUSE,
        "ID_DUPLICATE",
        ("assign", "adopt", "design"),
        says="sum, mean or first",
    ),
    Case(
        "B06",
        "two outcomes of a unit",
        repeated("outcomes"),
        REFUSE,
        "ID_DUPLICATE",
        READ,
        says="repeats='sum', 'mean' or 'first' (`--repeats sum`)",
    ),
    Case(
        "B06",
        "a unit assigned twice",
        repeated("assigned"),
        REFUSE,
        "ID_DUPLICATE",
        (*READ, "adopt"),
        says="Keep one row of each unit",
    ),
    *(
        Case(
            "B06",
            f"two outcomes of a unit, read as their {word}",
            all_of(repeated("outcomes", bought=lambda frame: 0), rules(repeats=word)),
            WARN,
            "ID_DUPLICATE",
            READ,
            says="ID_DUPLICATE (1)",
        )
        for word in ("sum", "mean", "first")
    ),
    Case(
        "B07",
        "a unit in two arms",
        repeated("assigned", arm=other_arm),
        REFUSE,
        "ID_TWO_ARMS",
        (*READ, "adopt"),
        says="1 unit(s) are in two arms (0.25% of all), first in rows 1, 401",
    ),
    Case(
        "B07",
        "a unit in two arms, left out",
        all_of(repeated("assigned", arm=other_arm), rules(**DROP)),
        WARN,
        "ID_TWO_ARMS",
        ("adopt",),
        says="ID_TWO_ARMS (1): These units, 0.25% of all",
    ),
    Case(
        "B07",
        "the same, when its outcome is there",
        all_of(repeated("assigned", arm=other_arm), rules(**DROP)),
        WARN,
        "ID_TWO_ARMS",
        READ,
        says="ID_TWO_ARMS (1): These units, 0.25% of all",
        also=("EXPOSED_UNASSIGNED",),
    ),
    *everywhere(
        "B08",
        "one visible id in two Unicode forms",
        "ID_UNICODE_FORM",
        "Jos\u00e9-11",
        "Jose\u0301-11",
    ),
    *everywhere(
        "B09",
        "a zero-width space inside an id",
        "ID_CONTROL_CHAR",
        "cust\u200bomer",
        says="U+200B. Remove them at the source. Found in 1 row(s), first:",
    ),
    *(
        Case(
            "B09",
            f"U+{ord(sign):04X} inside an id",
            ids("customers", "c-1", f"cust{sign}omer"),
            REFUSE,
            "ID_CONTROL_CHAR",
            says=f"U+{ord(sign):04X}. Remove them at the source. Found in 1 row(s), first: 2",
        )
        for sign in "\0\ufeff\u202e"
    ),
    *everywhere("B10", "a blank around an id", "ID_WHITESPACE", "blank-after "),
    Case(
        "B10",
        "a non-breaking space around an id",
        ids("customers", "\u00a0blank-before"),
        REFUSE,
        "ID_WHITESPACE",
        says="trim=True (`--trim`)",
    ),
    *(
        Case(
            "B10",
            f"blanks around two ids of {table}, trimmed",
            all_of(ids(table, " c000000", "c000001\u00a0"), rules(**TRIM)),
            WARN,
            "ID_WHITESPACE",
            steps,
            says="ID_WHITESPACE (2): Blanks around these ids",
        )
        for table, steps in (("customers", ("assign", "adopt")), ("outcomes", READ))
    ),
    Case(
        "B10",
        "two customers that trimming would make one",
        all_of(ids("customers", "somebody", "somebody "), rules(**TRIM)),
        REFUSE,
        "ID_WHITESPACE",
        ("assign", "adopt"),
        says="nothing but blanks",
    ),
    *(
        Case(
            "B11",
            f"an id that begins with {unit[0]}",
            all_of(same_ids("c000000", unit), ids("suppression", unit)),
            REFUSE,
            "ID_FORMULA",
            ("export", "do-not-contact"),
            says="spreadsheet",
        )
        for unit in ("=1+1+1+1", "+1234567", "-1234567", "@customer")
    ),
    *everywhere("B12", "an id of 10,000 characters", "ID_TOO_LONG", "x" * 10_000, says="256 bytes"),
    *(
        Case(
            "B13",
            given,
            same_ids("c000007", unit),
            WARN,
            "ID_LOOKS_PII",
            ("assign", "adopt", *READ),
            says="ID_LOOKS_PII (1)",
        )
        for given, unit in (
            ("an e-mail address", "ann@example.com"),
            ("a telephone number", "+49 170 1234567"),
        )
    ),
)


@pytest.mark.parametrize(("case", "step"), rows_by_function(CASES))
def test_a_function_answers_a_bad_id_with_its_code(case, step, project_for):
    judge_function(case, step, project_for)


@pytest.mark.parametrize(("case", "step"), rows_by_command(CASES))
def test_a_command_answers_a_bad_id_with_its_code(case, step, project_for):
    judge_command(case, step, project_for)


# What the table cannot say in a code.


def test_ids_that_look_like_numbers_or_like_nothing_stay_the_customers_they_are(tmp_path):
    experiment = good_inputs().experiment
    for content, units in (
        (b"unit,age\n00123,30\n123,40\n", ["00123", "123"]),
        (b"unit,age\nNA,1\nnull,1\nNone,1\nnan,1\n", ["NA", "None", "nan", "null"]),
    ):
        file = tmp_path / "customers.csv"
        file.write_bytes(content)
        assert up.assign(experiment, file)["unit"].tolist() == units
    whole = up.assign(experiment, pd.DataFrame({"unit": BIG}))
    assert whole["unit"].tolist() == [str(number) for number in BIG]


def test_an_empty_field_is_missing_and_nothing_else_is(tmp_path):
    file = tmp_path / "customers.csv"
    file.write_bytes(b"unit,segment\nNA,NA\nb,\n")
    assert read_csv(file, what="customers")["segment"].isna().tolist() == [False, True]
    assert read_frame(file, what="customers")["unit"].tolist() == ["NA", "b"]


def test_a_repeated_customer_is_kept_once_so_that_the_later_steps_go_on(project_for):
    inputs, project = good_inputs(), project_for("sealed")
    repeated("customers")(inputs)
    done("assign", "voucher", customers_file(inputs, project), "--root", project)
    outcomes = parquet(inputs.outcomes, project / "outcomes.parquet")
    done("ingest", "voucher", outcomes, "--root", project)


def test_personal_ids_are_in_no_report_and_not_in_the_trail(project_for):
    inputs, project = good_inputs(), project_for("sealed")
    unit = "ann@example.com"
    same_ids("c000007", unit)(inputs)
    done("assign", "voucher", customers_file(inputs, project), "--root", project)
    done("ingest", "voucher", parquet(inputs.outcomes, project / "o.parquet"), "--root", project)
    done("analyse", "voucher", "--root", project)
    done("report", "voucher", "--root", project)
    shown = [file for file in folder_of(project).rglob("*") if file.suffix in {".json", ".html"}]
    assert len(shown) >= 3
    assert not [file.name for file in shown if unit in file.read_text()]
    assert unit not in Registry(project / "experiments").history().to_json()


def test_units_in_two_arms_left_out_of_an_adopted_assignment_are_on_record(project_for):
    inputs, project = good_inputs(), project_for("sealed")
    repeated("assigned", arm=other_arm)(inputs)
    parquet(inputs.assigned[["unit", "arm"]], project / "assigned.parquet")
    files = (project / "assigned.parquet", customers_file(inputs, project))
    torn = inputs.assigned["unit"].iloc[0]
    sent = parquet(pd.DataFrame({"unit": [torn]}), project / "sent.parquet")  # it was assigned
    words = ("adopt", "voucher", *files, "--sent", sent, "--two-arms", "drop", "--root", project)
    done(*words)
    kept = pd.read_parquet(folder_of(project) / "assignment.parquet")
    assert len(kept) == N_UNITS - 1
    assert torn not in set(kept["unit"])
    report = json.loads((folder_of(project) / "assignment.json").read_text())
    assert ("ID_TWO_ARMS", 1) in [(c["code"], c["value"]) for c in report["checks"]]
    done(*words)  # again: the same, and no second amendment
    (amendment,) = Registry(project / "experiments").amendments("voucher")
    assert amendment.change == "1 units in two arms left out"
    parquet(inputs.outcomes, project / "outcomes.parquet")
    done("ingest", "voucher", project / "outcomes.parquet", "--root", project)
    assert amendment.change in done("analyse", "voucher", "--root", project)


def test_what_was_told_at_the_ingest_holds_for_the_steps_after_it(project_for):
    inputs, project = good_inputs(), project_for("assigned")
    twice = pd.concat([inputs.outcomes, inputs.outcomes.head(3).assign(bought=0)])
    file = parquet(twice, project / "orders.parquet")
    root = ("--root", project)
    out = done("ingest", "voucher", file, "--repeats", "sum", "--trim", *root)
    assert "ID_DUPLICATE (3)" in out
    assert "ID_DUPLICATE (3)" in done("analyse", "voucher", *root)
    done("train", "voucher", "--learners", "t", *root)
    told = json.loads((folder_of(project) / "reading.json").read_text())
    assert (told["repeats"], told["trim"], told["missing"]) == ("sum", True, "refuse")
    rows = Registry(project / "experiments").history("voucher").rows
    assert [row.action for row in rows if "rules" in row.payload.get("artefacts", {})] == ["record"]
    spend = twice.groupby("unit")["spend"].sum()
    arm = inputs.assigned.set_index("unit")["arm"].reindex(spend.index)
    report = json.loads((folder_of(project) / "analysis.json").read_text())
    effect = next(row for row in report["effects"] if row["metric"] == "spend@1")
    expected = spend[arm == "email"].mean() - spend[arm == "control"].mean()
    assert effect["estimate"]["effect"] == pytest.approx(expected, rel=1e-12)


def test_a_rule_that_there_is_not_is_refused_before_anything_is_read():
    inputs = good_inputs()
    tables = (inputs.experiment, inputs.assigned, inputs.outcomes)
    for words in ({"missing": "dorp"}, {"repeats": "max"}, {"two_arms": "first"}, {"trim": "yes"}):
        with pytest.raises(up.errors.DefinitionError, match=next(iter(words))) as error:
            up.analyse(*tables, **words)
        assert error.value.code == "ARGUMENT_INVALID"
