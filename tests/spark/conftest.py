"""A real Spark, started when the first test asks; `make spark` runs these where it is installed."""

import os
import shutil
from importlib.util import find_spec
from typing import Any

import pandas as pd
import pytest


@pytest.fixture(scope="session")
def spark():
    """One session on this machine; without Spark or java the test is skipped, in `make spark` not.

    Times are those of UTC, and the warehouse is a folder that is never written.
    """
    missing = None
    if find_spec("pyspark") is None:
        missing = "the extra `spark` is not installed (make spark)"
    elif shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing = "Spark needs java"
    if missing:
        if os.environ.get("SPARK_REQUIRED") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
    }
    builder = SparkSession.builder.master("local[2]").appName("uplift tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def in_spark(spark):
    """Puts a pandas frame into Spark, gaps as nulls, in two partitions."""
    types = {"i": "bigint", "u": "bigint", "f": "double", "b": "boolean"}

    def put(data: pd.DataFrame, **given: str) -> Any:
        schema = ", ".join(
            "`{}` {}".format(
                name.replace("`", "``"),
                given.get(name, types.get(getattr(data[name].dtype, "kind", "O"), "string")),
            )
            for name in data
        )
        rows = [
            tuple(None if pd.isna(v) else v.item() if hasattr(v, "item") else v for v in row)
            for row in data.astype(object).itertuples(index=False)
        ]
        return spark.createDataFrame(rows, schema).repartition(2)

    return put
