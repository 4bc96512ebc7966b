"""Counts of a run, from its events: traffic per round, and which kinds of message no owner could answer."""

from __future__ import annotations

import threading
from typing import Any


class RunCounts:
    """Listens to the Grid's events. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._good: dict[str, int] = {}
        self._bad: dict[str, dict[str, str]] = {}
        self.rounds: dict[str, dict[str, int]] = {}
        self.timeline: list[dict[str, Any]] = []
        self._start = 1

    def __call__(self, event: str, /, **fields: Any) -> None:
        with self._lock:
            if event == "sent":
                self._round(fields)["bytes_sent"] += fields["bytes"]
            elif event == "reply":
                self._reply(fields)
            elif event == "refused":
                self._refuse(fields)
            elif event == "late":
                self._round(fields)["late"] += 1
            elif event == "strategy":
                self._start = fields["start"]

    def failed_types(self) -> dict[str, dict[str, str]]:
        """Return the kinds of message that no owner answered but with errors: kind → owner → last reason."""
        with self._lock:
            return {kind: dict(reasons) for kind, reasons in self._bad.items() if not self._good.get(kind)}

    def _reply(self, fields: dict[str, Any]) -> None:
        row = self._round(fields)
        row["bytes_received"] += fields["bytes"]
        kind = str(fields["type"])
        if fields["error"]:
            row["errors"] += 1
            self._bad.setdefault(kind, {})[str(fields["owner"])] = str(fields["error"])
        else:
            row["replies"] += 1
            self._good[kind] = self._good.get(kind, 0) + 1
        self.timeline.append({**fields, "group": self._label(fields)})

    def _refuse(self, fields: dict[str, Any]) -> None:
        """Count the owner's last reply as an error."""
        rows = [row for row in self.timeline if row["owner"] == fields["owner"]]
        if rows and not rows[-1]["error"]:
            last = rows[-1]
            last["error"] = f"the reply was refused: {fields['reason']}"
            self.rounds[last["group"]]["replies"] -= 1
            self.rounds[last["group"]]["errors"] += 1
            self._good[str(last["type"])] -= 1
            self._bad.setdefault(str(last["type"]), {})[str(fields["owner"])] = last["error"]

    def _round(self, fields: dict[str, Any]) -> dict[str, int]:
        empty = {"bytes_sent": 0, "bytes_received": 0, "replies": 0, "errors": 0, "late": 0}
        return self.rounds.setdefault(self._label(fields), empty)

    def _label(self, fields: dict[str, Any]) -> str:
        """Return a round's name; of a second strategy that the app starts, the first round is ``2.1``."""
        return str(fields["group"]) if self._start == 1 else f"{self._start}.{fields['group']}"
