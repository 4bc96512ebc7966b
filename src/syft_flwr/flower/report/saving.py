"""Writes the report of a run when the run is over, however it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower.report.page import render_report
from syft_flwr.private import make_directories, write_private

logger = logging.getLogger(__name__)


@contextmanager
def report_of(directory: Path, path: Path | None) -> Iterator[None]:
    """Write the report of the run that goes on meanwhile.

    A run that fails gets its report, too, if it came so far as to save a result; then the run's error is what is
    raised.

    Args:
        directory: Where the run saves its ``result.json``.
        path: Where the report goes; missing directories are made. ``None`` for no report.

    Raises:
        ConfigurationError: The report can't be written there.
    """
    if path is None:
        yield
        return
    source = directory / "result.json"
    before = _content(source)
    try:
        yield
    except BaseException:
        # Not the result of an earlier run in the same directory.
        if _content(source) not in (None, before):
            try:
                write_report(source, path)
            except ConfigurationError as error:
                logger.warning("%s", error)
        raise
    write_report(source, path)


def write_report(source: Path, path: Path) -> None:
    """Write the report of a saved result.

    Raises:
        ConfigurationError: The file can't be written.
    """
    page = render_report(json.loads(source.read_text(encoding="utf-8")))
    try:
        make_directories(path.parent)
        write_private(path, page.encode())
    except OSError as error:
        raise ConfigurationError(
            f"the report can't be written to {path}: {error}; the result is in {source}"
        ) from error


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
