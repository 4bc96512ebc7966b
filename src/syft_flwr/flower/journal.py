"""What an aggregator has under way, on disk: so that the next run can clean up after one that was killed,
or go on with it.

Lines of JSON, appended: ``{"run": …}``, ``{"round": …}``, ``{"sent": future ID}``, ``{"gone": future ID}``,
``{"message": message ID, "future": future ID}``, ``{"dismissed": …}``, ``{"end": …}``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """The run before this one: what it left in Drive, and how far it came if it did not end.

    ``messages`` has the futures by message ID, ``dismissed`` says whether the owners were told that it is over.
    """

    run_id: str
    round: int
    ended: bool
    futures: tuple[str, ...]
    out: str
    dismissed: bool = False
    messages: Mapping[str, str] = field(default_factory=dict)


class RunJournal:
    """The journal of one app's aggregator. One process at a time; a context manager."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = os.fdopen(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "a+", encoding="utf-8"
        )

    def earlier(self) -> EarlierRun | None:
        """Return the run that the journal tells of; a last line that a crash cut off counts as absent."""
        self._file.seek(0)
        run: dict[str, Any] = {}
        number, ended, dismissed = 0, False, False
        futures, messages = dict[str, None](), dict[str, str]()
        line = "\n"
        for line in self._file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "run" in entry:
                run = entry
            number = int(entry.get("round", number))
            ended = ended or "end" in entry
            dismissed = dismissed or "dismissed" in entry
            if "sent" in entry:
                futures[entry["sent"]] = None
            if "message" in entry:
                messages[entry["message"]] = entry["future"]
            futures.pop(entry.get("gone", ""), None)
        if not line.endswith("\n"):
            self._file.write("\n")  # or the next entry would be a part of it
        if not run:
            return None
        messages = {message: future for message, future in messages.items() if future in futures}
        return EarlierRun(str(run["run"]), number, ended, tuple(futures), str(run.get("out", "")), dismissed, messages)

    def begin(self, run_id: int, out: Path) -> None:
        """Start over, for a new run."""
        with self._lock:
            self._file.truncate(0)
        self._write(run=str(run_id), out=str(out))

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Note those of a run's events that the next run needs."""
        if event == "round":
            self._write(round=int(fields["round"]))
        elif event == "sent" and fields["future"]:
            self._write(message=fields["message"], future=fields["future"])
        elif event == "dismissed":
            self._write(dismissed=True)

    def sent(self, future_id: str) -> None:
        self._write(sent=future_id)

    def gone(self, future_id: str) -> None:
        self._write(gone=future_id)

    def end(self) -> None:
        self._write(end=True)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(self, **entry: object) -> None:
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
