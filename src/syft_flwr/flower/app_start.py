"""Starts the process of a ClientApp for one message: forked from a server that has Flower imported, or in a sandbox."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import ForkServerProcess
from types import ModuleType
from typing import IO, Protocol

from syft_flwr.errors import FlowerError
from syft_flwr.flower import app_process, preload
from syft_flwr.flower.job import AppSpec, JobFiles, Task
from syft_flwr.flower.sandbox import Sandbox
from syft_flwr.printable import printable

_SECONDS_TO_END = 5.0
_LONGEST_LINE = 20_000  # bytes
_starting = threading.Lock()
"""Held while a start changes what belongs to the whole process."""


class _Process(Protocol):
    """A process, with all that the app starts in it."""

    def is_alive(self) -> bool: ...

    def wait_for(self, orders: Connection, timeout: float) -> bool:
        """Wait until the process has said something or has ended; tell whether it has."""

    def join(self, timeout: float | None = None) -> int | None:
        """Wait for its end; return the exit code if it has come, negative for a signal."""

    def kill(self) -> None: ...


class App:
    """A process that does one job and then ends, and the files of that job."""

    def __init__(self, process: _Process, orders: Connection, job: JobFiles) -> None:
        self._process = process
        self._orders = orders
        self._job = job

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def do(self, task: Task, timeout: float) -> tuple[JobFiles, str]:
        """Do the job; return its files, and how the process ended if it did so before the job was done."""
        end = time.monotonic() + timeout
        self._job.write(task)
        with suppress(ConnectionError):  # it has died; its exit code says how
            self._orders.send(task.stamp)
        if not self._process.wait_for(self._orders, max(0.0, end - time.monotonic())):
            self.kill()
            return self._job, f"the ClientApp was stopped after {timeout:.1f} s, when the message's ttl was over"
        if _says_done(self._orders):
            return self._job, ""
        return self._job, _describe(self._process.join(_SECONDS_TO_END))

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """Give the process some seconds to end by itself, then kill it and whatever it has left running."""
        self._process.join(_SECONDS_TO_END)
        self._process.kill()
        self._process.join()
        self._orders.close()
        shutil.rmtree(self._job.directory, ignore_errors=True)


class _Forked:
    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait_for(self, orders: Connection, timeout: float) -> bool:
        return bool(wait([orders, self._process.sentinel], timeout))

    def join(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        with suppress(ProcessLookupError):  # it has not come so far as to have a group of its own
            os.killpg(self._process.pid or 0, signal.SIGKILL)


def fork_app(spec: AppSpec, job: JobFiles, libraries: Sequence[str]) -> App:
    """Fork a process from the fork server, which is started with these libraries imported if it does not run.

    Raises:
        FlowerError: The fork server died.
    """
    context = get_context("forkserver")
    orders, theirs = context.Pipe()
    process = context.Process(target=app_process.serve, args=(spec, job, theirs), daemon=False)
    with theirs, _plain_start(libraries):
        try:
            process.start()
        except (OSError, EOFError) as error:
            raise FlowerError(f"the ClientApp's process can't be started ({error}); the output tells why") from error
    return App(_Forked(process), orders, job)


class _Sandboxed:
    """A process of bubblewrap's, which takes all in the sandbox along when it ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, orders: Connection, timeout: float) -> bool:
        return orders.poll(timeout)

    def join(self, timeout: float | None = None) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout)
            return 128 - code if code > 128 else code  # of a program that a signal ended
        return None

    def kill(self) -> None:
        self._process.kill()


def start_app_in(sandbox: Sandbox, spec: AppSpec, job: JobFiles) -> App:
    orders, theirs = Pipe()
    with theirs:
        command = [sys.executable, "-P", "-m", app_process.__name__, str(theirs.fileno())]
        process = subprocess.Popen(  # noqa: S603 - our own command
            sandbox.command(job.directory, job.results, command),
            env=sandbox.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # through a terminal, it could read what the owner types
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C in a terminal is for the owner
        )
    threading.Thread(target=_pass_on, args=(process.stdout,), name="flower-output", daemon=True).start()
    with suppress(ConnectionError):  # told when there is something to do
        orders.send((spec, job))
    return App(_Sandboxed(process), orders, job)


def _pass_on(output: IO[bytes]) -> None:
    """Print what a process prints, line by line; nothing of it steers a terminal."""
    with output:
        while line := output.readline(_LONGEST_LINE):
            text = line.decode(errors="replace").removesuffix("\n")
            print(printable(text, _LONGEST_LINE), file=sys.stderr, flush=True)  # noqa: T201 - it is the app's output


@contextmanager
def _plain_start(libraries: Sequence[str]) -> Iterator[None]:
    """Keep from the process what this one's ``__main__`` is, which it would run again, and Flower's telemetry."""
    # Without the safe path, a project in the working directory could stand in for modules of the standard library.
    ours = {"PYTHONSAFEPATH": "1", "FLWR_TELEMETRY_ENABLED": "0", preload.VARIABLE: ",".join(libraries)}
    with _starting:
        main, environment = sys.modules["__main__"], dict(os.environ)
        sys.modules["__main__"] = ModuleType("__main__")
        os.environ.update(ours)
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            for name in ours:
                os.environ.pop(name)
                if name in environment:
                    os.environ[name] = environment[name]


def _says_done(orders: Connection) -> bool:
    try:
        # Bytes, and no object: to unpickle one would let an app in a sandbox run code here.
        return orders.poll() and orders.recv_bytes(len(app_process.DONE)) == app_process.DONE
    except (EOFError, OSError):
        return False


def _describe(code: int | None) -> str:
    """Say how a process ended that left no reply."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the ClientApp's process was killed by {name}{hint}"
    return f"the ClientApp's process ended without a reply, exit code {code}"
