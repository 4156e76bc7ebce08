import json
import pickletools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from uplift.adoption import ADOPTED_DESPITE
from uplift.checks import Check
from uplift.errors import DataError, DefinitionError
from uplift.frames import frame_digest
from uplift.models.baselines import ConstantEffect
from uplift.tracking import runs
from uplift.tracking.record import GATES, Record, plain_types, read_gates
from uplift.tracking.runs import find_run, log_run
from uplift.tracking.store import connected, global_uri, quiet, resolve


@pytest.fixture(scope="module")
def logged(log):
    return log("logged_once", figures={"qini": "<svg></svg>", "curve.png": b"\x89PNG..."})


def stored(run):
    with connected(run.store) as client:
        return client.get_run(run.run_id)


def artifacts(run):
    folder = run.store.folder / "artifacts" / run.experiment / run.run_id / "artifacts"
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def versions(run):
    with connected(run.store) as client:
        return client.search_model_versions(f"name = '{run.model_name}'")


def test_a_run_holds_parameters_metrics_tags_and_files(logged, suite, experiment):
    run = stored(logged)
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "1"
    assert run.data.params["candidate"] == "t"
    assert run.data.params["contact_cost.telephone"] == "4.0"
    assert run.data.metrics["quality.qini.t.email"] == 0.25
    assert run.data.metrics["quality.qini.my_model.email"] == 0.5
    assert "quality.not.a.number" not in run.data.metrics
    assert any(name.startswith("roi.") for name in run.data.metrics)
    assert run.data.tags["uplift.objective"] == experiment.objective
    assert run.data.tags["uplift.outcome"] == suite.outcome
    assert run.data.tags["uplift.run_key"] == logged.run_key
    assert set(artifacts(logged)) == {
        "experiment.yaml",
        "figures/curve.png",
        "figures/qini.svg",
        "gates.json",
        "metrics.json",
        "quality.json",
        "roi.json",
        "roi.parquet",
        "suite.json",
    }


def test_the_stored_tables_are_those_that_were_given(logged, roi_table):
    files = artifacts(logged)
    table = pd.read_parquet(files["roi.parquet"])
    assert frame_digest(table) == frame_digest(roi_table.customers)
    metrics = json.loads(files["metrics.json"].read_text())
    assert metrics["currency"] == "USD"
    assert {d["role"] for d in metrics["definitions"]} == {"primary", "secondary", "guardrail"}
    assert metrics["values"]["quality.qini.t.email"] == 0.25


def test_the_data_set_is_an_input_with_its_digest(logged, trial):
    (given,) = stored(logged).inputs.dataset_inputs
    tags = {tag.key: tag.value for tag in given.tags}
    assert tags["mlflow.data.context"] == "training"
    assert tags["uplift.data_digest"].startswith(given.dataset.digest)
    assert json.loads(given.dataset.profile)["num_rows"] == trial.n_units


def test_each_registered_experiment_has_its_own_mlflow_experiment(logged, experiment):
    with connected(logged.store) as client:
        own = client.get_experiment_by_name("logged_once")
    assert own.artifact_location == logged.store.artifact_location("logged_once")
    assert own.tags["uplift.objective"] == experiment.objective


def test_logging_the_same_training_again_gives_the_same_run(logged, log):
    assert log("logged_once") == logged
    assert len(versions(logged)) == 1


def test_another_result_is_another_run_and_a_new_version(log):
    first = log("two_results")
    second = log("two_results", Check("gain", passed=True, value=0.3, bound=0.0))
    assert first.run_key != second.run_key
    assert (first.model_version, second.model_version) == (1, 2)
    assert resolve("models:/two_results@challenger", second.store).version == 2


@pytest.mark.parametrize("step", ["_log_data", "register"])
def test_an_interrupted_run_is_finished_and_not_repeated(log, store, monkeypatch, step):
    name = f"interrupted_{step.strip('_')}"

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(runs, step, stop)
        with pytest.raises(KeyboardInterrupt):
            log(name)
    with connected(store) as client:
        experiment_id = client.get_experiment_by_name(name).experiment_id
        (half,) = client.search_runs([experiment_id])
        assert half.info.status == "FAILED"
    whole = log(name)
    assert whole.run_id == half.info.run_id
    assert stored(whole).info.status == "FINISHED"
    assert len(versions(whole)) == 1
    with connected(store) as client:
        assert len(client.search_runs([experiment_id])) == 1
        assert len(client.get_metric_history(whole.run_id, "quality.qini.t.email")) == 1


def test_a_run_interrupted_after_its_version_was_registered_keeps_that_version(
    log, monkeypatch, store
):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("mlflow.MlflowClient.set_registered_model_alias", stop)
        with pytest.raises(KeyboardInterrupt):
            log("interrupted_late")
    run = log("interrupted_late")
    assert len(versions(run)) == 1
    assert resolve("models:/interrupted_late@challenger", store).version == 1


def test_a_run_is_found_again_by_its_model(logged):
    assert find_run("models:/logged_once@challenger", tracking=logged.store) == logged
    assert find_run("models:/logged_once/1", tracking=logged.store).store == logged.store


def test_the_model_is_data_and_a_code_file_without_any_pickle(logged):
    folder = logged.store.folder / "artifacts" / "logged_once" / "models"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".json", ".py", ".txt", ".yaml"}
    for path in files:
        with pytest.raises((ValueError, UnicodeDecodeError)):
            list(pickletools.genops(path.read_bytes()))
    description = yaml.safe_load(next(p for p in files if p.name == "MLmodel").read_text())
    flavour = description["flavors"]["python_function"]
    assert flavour["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert "python_model" not in flavour
    requirements = next(p for p in files if p.name == "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)
    assert any(line.startswith("uplift-road==") for line in requirements)


def test_mlflow_serves_the_same_bits_as_the_package(logged, customers):
    import mlflow

    from uplift.scoring import score

    ours = score(logged.model_uri, customers, tracking=logged.store).customers
    with quiet(), global_uri(logged.store):
        served = mlflow.pyfunc.load_model(logged.model_uri)
        theirs = served.predict(plain_types(customers))
        shuffled = served.predict(plain_types(customers)[["segment", "spend_before", "recency"]])
    pd.testing.assert_frame_equal(theirs, ours[theirs.columns], check_exact=True)
    pd.testing.assert_frame_equal(theirs, shuffled, check_exact=True)


def test_mlflows_own_loader_refuses_damaged_files_too(log):
    import mlflow

    run = log("damaged_for_mlflow")
    rules = run.store.folder / "artifacts" / "damaged_for_mlflow"
    (file,) = rules.rglob("scoring.json")
    file.write_text(file.read_text().replace("margin_rate", "margin_rote"))
    with quiet(), global_uri(run.store), pytest.raises(DataError, match="has changed"):
        mlflow.pyfunc.load_model(run.model_uri)


def test_a_run_can_be_logged_without_the_trial(log):
    run = log("without_trial", trial=None)
    assert stored(run).inputs.dataset_inputs == []
    with_trial = log("with_trial")
    assert run.model_digest != with_trial.model_digest  # other examples


def test_a_changed_gate_report_is_noticed(log):
    run = log("changed_gates", Check("gain", passed=False, value=-1.0, bound=0.0))
    file = artifacts(run)[GATES]
    file.write_text(file.read_text().replace('"passed": false', '"passed": true'))
    with pytest.raises(DataError, match=r"gates\.json has changed"):
        find_run(run.model_uri, tracking=run.store)


def test_gates_come_back_as_they_were_stored(logged, experiment, suite, roi_table):
    record = Record(experiment, suite, logged, roi_table)
    checks = (Check("gain", True, value=1.5, bound=0.0), Check("note", False, blocking=False))
    assert logged.gates[-1].code == "SRM"
    assert read_gates(json.dumps([vars(check) for check in checks])) == checks
    assert record.candidate == "t"


def test_the_sample_ratio_of_a_record_counts_what_was_randomised(experiment, suite, roi_table):
    from types import SimpleNamespace

    arms = np.repeat(["control", "email", "post", "telephone"], 25)
    sizes = np.where(arms == "control", 9, 1)  # equal counts of clusters, unequal of units
    table = pd.DataFrame({"cluster": np.arange(100), "observed_arm": arms}).loc[
        np.repeat(np.arange(100), sizes)
    ]
    table["unit"] = [f"u{i}" for i in range(len(table))]
    judged = SimpleNamespace(gates=lambda candidate: ())
    by_cluster = SimpleNamespace(candidate="t", customers=table)
    by_unit = SimpleNamespace(candidate="t", customers=table.drop(columns="cluster"))
    assert Record(experiment, suite, judged, by_cluster).gates()[0].value == pytest.approx(1)
    assert not Record(experiment, suite, judged, by_unit).gates()[0].passed


def test_the_reports_sample_ratio_is_the_one_that_counts(log):
    found = Check("sample_ratio", False, value=1e-9, bound=0.001, remedy="Look.", code="SRM")
    run = log("report_with_srm", report=SimpleNamespace(checks=(found,)))
    assert run.gates[-1] == found
    adopted = Check("taken over", False, value="BALANCE", remedy="No.", code=ADOPTED_DESPITE)
    run = log(
        "report_adopted", report=SimpleNamespace(checks=(adopted, replace(found, passed=True)))
    )
    assert adopted in run.gates
    assert not all(check.passed for check in run.gates)


def test_a_roi_table_of_another_suite_is_refused(experiment, suite, roi_table, store):
    with pytest.raises(DefinitionError, match="'other', which is not in this suite") as refusal:
        log_run(experiment, suite, None, replace(roi_table, candidate="other"), tracking=store)
    assert refusal.value.code == "CANDIDATE_UNKNOWN"


def test_a_figure_cannot_leave_its_folder(log):
    with pytest.raises(DefinitionError, match="plain name"):
        log("figure_outside", figures={"../outside": "<svg></svg>"})


def test_one_effect_for_everyone_can_be_registered_too(suite, log, trial):
    from uplift.evaluation.roi import roi

    assert isinstance(suite.candidates["constant"].model, ConstantEffect)
    run = log("blanket", table=roi(suite.candidates["constant"], trial, suite=suite))
    assert run.candidate == "constant"
    assert stored(run).data.tags["uplift.candidate"] == "constant"


def test_a_contact_plan_is_kept_with_the_run_and_part_of_its_key(log, roi_table, experiment):
    from uplift.contacts.plan import plan_contacts
    from uplift.contacts.policy import ContactPolicy

    plan = plan_contacts(roi_table, ContactPolicy.for_experiment(experiment, budget=500.0))
    run = log("with_plan", plan=plan)
    files = artifacts(run)
    assert len(pd.read_parquet(files["plan.parquet"])) == len(plan.contacts)
    assert json.loads(files["plan.json"].read_text()) == plan.to_dict()
    assert any(name.startswith("plan.") for name in stored(run).data.metrics)
    assert log("with_plan").run_key != run.run_key
    assert log("with_plan", plan=plan) == run


def test_a_suite_read_from_its_folder_is_the_same_training(log, suite, trial, tmp_path):
    from uplift.evaluation.roi import roi
    from uplift.models.store import load_suite, save_suite

    save_suite(suite, tmp_path / "suite")
    again = load_suite(tmp_path / "suite")
    table = roi(again.candidates["t"], trial, suite=again)
    assert log("in_two_processes", trained=again, table=table) == log("in_two_processes")
