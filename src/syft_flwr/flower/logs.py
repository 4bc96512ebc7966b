"""Log lines on standard error, this package's and Flower's: as text, or each as one line of JSON."""

from __future__ import annotations

import json
import logging
import os
import sys

from syft_flwr.printable import printable
from syft_flwr.settings import log_format

_LONGEST = 20_000
_FLOWER = "flwr"


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON with the fields of an event: ``event`` is ``log``, ``time`` Unix seconds."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": "log",
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage(), _LONGEST),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def adapt_flowers_lines() -> None:
    """Have Flower's log lines like ours, plain where nobody sees colors; call it when Flower is imported."""
    flower = logging.getLogger(_FLOWER)
    if log_format() == "json":
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        flower.handlers[:] = [handler]
        flower.propagate = False
        return
    for each in flower.handlers:
        stream = getattr(each, "stream", sys.stderr)
        if hasattr(each, "colored") and (os.environ.get("NO_COLOR") or not stream.isatty()):
            each.colored = False
