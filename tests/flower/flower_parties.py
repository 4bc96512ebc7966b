"""Participants as processes of their own: ``syft-flwr run`` against a local Drive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syft_flwr.flower import die_with_parent

AGGREGATOR = "agg@example.com"


class Party:
    """A participant under way, with its events as they come."""

    def __init__(self, project: Path, email: str, owners: list[str], host: str, state: Path, *options: str) -> None:
        # So a test run that is killed at its time limit leaves nobody behind.
        command = [sys.executable, die_with_parent.__file__, str(os.getpid())]
        command += [sys.executable, "-m", "syft_flwr.cli.main", "run", str(project), "--json"]
        command += ["--poll-interval", "0.1", "--max-poll-interval", "0.4"]
        command += ["--aggregator", AGGREGATOR, *(option for owner in owners for option in ("--datasite", owner))]
        if email != AGGREGATOR:
            place = owners.index(email)
            command += ["--auto-approve", "--node-config", f"partition-id={place} num-partitions={len(owners)}"]
        self.email = email
        self.process = subprocess.Popen(
            [*command, *options],
            env={
                **os.environ,
                "SYFTBOX_EMAIL": email,
                "DRIVE_EMULATOR_HOST": host,
                "SYFT_FLWR_STATE_DIR": str(state),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self.log: list[str] = []
        self._come = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"read-{email}")
        self._reader.start()

    def wait_for(self, name: str, timeout: float = 60.0, **fields: Any) -> dict[str, Any]:
        """Wait for an event of that name whose fields are these."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": name, **fields}
            return next((e for e in self.events if all(e.get(key) == value for key, value in wanted.items())), None)

        with self._come:
            self._come.wait_for(lambda: found() or self._ended, timeout)
            assert found(), self.story(f"no event {name} {fields}")
            event = found()
        assert event is not None
        return event

    def wait_for_another(self, name: str, count: int, timeout: float = 60.0) -> None:
        """Wait until there were more than so many events of that name."""

        def seen() -> int:
            return sum(event["event"] == name for event in self.events)

        with self._come:
            self._come.wait_for(lambda: seen() > count or self._ended, timeout)
            assert seen() > count, self.story(f"no further event {name}")

    def story(self, headline: str = "") -> str:
        """Return all that it told, for a test that fails."""
        events = [{k: v for k, v in event.items() if k not in ("seen", "started", "finished")} for event in self.events]
        return "\n".join([headline, *map(str, events), *self.log])

    def finish(self, timeout: float = 60.0) -> tuple[int, dict[str, Any]]:
        """Wait for the end; return exit code and result."""
        code = self.process.wait(timeout)
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        self.close()
        return code, json.loads(out) if out.strip() else {}

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        """End it if it runs, and close its streams; idempotent."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._come:
                event = json.loads(line) if line.startswith('{"event"') else {}
                if event.get("event") != "log" and event:
                    self.events.append(event)
                if event.get("event") == "error":
                    self.log.append(f"error: {event['message']}")
                elif event.get("event") == "log":
                    self.log += [event["message"], *event.get("traceback", "").splitlines()]
                elif not event:
                    self.log.append(line.rstrip())
                self._come.notify_all()
        with self._come:
            self._ended = True
            self._come.notify_all()


@contextmanager
def parties(project: Path, owners: list[str], host: str, state: Path) -> Iterator[Callable[..., Party]]:
    """Start participants, and end those that are left."""
    started: list[Party] = []

    def start(email: str, *options: str) -> Party:
        started.append(Party(project, email, owners, host, state, *options))
        return started[-1]

    try:
        yield start
    finally:
        for party in started:
            party.close()
