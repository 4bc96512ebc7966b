from __future__ import annotations

import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from parties import APP, DO, calls, messages, serving, wait_until
from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

SENDERS = 20
EACH = 100
EARLY = 40


@pytest.mark.usefixtures("plain_environment")
@pytest.mark.timeout(400)
def test_two_thousand_requests_of_twenty_senders_are_answered_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handled: Counter[bytes] = Counter()
    order: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    lock = threading.Lock()

    def echo(body: bytes, message: Message) -> bytes:
        with lock:
            handled[body] += 1
            order[message.sender].append((message.created_time, message.file_id))
        return body

    events = P2PFileEvents(APP, DO, poll_interval=0.1)
    events.on_request("messages", echo, with_message=True)
    with DriveEmulator(process=True) as drive, ExitStack() as stack:
        monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
        rpcs = [stack.enter_context(P2PFileRpc(f"ds{n}@example.org", APP)) for n in range(SENDERS)]
        pool = stack.enter_context(ThreadPoolExecutor(4))

        def send(numbers: range) -> list[list[str]]:
            return list(
                pool.map(
                    lambda rpc: rpc.send_many(
                        [(DO, APP, "messages", f"{rpc.sender_email} {n}".encode()) for n in numbers]
                    ),
                    rpcs,
                )
            )

        early = send(range(EARLY))
        with serving(events):
            late = send(range(EARLY, EACH))

            def collect(number: int) -> None:
                rpc, futures = rpcs[number], early[number] + late[number]
                expected = [f"{rpc.sender_email} {n}".encode() for n in range(EACH)]
                assert list(rpc.wait(futures, 200).values()) == expected
                for future_id in futures:
                    rpc.delete_future(future_id)

            list(pool.map(collect, range(SENDERS)))
            wait_until(lambda: not messages(drive), 100)
        listed = calls(drive, DO).count("files.list")

    assert len(handled) == SENDERS * EACH
    assert set(handled.values()) == {1}
    assert all(sequence == sorted(sequence) for sequence in order.values())
    assert listed < 40, "no listing per sender or message"
