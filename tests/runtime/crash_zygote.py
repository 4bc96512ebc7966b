"""A process that has everything imported and forks participants on demand, so that one starts within milliseconds.

It reads one JSON object per line and answers each with one line: ``{"run": {…}}`` with a process ID,
``{"wait": pid}`` with how that process ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime, sharing
from syft_flwr.runtime.engine import Engine
from syft_flwr.runtime.handle import engine_of
from syft_flwr.settings import STATE_VARIABLE
from syft_flwr.state.journal import Journal
from syft_flwr.state.ledger import Ledger

assert sharing


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before(owner: type, name: str) -> None:
    setattr(owner, name, lambda *_args, **_options: die())


def die_after(owner: type, name: str, when=lambda _result: True) -> None:
    method = getattr(owner, name)

    def wrapper(*args: Any, **options: Any) -> Any:
        result = method(*args, **options)
        if when(result):
            die()
        return result

    setattr(owner, name, wrapper)


STEPS = {
    "after fetch": lambda: die_after(
        HttpDriveGateway,
        "list_changes",
        lambda page: any(change.file and change.file.name.endswith(".request") for change in page.changes),
    ),
    "after commit": lambda: die_after(Ledger, "commit", lambda result: result[0].new),
    "after download": lambda: die_after(HttpDriveGateway, "download"),
    "in the handler": lambda: None,
    "after the handler": lambda: die_before(Journal, "spool"),
    "after spool": lambda: die_after(Journal, "spool"),
    "after upload": lambda: die_after(HttpDriveGateway, "upload"),
    "during stop": lambda: die_after(Engine, "withdraw"),
}


def participate(step: str | None, state: str, log: str, pause: float, settings: dict[str, Any]) -> None:
    """Serve until SIGTERM, noting each run of the handler before it answers."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.environ[STATE_VARIABLE] = state
    if step is not None:
        STEPS[step]()

    def handle(body: bytes, message: Message) -> bytes:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{message.future_id} {os.getpid()}\n".encode())
        os.close(descriptor)
        if step == "in the handler":
            die()
        threading.Event().wait(pause)
        return b"answer to " + body

    with DriveRuntime.open("do@example.com", **settings) as runtime:
        engine_of(runtime).serve(Route("app", "messages", handle))
        runtime.start(on_failure=stopped.set)
        stopped.wait()
        runtime.stop(on_failure=stopped.set)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            os.close(0)
            try:
                participate(**order["run"])
            finally:
                os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
