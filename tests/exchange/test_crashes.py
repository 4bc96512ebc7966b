"""Processes that die in the middle: kill -9 of real ones."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from accounts import APP, DO, DS, PATIENCE, Observed, messages, owner, serving, wait_until
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

REQUESTER = f"""
import sys
from syft_flwr.rpc import P2PFileRpc
rpc = P2PFileRpc({DS!r}, {APP!r})
futures = []
for number in range(3):
    futures.append(rpc.send({DO!r}, {APP!r}, "messages", b"request %d" % number))
    print(futures[-1], flush=True)
sys.stdin.readline()
print(list(rpc.wait(futures, 20).values()))
rpc.close()
"""

OWNER = f"""
import os, sys
from syft_flwr.events import P2PFileEvents

def handle(body):
    if body == b"poison":
        print("begun", flush=True)
        if sys.argv[1] == "exit":
            os._exit(9)
        sys.stdin.read()
    return body.upper()

events = P2PFileEvents({APP!r}, {DO!r}, poll_interval=0.05)
events.on_request("messages", handle)
events.run_forever()
"""


@contextmanager
def running(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen([sys.executable, "-c", program, *arguments], text=True, **pipes)
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE)


def test_a_requester_that_was_killed_after_send_collects_its_replies_when_restarted(drive: DriveEmulator) -> None:
    with running(REQUESTER) as child:
        futures = [child.stdout.readline().strip() for _ in range(3)]
        child.send_signal(signal.SIGKILL)
        child.wait(PATIENCE)

    with serving(owner(bytes.upper)):
        wait_until(lambda: len(messages(drive)) == 6)
    with P2PFileRpc(DS, APP) as rpc:
        assert rpc.wait(futures, 20) == {future_id: b"REQUEST %d" % n for n, future_id in enumerate(futures)}


def test_a_request_whose_handler_was_killed_is_handled_by_the_next_process_at_once(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"poison")
        with running(OWNER, "wait") as child:
            assert child.stdout.readline() == "begun\n"
            child.send_signal(signal.SIGKILL)
            child.wait(PATIENCE)
            with serving(owner(bytes.upper)):
                assert rpc.wait([future_id], 20) == {future_id: b"POISON"}


def test_a_request_that_kills_its_process_three_times_gets_an_error_reply(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        poison = rpc.send(DO, APP, "messages", b"poison")
        for _ in range(3):
            with running(OWNER, "exit") as child:
                assert child.wait(PATIENCE) == 9

        bodies: list[bytes] = []
        with Observed(DO) as observed, serving(owner(bodies.append)):
            body = rpc.wait([poison], 20, raise_errors=False)[poison]
            assert "did not survive 3 attempts" in json.loads(body)["error"]
            assert observed.reasons() == ["handler_crashed"]
        assert bodies == []
        [reply] = [file for file in drive.files() if file.name == f"{poison}.response"]
        assert reply.properties["status"] == "error"


def test_a_process_of_the_same_account_that_sees_the_reply_first_does_not_keep_it_to_itself(
    drive: DriveEmulator,
) -> None:
    with running(REQUESTER) as child, Observed(DS) as observed:
        futures = [child.stdout.readline().strip() for _ in range(3)]
        observed.runtime.poll_once()
        with serving(owner(bytes.upper)):
            wait_until(lambda: observed.runtime.poll_once() >= 0 and len(observed.responses) == 3)
            assert observed.rejected == []
        child.stdin.write("go on\n")
        output, errors = child.communicate(timeout=PATIENCE)
    assert (output, errors) == (f"{[b'REQUEST 0', b'REQUEST 1', b'REQUEST 2']}\n", "")
    assert all(futures)
