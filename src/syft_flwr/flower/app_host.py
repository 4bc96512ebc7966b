"""Where a data owner's ClientApp runs: in a fresh process per message, or in this one."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, Self

from syft_flwr.errors import FlowerError, RuntimeClosedError
from syft_flwr.flower.codec import decode
from syft_flwr.flower.job import AppSpec, JobFiles, Outcome, Task, run_client_app

logger = logging.getLogger(__name__)

_SECONDS_TO_END = 5.0


class AppHost(Protocol):
    """Runs one ClientApp on one message at a time."""

    def warm_up(self) -> None:
        """Wait until a message would be run at once.

        Raises:
            RuntimeClosedError: The host was closed meanwhile.
        """

    def run(self, task: Task, timeout: float) -> Outcome:
        """Run the app.

        Args:
            task: The message.
            timeout: Seconds after which the reply is of no use to anybody.

        Raises:
            RuntimeClosedError: The host was closed meanwhile; the message is to be handled another time.
        """

    def close(self) -> None:
        """End the app, also one that is at work; idempotent."""


class InProcessApps:
    """Runs the app in this process: quicker to debug, but module globals survive and a crash takes all with it."""

    def __init__(self, spec: AppSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """There is nothing to wait for."""

    def run(self, task: Task, timeout: float) -> Outcome:  # noqa: ARG002 - can't be interrupted
        with self._lock:
            message, _ = decode(task.message)
            result = run_client_app(self._spec, message, task.context, task.stamp)
            return Outcome(b"".join(result.reply), result.context, result.error)

    def close(self) -> None:
        """There is nothing to end."""


class ForkedApps:
    """Runs each message in a fresh process, forked from a zygote that has Flower imported.

    A crash (segmentation fault, out of memory) or a hang costs one message only.
    """

    def __init__(self, spec: AppSpec, work_directory: Path) -> None:
        """Start the zygote.

        Args:
            spec: The app; imported only in child processes.
            work_directory: Gets a subdirectory per message, deleted afterwards.
        """
        self._spec = spec
        self._directory = work_directory
        work_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._closed = False
        self._warm = False
        self._process, self._control = self._start()

    def warm_up(self) -> None:
        with self._lock:
            if not self._warm:
                self._ask({})
                self._warm = True

    def run(self, task: Task, timeout: float) -> Outcome:
        with self._lock, self._job_directory() as directory:
            job = JobFiles.write(Path(directory), self._spec, task)
            answer = self._ask({"job": directory, "timeout": max(0.0, timeout)})
            return job.outcome() or Outcome(crash=_describe(answer, timeout))

    def close(self) -> None:
        self._closed = True
        try:
            self._control.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the app's zygote is gone already")
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock:
            self._control.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _job_directory(self) -> tempfile.TemporaryDirectory[str]:
        if self._closed:
            raise RuntimeClosedError("the app's host is closed")
        return tempfile.TemporaryDirectory(dir=self._directory, ignore_cleanup_errors=True)

    def _ask(self, order: dict[str, object]) -> dict[str, object]:
        for attempt in (1, 2):
            if self._closed:
                raise RuntimeClosedError("the app's host is closed")
            try:
                self._control.sendall(json.dumps(order).encode() + b"\n")
                line = self._receive_line()
            except OSError:
                line = b""
            if line:
                answer: dict[str, object] = json.loads(line)
                return answer
            if self._closed:
                raise RuntimeClosedError("the app's host was closed while the app was at work")
            # Killed by the kernel's memory killer, say. A second try has a fresh one.
            status = self._process.wait()
            logger.warning("the app's zygote ended (exit code %s) on attempt %d; starting another", status, attempt)
            self._control.close()
            self._process, self._control = self._start()
        raise FlowerError("the process that starts the ClientApp dies again and again; its output tells why")

    def _receive_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            piece = self._control.recv(4096)
            if not piece:
                return b""
            line += piece
        return line

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C in a terminal is for the loop, which decides what becomes of the app.
            process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "syft_flwr.flower.zygote", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "FLWR_TELEMETRY_ENABLED": "0"},
            )
        ours.sendall(json.dumps({"spec": asdict(self._spec)}).encode() + b"\n")
        return process, ours


def _describe(answer: dict[str, object], timeout: float) -> str:
    """Say how a process ended that left no reply."""
    if answer.get("timed_out"):
        return f"the ClientApp was stopped when the message's ttl was over, after {timeout:.0f} s"
    code = os.waitstatus_to_exitcode(int(str(answer["status"])))
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the ClientApp's process was killed by {name}{hint}"
    return f"the ClientApp's process ended without a reply, exit code {code}"
