"""A whole federation on one machine: a local Drive, one process per data owner, and the aggregator.

Every participant is a process of its own that does what ``syft-flwr run`` does, with an account of its own.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any, Self

from syft_flwr.clock import SIGNAL_INTERVAL
from syft_flwr.errors import FlowerError
from syft_flwr.flower.children import TERM_TIMEOUT, end_all, last_line, spawn
from syft_flwr.flower.progress import Progress
from syft_flwr.private import create_private, make_directories, write_private
from syft_flwr.settings import DATA_VARIABLE, EMAIL_VARIABLE, EMULATOR_VARIABLE, STATE_VARIABLE, TOKEN_VARIABLE

logger = logging.getLogger(__name__)

AGGREGATOR = "aggregator@example.com"

_OUTPUT = "output"
_START_TIMEOUT = 60.0
_LEAVE_TIMEOUT = 15.0


def owner_email(number: int) -> str:
    """Return the address of a simulated data owner, counted from 1."""
    return f"do{number}@example.com"


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """What to simulate.

    ``port`` is the local Drive's, 0 for a free one; ``data`` keeps its files. ``run_options`` are options of
    ``syft-flwr run`` for everybody, ``aggregator_options`` for the aggregator only. ``poll_interval`` is in seconds.
    ``datasets``, one for each owner, are what the apps find in ``DATA_DIR``; empty leaves the variable as it is.
    """

    project: Path
    out: Path
    owners: int
    port: int = 0
    data: Path | None = None
    run_options: tuple[str, ...] = ()
    aggregator_options: tuple[str, ...] = ()
    poll_interval: float = 0.1
    datasets: tuple[Path, ...] = ()


@dataclass(slots=True)
class _Member:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    error: str = ""
    left: bool = False
    """Whether it said that it ends, or ended well."""
    bill: dict[str, Any] = field(default_factory=dict)


class Simulation:
    """Starts everybody, passes their events on, and ends everybody. A context manager, used once."""

    def __init__(self, plan: SimulationPlan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._logs = plan.out / "logs"
        make_directories(self._logs)
        self._state = tempfile.TemporaryDirectory(prefix="syft-flwr-", ignore_cleanup_errors=True)
        self._members: dict[str, _Member] = {}
        self._emulator: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[tuple[str, dict[str, Any] | None]] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._round = ""

    def run(self) -> dict[str, Any]:
        """Run the simulation to its end.

        Returns:
            The content of ``result.json``.

        Raises:
            FlowerError: Somebody could not start, failed or died; the message says who, why and where its log is.
        """
        started = time.monotonic()
        emails = [owner_email(number) for number in range(1, self._plan.owners + 1)]
        host = self._start_emulator([AGGREGATOR, *emails])
        parties = [option for email in emails for option in ("--datasite", email)]
        for place, email in enumerate(emails):
            partition = f"partition-id={place} num-partitions={len(emails)}"
            data = {DATA_VARIABLE: str(self._plan.datasets[place])} if self._plan.datasets else {}
            self._start_member(email, host, [*parties, "--auto-approve", "--node-config", partition], data)
        options = [*parties, *self._plan.aggregator_options, "--out", str(self._plan.out)]
        self._start_member(AGGREGATOR, host, options, {})
        self._pass_events_on()
        return self._conclude(time.monotonic() - started)

    def close(self) -> None:
        """End everybody: politely, then not; the local Drive last. Idempotent."""
        end_all([member.process for member in self._members.values()])
        if self._emulator is not None:
            end_all([self._emulator])
        for thread in self._threads:
            thread.join(TERM_TIMEOUT)
        self._threads.clear()
        self._state.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start_emulator(self, emails: Sequence[str]) -> str:
        """Start the local Drive, which other users of this machine can reach, and read nothing of."""
        plan = self._plan
        command = ["emulator", "--port", str(plan.port), "--json"]
        for email in emails:
            command += ["--token-file", f"{email}={self._token_file(email)}"]
        command += ["--data", str(plan.data)] if plan.data else []
        log = self._logs / "drive.log"
        self._emulator = process = spawn(command, log, stdout=subprocess.PIPE)
        assert process.stdout is not None  # noqa: S101 - asked for above
        with process.stdout as stdout:
            if not wait([stdout.fileno()], _START_TIMEOUT):
                raise FlowerError(f"the local Drive did not start within {_START_TIMEOUT:.0f} s; see {log}")
            line = stdout.readline()
        try:
            return str(json.loads(line)["host"])
        except (ValueError, KeyError) as error:
            process.wait(TERM_TIMEOUT)
            reason = last_line(log).removeprefix("error: ") or f"see {log}"
            raise FlowerError(f"the local Drive did not start: {reason}") from error

    def _start_member(self, email: str, host: str, options: Sequence[str], variables: Mapping[str, str]) -> None:
        read, write = os.pipe()
        plan = self._plan
        command = ["run", str(plan.project), "--aggregator", AGGREGATOR, *options, *plan.run_options]
        command += ["--poll-interval", str(plan.poll_interval), "--max-poll-interval", str(4 * plan.poll_interval)]
        command += ["--events-fd", str(write)]
        log = self._logs / f"{email}.log"
        state, token = self._state.name, str(self._token_file(email))
        environment = {EMAIL_VARIABLE: email, EMULATOR_VARIABLE: host, STATE_VARIABLE: state, TOKEN_VARIABLE: token}
        stdout = subprocess.PIPE if email == AGGREGATOR else None
        try:
            process = spawn(command, log, {**environment, **variables}, stdout=stdout, pass_fds=(write,))
        finally:
            os.close(write)
        self._members[email] = _Member(email, process, log)
        self._start_reader(self._read_events, email, read)
        if process.stdout is not None:
            self._start_reader(self._read_output, process.stdout, log)

    def _start_reader(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name="simulation-reader", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read_output(self, stream: IO[bytes], log: Path) -> None:
        """Pass on what the ServerApp prints, and keep it in the aggregator's log."""
        with stream, create_private(log, append=True) as file:
            for line in stream:
                file.write(line)
                file.flush()
                text = line.decode(errors="replace").rstrip("\r\n").expandtabs()
                self._events.put((AGGREGATOR, {"event": "output", "time": time.time(), "line": text}))
        self._events.put((_OUTPUT, None))

    def _read_events(self, email: str, fd: int) -> None:
        with os.fdopen(fd, encoding="utf-8") as lines:
            for line in lines:
                with suppress(ValueError):  # cut off by the end of its writer
                    self._events.put((email, json.loads(line)))
        self._events.put((email, None))

    def _pass_events_on(self) -> None:
        """Pass events on until everybody has left; a death that was not announced ends it all."""
        here = {*self._members, _OUTPUT}
        end: float | None = None
        while here:
            try:
                left = SIGNAL_INTERVAL if end is None else end - time.monotonic()
                email, event = self._events.get(timeout=max(0.0, min(left, SIGNAL_INTERVAL)))
            except queue.Empty:
                if end is None or time.monotonic() < end:
                    continue
                logger.warning("ended by force, since they did not leave: %s", ", ".join(sorted(here)))
                return
            if event is not None:
                self._note(email, event)
                continue
            here.discard(email)
            if email == _OUTPUT:
                continue
            self._check_exit(self._members[email])
            if email == AGGREGATOR:
                end = time.monotonic() + _LEAVE_TIMEOUT

    def _note(self, email: str, event: dict[str, Any]) -> None:
        member, name = self._members[email], event.pop("event")
        if name == "round":
            self._round = f" in round {event['round']}"
        if name == "error":
            member.error = str(event["message"])
            return
        if name in ("stopped", "result"):
            member.left = True
        if name == "bill":
            member.bill = {key: value for key, value in event.items() if key not in ("account", "time")}
        event.setdefault("member", email)
        self._progress(name, **event)

    def _check_exit(self, member: _Member) -> None:
        code = member.process.wait()
        if code == 0 and (member.left or member.name != AGGREGATOR):
            member.left = True
            return
        if member.left and not member.error:
            logger.warning("%s ended with exit code %d after its run was over", member.name, code)
            return
        # The cause may be known to another one: an owner that died, say, while the aggregator waits.
        if member.name == AGGREGATOR and member.error:
            raise FlowerError(f"{member.error}. Logs: {member.log.parent}")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        why = member.error or last_line(member.log) or "no word in its log"
        who = "the aggregator" if member.name == AGGREGATOR else f"the data owner {member.name}"
        raise FlowerError(f"{who} died{self._round} ({how}): {why}. Its log: {member.log}")

    def _conclude(self, seconds: float) -> dict[str, Any]:
        path = self._plan.out / "result.json"
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        result["wall_seconds"] = round(seconds, 3)
        result["bill"] = {member.name: member.bill for member in self._members.values() if member.bill}
        result["directory"] = str(self._plan.out)
        write_private(path, json.dumps(result, indent=2).encode() + b"\n")
        return result

    def _token_file(self, email: str) -> Path:
        return Path(self._state.name, f"{email}.json")
