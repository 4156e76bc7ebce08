"""The model file that MLflow stores and runs: it reads the package beside it and scores customers.

`mlflow.pyfunc.load_model`, `mlflow models serve` and `spark_udf` run this file; uplift's own
`score` does not, it reads the package itself. Both give the same numbers.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from uplift.tracking.package import Package, read_package


class ServedModel(PythonModel):
    """Recommended arm, expected profit, and effect per arm of each customer."""

    package: Package

    def load_context(self, context: PythonModelContext) -> None:
        """Read the package; its files must be as its `package.json` lists them."""
        self.package = read_package(Path(context.artifacts["package"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """One row per customer, in their order."""
        return self.package.score(model_input)


set_model(ServedModel())
