"""Forests of other libraries, run by the Python of an environment that holds them.

    PYTHON benchmarks/models/peer_forests.py METHOD DATA.npz ANSWER.npz

Reads features, arm, visit and test features; writes effects of the test rows, seconds and processor
seconds of the fit and of the prediction.
"""

import sys
import time

import numpy as np

THREADS = 2


def causalml_forest(name: str, data: dict) -> object:
    from causalml.inference.tree import UpliftRandomForestClassifier

    model = UpliftRandomForestClassifier(
        n_estimators=100,
        evaluationFunction=name,
        max_depth=5,
        control_name="control",
        normalization=name == "KL",
        n_jobs=THREADS,
        random_state=1,
    )
    names = np.where(data["arm"] == 1, "treated", "control")
    model.fit(data["features"], names, data["visit"])
    return model


def econml_forest(data: dict) -> object:
    from econml.grf import CausalForest

    model = CausalForest(n_estimators=500, n_jobs=THREADS, random_state=1)
    return model.fit(data["features"], data["arm"], data["visit"])


FIT = {
    "causalml_ED": lambda data: causalml_forest("ED", data),
    "causalml_KL": lambda data: causalml_forest("KL", data),
    "econml_500": econml_forest,
}


def main() -> None:
    method, source, target = sys.argv[1:]
    data = dict(np.load(source))
    small = {name: values[:2000] for name, values in data.items()}
    FIT[method](small).predict(small["test"])  # what is compiled or imported late is not timed
    wall, cpu = time.perf_counter(), time.process_time()
    model = FIT[method](data)
    fit = time.perf_counter() - wall, time.process_time() - cpu
    wall, cpu = time.perf_counter(), time.process_time()
    effects = np.asarray(model.predict(data["test"])).reshape(len(data["test"]))
    predict = time.perf_counter() - wall, time.process_time() - cpu
    np.savez(target, effects=effects, fit=fit, predict=predict)


if __name__ == "__main__":
    main()
