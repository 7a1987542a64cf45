"""The export's report for people, all of it made from `report.json`'s figures."""

from emer_edge.export.report.page import report_html
from emer_edge.export.report.terminal import summary_table

__all__ = ["report_html", "summary_table"]
