"""Where a data owner's ClientApp runs: in a fresh process per message, or in this one.

A SuperNode starts a new process for every message: module globals never survive, only ``context.state`` does. Starting
an interpreter and importing flwr takes a second or more; the standard library's fork server, which has it imported,
forks a process in a millisecond. One process is kept ahead: it imports the app while it waits for its message.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, Self

from syft_flwr.errors import FlowerError, RuntimeClosedError
from syft_flwr.flower import app_process, preload
from syft_flwr.flower.app_start import App, fork_app, start_app_in
from syft_flwr.flower.codec import decode, joined
from syft_flwr.flower.job import AppSpec, JobFiles, Outcome, Task, run_client_app
from syft_flwr.flower.sandbox import Sandbox
from syft_flwr.private import make_private_directory

logger = logging.getLogger(__name__)

_CLOSED = "the app's host is closed"


class AppHost(Protocol):
    """Runs one ClientApp on one message at a time."""

    def warm_up(self) -> None:
        """Wait until a message would be run at once.

        Raises:
            RuntimeClosedError: The host was closed meanwhile.
        """

    def run(self, task: Task, timeout: float) -> Outcome:
        """Run the app on a message whose reply is of no use after ``timeout`` seconds.

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
            message, _ = decode(joined(task.message))
            result = run_client_app(self._spec, message, task.context, task.stamp)
            return Outcome(b"".join(result.reply), result.context, result.error)

    def close(self) -> None:
        """There is nothing to end."""


class ForkedApps:
    """Runs each message in a fresh process.

    A crash (segmentation fault, out of memory) or a hang costs one message only. The reply is there when the app has
    returned; its process may take some seconds longer to end, while the next message is at work.
    """

    def __init__(self, spec: AppSpec, work_directory: Path, sandbox: Sandbox | None = None) -> None:
        """Start the first process, and the server that forks it unless it is in a sandbox.

        ``work_directory`` gets a subdirectory per message, deleted afterwards.

        Raises:
            ConfigurationError: The sandbox can't be made here.
        """
        make_private_directory(work_directory)
        self._directory = work_directory
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._apps: set[App] = set()
        self._closed = False
        if sandbox is None:
            libraries = app_process.libraries(Path(spec.project_dir))
            get_context("forkserver").set_forkserver_preload([preload.__name__, app_process.__name__])
            self._new_app: Callable[[JobFiles], App] = lambda job: fork_app(spec, job, libraries)
        else:
            sandbox.check(work_directory)
            self._new_app = lambda job: start_app_in(sandbox, spec, job)
        self._threads = ThreadPoolExecutor(thread_name_prefix="flower-app")
        self._next: Future[App] = self._threads.submit(self._start)

    def warm_up(self) -> None:
        self._next.result()

    def run(self, task: Task, timeout: float) -> Outcome:
        with self._turn:
            app = self._take()
            try:
                job, crash = app.do(task, max(0.0, timeout))
                outcome = job.outcome()
            finally:
                with self._lock:
                    if not self._closed:
                        self._next = self._threads.submit(self._start)
                        self._threads.submit(self._end, app)
            if outcome is not None:
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

    def _start(self) -> App:
        self._check_open()
        app = self._new_app(JobFiles.make(self._directory))
        with self._lock:
            self._apps.add(app)
            if not self._closed:
                return app
        app.kill()
        raise RuntimeClosedError(_CLOSED)

    def _take(self) -> App:
        """Return the process kept ahead, or another one if it has died since: killed by the kernel, say."""
        self._check_open()
        try:
            app = self._next.result()
        except FlowerError:
            logger.warning("starting the ClientApp's process again", exc_info=True)
            return self._start()
        return app if app.is_running else self._start()

    def _end(self, app: App) -> None:
        app.end()
        with self._lock:
            self._apps.discard(app)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeClosedError(_CLOSED)
