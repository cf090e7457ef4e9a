"""Records -> a terminal table, figures and one self-contained HTML page. It computes nothing."""

from neurorobust.evaluation import REPORT_FILE
from neurorobust.report.html import write_report
from neurorobust.report.table import print_record

__all__ = ["REPORT_FILE", "print_record", "write_report"]
