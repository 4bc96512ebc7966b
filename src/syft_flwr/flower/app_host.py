"""Where a data owner's ClientApp runs: in a fresh process per message, or in this one.

A SuperNode starts a new process for every message: module globals never survive, only ``context.state`` does. Starting
an interpreter and importing flwr takes a second or more; the standard library's fork server, which has it imported,
forks a process in a millisecond. One process is kept ahead: it imports the app while it waits for its message.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Protocol, Self

from syft_flwr.errors import FlowerError, RuntimeClosedError
from syft_flwr.flower import app_process, preload
from syft_flwr.flower.codec import Stamp, decode
from syft_flwr.flower.job import AppSpec, JobFiles, Outcome, Task, run_client_app
from syft_flwr.private import make_private_directory

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
            timeout: Seconds after which the reply is of no use any more.

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
            message, _ = decode(b"".join(p if isinstance(p, bytes) else p.read_bytes() for p in task.message))
            result = run_client_app(self._spec, message, task.context, task.stamp)
            return Outcome(b"".join(result.reply), result.context, result.error)

    def close(self) -> None:
        """There is nothing to end."""


class _App:
    """A process for one message, with all that the app starts in it."""

    def __init__(self, spec: AppSpec, libraries: Sequence[str]) -> None:
        """Start the process, and the fork server if it does not run, with these libraries imported.

        Raises:
            FlowerError: The fork server died.
        """
        context = get_context("forkserver")
        self._orders, theirs = context.Pipe()
        self._process: ForkServerProcess = context.Process(target=app_process.serve, args=(spec, theirs), daemon=False)
        with theirs, _plain_start(libraries):
            try:
                self._process.start()
            except (OSError, EOFError) as error:
                raise FlowerError(
                    f"the ClientApp's process can't be started ({error}); the output tells why"
                ) from error

    @property
    def is_running(self) -> bool:
        return self._process.is_alive()

    def do(self, directory: Path, stamp: Stamp, timeout: float) -> str:
        """Do a job; return how the process ended if it did so before the job was done."""
        with suppress(BrokenPipeError):  # it has died; its exit code says how
            self._orders.send((directory, stamp))
        if not wait([self._orders, self._process.sentinel], timeout):
            self.kill()
            return f"the ClientApp was stopped after {timeout:.1f} s, when the message's ttl was over"
        if _says_done(self._orders):
            return ""
        self._process.join(_SECONDS_TO_END)
        return _describe(self._process.exitcode)

    def kill(self) -> None:
        self._process.kill()
        with suppress(ProcessLookupError):  # it has not come so far as to have a group of its own
            os.killpg(self._process.pid or 0, signal.SIGKILL)

    def end(self) -> None:
        """Give the process some seconds to end by itself, then kill it and whatever it has left running."""
        self._process.join(_SECONDS_TO_END)
        self.kill()
        self._process.join()
        self._orders.close()


class ForkedApps:
    """Runs each message in a fresh process, forked from a server that has Flower imported.

    A crash (segmentation fault, out of memory) or a hang costs one message only. The reply is there when the app has
    returned; its process may take some seconds longer to end, while the next message is at work.
    """

    def __init__(self, spec: AppSpec, work_directory: Path) -> None:
        """Start the server and the first process.

        Args:
            spec: The app; imported only in processes of its own.
            work_directory: Gets a subdirectory per message, deleted afterwards.
        """
        self._spec = spec
        self._directory = work_directory
        make_private_directory(work_directory)
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._apps: set[_App] = set()
        self._closed = False
        self._threads = ThreadPoolExecutor(thread_name_prefix="flower-app")
        self._libraries = app_process.libraries(Path(spec.project_dir))
        get_context("forkserver").set_forkserver_preload([preload.__name__, app_process.__name__])
        self._next: Future[_App] = self._threads.submit(self._start)

    def warm_up(self) -> None:
        self._next.result()

    def run(self, task: Task, timeout: float) -> Outcome:
        with self._turn, self._job_directory() as directory:
            job = JobFiles.write(Path(directory), task)
            app = self._take()
            try:
                crash = app.do(job.directory, task.stamp, max(0.0, timeout))
            finally:
                with self._lock:
                    if not self._closed:
                        self._next = self._threads.submit(self._start)
                        self._threads.submit(self._end, app)
            if (outcome := job.outcome()) is not None:
                return outcome
            if self._closed:
                raise RuntimeClosedError("the app's host was closed while the app was at work")
            return Outcome(crash=crash)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            apps = list(self._apps)
        for app in apps:
            app.kill()
        self._threads.shutdown()
        with self._turn:
            for app in list(self._apps):
                self._end(app)
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _start(self) -> _App:
        app = _App(self._spec, self._libraries)
        with self._lock:
            self._apps.add(app)
            if not self._closed:
                return app
        app.kill()
        raise RuntimeClosedError("the app's host is closed")

    def _take(self) -> _App:
        """Return the process kept ahead, or another one if it has died since: killed by the kernel, say."""
        try:
            app = self._next.result()
        except FlowerError:
            logger.warning("starting the ClientApp's process again", exc_info=True)
            return self._start()
        return app if app.is_running else self._start()

    def _end(self, app: _App) -> None:
        app.end()
        with self._lock:
            self._apps.discard(app)

    def _job_directory(self) -> tempfile.TemporaryDirectory[str]:
        if self._closed:
            raise RuntimeClosedError("the app's host is closed")
        return tempfile.TemporaryDirectory(dir=self._directory, ignore_cleanup_errors=True)


@contextmanager
def _plain_start(libraries: Sequence[str]) -> Iterator[None]:
    """Keep from the process what this one's ``__main__`` is, which it would run again, and Flower's telemetry."""
    main, environment = sys.modules["__main__"], dict(os.environ)
    sys.modules["__main__"] = ModuleType("__main__")
    # Without the safe path, a project in the working directory could stand in for modules of the standard library.
    ours = {"PYTHONSAFEPATH": "1", "FLWR_TELEMETRY_ENABLED": "0", preload.VARIABLE: ",".join(libraries)}
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
        return orders.poll() and bool(orders.recv())
    except (EOFError, OSError):
        return False


def _describe(code: int | None) -> str:
    """Say how a process ended that left no reply."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the ClientApp's process was killed by {name}{hint}"
    return f"the ClientApp's process ended without a reply, exit code {code}"
