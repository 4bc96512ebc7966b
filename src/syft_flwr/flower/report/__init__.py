"""The report of a run: metrics, timeline, traffic and quota bill as one self-contained HTML page."""

from __future__ import annotations

from syft_flwr.flower.report.page import render_report
from syft_flwr.flower.report.saving import report_of, write_report

__all__ = ["render_report", "report_of", "write_report"]
