"""Every request is answered exactly once, however late, repetitive or unreachable Drive is."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack

import pytest
from runtimes import serve

from accounts import wait_until
from syft_flwr.clock import SystemClock
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime, sharing

ME = "do@example.com"
SENDERS = [f"ds{number}@example.com" for number in range(5)]
EACH = 15
ALL = EACH * len(SENDERS)
PATIENT = {"max_connections": 4, "cleanup": False, "sweep_interval": 0.3, "poll_interval": 0.05}


class Handled:
    """Counts what a handler was given, and lets a test wait for it."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self._condition = threading.Condition()

    def __call__(self, body: bytes, message: Message) -> bytes:
        with self._condition:
            self.times[message.future_id] += 1
            self._condition.notify_all()
        return b"answer to " + body

    def wait_for(self, count: int, timeout: float) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: len(self.times) >= count, timeout)


def send_all(senders: list[DriveRuntime], each: int) -> dict[str, list[str]]:
    futures: dict[str, list[str]] = {}

    def send(sender: DriveRuntime) -> None:
        requests = [Request(ME, "app", "messages", b"%d" % number) for number in range(each)]
        futures[sender.email] = sender.send(requests)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(futures) == len(senders)
    return futures


BEHAVIOURS = {
    "complete": {},
    "delayed": {"delay_seconds": 5.0},
    "omitted for good": {"foreign_children": "omitted"},
    "spurious views": {"views_are_changes": True},
    "lists lag": {"foreign_children": "omitted", "list_lag_seconds": 20.0},
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_requests_from_five_senders_are_answered_exactly_once(emulator, open_runtime, behaviour: str) -> None:
    handled = Handled()
    with emulator.behaviour(**BEHAVIOURS[behaviour]), ExitStack() as stack:
        me = stack.enter_context(DriveRuntime.open(ME, **PATIENT))
        serve(me, Route("app", "messages", handled))
        me.poll_once()
        senders = [stack.enter_context(DriveRuntime.open(sender, **PATIENT)) for sender in SENDERS]
        futures = send_all(senders, EACH)
        for _ in range(400):
            emulator.advance(1.0)
            me.poll_once()
            if handled.wait_for(ALL, 0.05):
                break
        assert me._engine.dispatch.placement.responder.wait_for_uploads(20.0)

        def answered() -> int:
            emulator.advance(1.0)
            for sender in senders:
                sender.poll_once()
            return sum(len(sender.answered(futures[sender.email], 0.0)) for sender in senders)

        wait_until(lambda: answered() == ALL)

        for _ in range(3):  # what comes late once more is not handled once more
            emulator.advance(30.0)
            me.poll_once()
    assert set(handled.times.values()) == {1}
    assert handled.times.keys() == {future for ids in futures.values() for future in ids}
    names = Counter(file.name for file in emulator.files(content=False))
    assert all(names[f"{future}.response"] == 1 for future in handled.times)
    assert sum(name.endswith(".response") for name in names.elements()) == ALL


class FastClock(SystemClock):
    """Fifty seconds in each: backing off takes its time, and the test does not."""

    def monotonic(self) -> float:
        return super().monotonic() * 50

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        return super().wait(event, None if timeout is None else timeout / 50)


def test_no_folder_is_doubled_and_no_token_lost_over_mixed_errors_and_resets(
    caplog: pytest.LogCaptureFixture, emulator, monkeypatch
) -> None:
    monkeypatch.setattr(sharing, "SystemClock", FastClock)
    caplog.set_level("INFO", "syft_flwr.runtime")
    handled = Handled()
    emulator.seed(7)
    for status in (429, 500, 503):
        emulator.add_fault("error", rate=0.02, status=status)
    emulator.add_fault("error", rate=0.02, status=503, when="after")
    emulator.add_fault("reset", rate=0.02, when="after")
    fast = {"max_connections": 4, "cleanup": False, "poll_interval": 5.0}
    with ExitStack() as stack:
        me = stack.enter_context(DriveRuntime.open(ME, **fast))
        serve(me, Route("app", "messages", handled), known_senders=SENDERS)
        me.start()
        senders = [stack.enter_context(DriveRuntime.open(sender, **fast)) for sender in SENDERS]
        futures = send_all(senders, 20)
        for sender in senders:
            assert len(sender.answered(futures[sender.email], 3_000.0, enough=20)) == 20
    assert set(handled.times.values()) == {1}
    assert len(handled.times) == 100
    files = emulator.files(content=False)
    replies = Counter(file.name for file in files if file.name.endswith(".response"))
    assert len(replies) == 100
    assert set(replies.values()) == {1}
    folders = Counter((file.parent, file.name) for file in files if file.size is None and file.owner == ME)
    assert set(folders.values()) == {1}
    assert caplog.text.count("from a new start token") == 1 + len(SENDERS)
