"""One learner of another library, in that library's own environment; called by bench_learners.py.

    PYTHON peer_learners.py LIBRARY LEARNER DATA.npz ANSWER.npz

LightGBM underneath, at the settings that bench_learners.py writes into DATA; effects of new
customers in, seconds out.
"""

import sys
import time

import numpy as np
from lightgbm import LGBMRegressor

SETTINGS = {"n_jobs": 2, "verbosity": -1, "seed": 1, "force_col_wise": True}


def econml_learner(name, propensity):
    from econml.dml import NonParamDML
    from econml.dr import DRLearner
    from econml.metalearners import SLearner, TLearner, XLearner
    from sklearn.dummy import DummyClassifier

    regressor = LGBMRegressor(**SETTINGS)
    given = DummyClassifier(strategy="prior")
    if name == "s":
        return SLearner(overall_model=regressor)
    if name == "t":
        return TLearner(models=regressor)
    if name == "x":
        return XLearner(models=regressor, propensity_model=given)
    if name == "r":
        return NonParamDML(
            model_y=regressor,
            model_t=given,
            model_final=regressor,
            discrete_treatment=True,
            cv=2,
            random_state=1,
        )
    return DRLearner(
        model_regression=regressor,
        model_propensity=given,
        model_final=regressor,
        cv=2,
        random_state=1,
    )


def run_econml(name, data):
    model = econml_learner(name, data["propensity"])
    start = (time.perf_counter(), time.process_time())
    model.fit(data["outcome"], data["arm"], X=data["features"])
    fit = (time.perf_counter() - start[0], time.process_time() - start[1])
    start = (time.perf_counter(), time.process_time())
    effects = model.effect(data["new"])
    predict = (time.perf_counter() - start[0], time.process_time() - start[1])
    return effects, fit, predict


def run_causalml(name, data):
    from causalml.inference.meta import (
        BaseDRRegressor,
        BaseRRegressor,
        BaseSRegressor,
        BaseTRegressor,
        BaseXRegressor,
    )

    classes = {
        "s": BaseSRegressor,
        "t": BaseTRegressor,
        "x": BaseXRegressor,
        "r": BaseRRegressor,
        "dr": BaseDRRegressor,
    }
    model = classes[name](LGBMRegressor(**SETTINGS))
    known = {} if name in ("s", "t") else {"p": np.full(len(data["arm"]), data["propensity"])}
    new = {} if name in ("s", "t") else {"p": np.full(len(data["new"]), data["propensity"])}
    start = (time.perf_counter(), time.process_time())
    model.fit(data["features"], data["arm"], data["outcome"], **known)
    fit = (time.perf_counter() - start[0], time.process_time() - start[1])
    start = (time.perf_counter(), time.process_time())
    effects = model.predict(data["new"], **new)
    predict = (time.perf_counter() - start[0], time.process_time() - start[1])
    return effects, fit, predict


def main():
    library, name, source, target = sys.argv[1:]
    data = dict(np.load(source))
    data["propensity"] = float(data["propensity"])
    effects, fit, predict = {"econml": run_econml, "causalml": run_causalml}[library](name, data)
    np.savez(target, effects=np.ravel(effects), fit=fit, predict=predict)


if __name__ == "__main__":
    main()
