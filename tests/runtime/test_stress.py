"""Handles of one account that eight threads open, use and close, among observers that do all that one must not."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from runtimes import serve

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.events import P2PFileEvents
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime

ME, PEER, APP = "do@example.com", "ds@example.com", "flwr/app"
THREADS, REQUEST_EVERY = 8, 7
QUICK = {"poll_interval": 0.05, "max_poll_interval": 0.2, "quota_units_per_minute": None}


class Stress:
    """What the threads do, and what must be true of it afterwards."""

    def __init__(self, actions: int) -> None:
        self.actions = actions
        self.ended = threading.Semaphore(0)
        """Counts actions."""
        self.sent: list[str] = []
        self.handled: Counter[bytes] = Counter()
        self.failures: list[BaseException] = []
        self.counted = threading.Lock()

    def handle(self, body: bytes, _: Message | None = None) -> bytes:
        with self.counted:
            self.handled[body] += 1
        return body

    def send(self, handle: DriveRuntime) -> list[str]:
        futures = handle.send([Request(PEER, APP, "echo", b"to the peer")])
        self.sent += futures
        return futures

    # -- what a thread does with its handle ---------------------------------------------------------------------

    def ask(self, handle: DriveRuntime) -> None:
        futures = self.send(handle)
        assert handle.wait(futures, 60.0) == {futures[0]: b"to the peer"}

    def poll(self, handle: DriveRuntime) -> None:
        handle.poll_once()

    def follow(self, handle: DriveRuntime) -> None:
        """Follow the feed until something comes, or not even so long."""
        come = threading.Event()
        subscription = handle.changes.subscribe(lambda _: come.set())
        handle.start()
        come.wait(random.choice([0.0, 0.3]))
        handle.stop()
        subscription.dispose()

    def answer(self, handle: DriveRuntime) -> None:
        events = P2PFileEvents(APP, ME, poll_interval=0.05)
        events.on_request("messages", self.handle)
        with suppress(ValueError):  # another thread answers just now
            detach = events.attach(handle)
            self.follow(handle)
            detach()

    def observe(self, handle: DriveRuntime, what: Callable[[Message], object]) -> None:
        subscription = handle.messages.subscribe(what)
        self.follow(handle)
        subscription.dispose()

    def send_in_observer(self, handle: DriveRuntime) -> None:
        once = iter([True])
        self.observe(handle, lambda _: next(once, False) and self.send(handle))

    def wait_in_observer(self, handle: DriveRuntime) -> None:
        self.observe(handle, lambda _: handle.wait(self.sent[-1:], 0.05))

    def raise_in_observer(self, handle: DriveRuntime) -> None:
        self.observe(handle, lambda message: {}[message.future_id])

    def dispose_in_observer(self, handle: DriveRuntime) -> None:
        subscription = handle.messages.subscribe(lambda _: subscription.dispose())
        self.follow(handle)

    def close_in_observer(self, handle: DriveRuntime) -> None:
        with suppress(RuntimeClosedError):
            self.observe(handle, lambda _: handle.close())

    # -- the threads --------------------------------------------------------------------------------------------

    def run(self, seed: int) -> None:
        rng = random.Random(seed)
        actions = [self.ask, self.poll, self.follow, self.answer, self.send_in_observer, self.wait_in_observer]
        actions += [self.raise_in_observer, self.dispose_in_observer, self.close_in_observer]
        try:
            for _ in range(self.actions):
                if self.failures:
                    return
                with DriveRuntime.open(ME, **QUICK) as handle:
                    rng.choice(actions)(handle)
                self.ended.release()
        except BaseException as error:
            self.failures.append(error)
            self.ended.release(THREADS * self.actions)


@pytest.mark.parametrize(
    "actions",
    [
        pytest.param(60, marks=pytest.mark.timeout(150)),
        pytest.param(2_250, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_nothing_hangs_and_nothing_is_lost_among_eight_threads(emulator, actions: int) -> None:
    stress = Stress(actions)
    asked: dict[str, bytes] = {}
    with DriveRuntime.open(PEER, **QUICK) as peer:
        serve(peer, Route(APP, "echo", lambda body, _: body), known_senders=(ME,))
        peer.start()
        threads = [threading.Thread(target=stress.run, args=(seed,), daemon=True) for seed in range(THREADS)]
        for thread in threads:
            thread.start()
        for _ in range(THREADS * actions // REQUEST_EVERY):
            for _ in range(REQUEST_EVERY):  # a load, not a flood
                stress.ended.acquire()
            if stress.failures:
                break
            body = f"request {len(asked)}".encode()
            asked |= dict.fromkeys(peer.send([Request(ME, APP, "messages", body)]), body)
        for thread in threads:
            thread.join()
        if stress.failures:
            raise stress.failures[0]
        with DriveRuntime.open(ME, **QUICK) as handle:
            serve(handle, Route(APP, "messages", stress.handle))
            handle.start()
            assert peer.wait(list(asked), 60.0) == asked
            assert set(handle.wait(stress.sent, 60.0).values()) == {b"to the peer"}
            assert handle.answered(stress.sent, 0.0) == set(stress.sent)
    assert stress.handled == Counter(asked.values())
