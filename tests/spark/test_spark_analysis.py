"""An analysis pushed down to Spark says what the analysis of the rows says."""

from tests.analysis.conftest import make
from tests.analysis.table_rows import assert_reports_agree, make_rich, rows_of
from uplift.analysis.pushed_down import analyse_table, analysis_sql


def test_the_report_of_a_spark_frame_is_that_of_the_rows(in_spark, spark):
    campaign = make_rich(make, n_units=2_000)
    table = in_spark(rows_of(campaign))
    found = analyse_table(campaign.experiment, table, before=["tier"])
    assert_reports_agree(found, campaign.analyse())
    assert "`spend`" in analysis_sql(campaign.experiment, table)
    assert not spark.catalog.listTables()
