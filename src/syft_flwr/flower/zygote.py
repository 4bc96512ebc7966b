"""A process that forks one fresh process per message, so that none of them pays for importing Flower.

A SuperNode starts a new process for every message: module globals never survive, only ``context.state`` does. Starting
an interpreter and importing flwr takes a second or more; a fork of a process that has it imported takes milliseconds.
One step further, the next process imports the app while it waits for its message.

The zygote has one thread, so forking is safe. Libraries that the project's files import and that are known to bear a
fork afterwards (:data:`FORK_SAFE`) are imported in the zygote, too: they are the slow ones.

It reads JSON lines from a socket: first ``{"spec": …}``, then
``{"job": directory, "timeout": seconds}`` one at a time, each answered by ``{"status": wait status, "timed_out": …}``;
``{}`` is answered when it is ready.
When the socket closes, it kills what runs and ends. Run as ``python -P -m syft_flwr.flower.zygote FD``.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from syft_flwr.flower._compat import reseed
from syft_flwr.flower.job import AppSpec, JobFiles, load_checked
from syft_flwr.flower.project import project_files
from syft_flwr.flower.sources import import_from_sources

FORK_SAFE = frozenset({"numpy", "pandas", "scipy", "sklearn", "torch"})
"""Importing these starts no thread that a fork would lose, nor draws random numbers (but for numpy's, reseeded)."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    orders: int
    """Writing end of the pipe that tells the child its job."""


class _Zygote:
    """Forks children and waits for them."""

    def __init__(self, control: socket.socket, spec: AppSpec) -> None:
        self._control = control
        self._lines = control.makefile("r", encoding="utf-8")
        self._spec = spec
        self._orders: int | None = None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> int | None:
        """Serve jobs until the socket closes.

        Returns:
            ``None`` in the zygote, and in each forked child the file descriptor to read its job from. Children leave
            through here, so that they do not clean up what is the zygote's.
        """
        child = self._fork()
        while child is not None:
            line = self._lines.readline()
            if not line:
                self._kill(child)
                return None
            order = json.loads(line)
            if "job" not in order:
                self._control.sendall(b'{"ready": true}\n')
                continue
            if self._has_ended(child):  # importing the app crashed; the next one will tell on its job
                os.close(child.orders)
                child = self._fork()
                if child is None:
                    break
            answer = self._run(child, order)
            if answer is None:
                return None
            child = self._fork()
            if child is not None:
                self._control.sendall(json.dumps(answer).encode() + b"\n")
        return self._orders

    def _fork(self) -> _Child | None:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(write)
            self._become_child()
            self._orders = read
            return None
        os.close(read)
        _own_group(pid)
        return _Child(pid, write)

    def _become_child(self) -> None:
        parent = os.getppid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _own_group(0)
        _die_with(parent)
        self._lines.close()
        self._control.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        reseed()
        faulthandler.enable()

    def _run(self, child: _Child, order: dict[str, Any]) -> dict[str, Any] | None:
        """Give a child its job and wait; ``None`` when the socket closed meanwhile."""
        with contextlib.suppress(BrokenPipeError):  # it has died; its status says how
            os.write(child.orders, order["job"].encode() + b"\n")
        os.close(child.orders)
        deadline: float | None = order["timeout"]
        timed_out = False
        while True:
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                _kill_group(child.pid)  # whatever it has left running
                return {"status": status, "timed_out": timed_out}
            watched: list[Any] = [self._wake_read, self._control]
            ready, _, _ = select.select(watched, [], [], deadline)
            if self._wake_read in ready:
                _drain(self._wake_read)
            if self._control in ready:  # nothing is sent during a job: it was closed
                self._kill(child)
                return None
            if not ready:
                timed_out, deadline = True, None
                _kill_group(child.pid)

    def _has_ended(self, child: _Child) -> bool:
        return os.waitpid(child.pid, os.WNOHANG)[0] != 0

    def _kill(self, child: _Child) -> None:
        _kill_group(child.pid)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, 0)


def _own_group(pid: int) -> None:
    """Put a process into a group of its own, so that what it starts can be killed with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # both sides do this; one is first
        os.setpgid(pid, pid)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux; elsewhere it ends with its message)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def _drain(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(fd, 512):
            pass


def libraries(project_dir: Path) -> list[str]:
    """Return the modules of fork-safe libraries that a project's files import; nothing is executed."""
    found: dict[str, None] = {}
    for path in sorted(path for path in project_files(project_dir) if path.suffix == ".py"):
        with contextlib.suppress(SyntaxError, ValueError, OSError):  # told when the app is loaded, if it matters
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    found |= dict.fromkeys(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found[node.module] = None
    return [name for name in found if name.partition(".")[0] in FORK_SAFE]


def _preload(project_dir: Path) -> None:
    for name in libraries(project_dir):
        with contextlib.suppress(Exception):  # whatever it raises here, it will raise in the app, too
            importlib.import_module(name)


def _work(spec: AppSpec, orders: int) -> None:
    """Import the app, wait for the job, do it."""
    with contextlib.suppress(Exception, SystemExit):  # told when the job comes, which loads it again
        load_checked(spec)
    with os.fdopen(orders, encoding="utf-8") as lines:
        directory = lines.readline().strip()
    if directory:
        JobFiles(Path(directory)).execute()


def _leave() -> NoReturn:
    """End as Python ends, but without taking all modules apart, which would take longer than a small app's work."""
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    atexit._run_exitfuncs()  # noqa: SLF001 - what the interpreter does at this point; os._exit does not
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main(fd: int) -> None:
    """Serve jobs from a socket until it closes."""
    control = socket.socket(fileno=fd)
    control.set_inheritable(False)
    first = b""
    while not first.endswith(b"\n"):
        piece = control.recv(1)
        if not piece:
            return
        first += piece
    spec = AppSpec(**json.loads(first)["spec"])
    _preload(Path(spec.project_dir))
    import_from_sources(Path(spec.project_dir))
    gc.collect()
    gc.freeze()  # or each child's first collection would touch, and so copy, every page
    orders = _Zygote(control, spec).serve()
    if orders is not None:
        _work(spec, orders)
        _leave()


if __name__ == "__main__":
    main(int(sys.argv[1]))
