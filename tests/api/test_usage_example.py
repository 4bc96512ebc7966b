"""The documented usage example, in two processes with an account each."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from accounts import PATIENCE, wait_until
from syft_flwr.testing import DriveEmulator

OWNER = """
import os
from syft_flwr.client import create_client
from syft_flwr.events import create_events_watcher
from syft_flwr.rpc import create_rpc

os.environ["SYFTBOX_EMAIL"] = "dataowner@example.com"
client = create_client(transport="p2p", email="dataowner@example.com")
rpc = create_rpc(client=client, app_name="flwr/diabetes")
future_id = rpc.send(
    to_email="aggregator@example.com", app_name="flwr/diabetes", endpoint="messages", body=b"training_update"
)
events = create_events_watcher(app_name="flwr/diabetes", client=client, poll_interval=0.1)

def handle_training_request(body: bytes) -> bytes:
    return b"weights for " + body

events.on_request("/messages", handle_training_request)
try:
    events.run_forever()
except KeyboardInterrupt:
    events.stop()
rpc.wait([future_id], 30)
print(rpc.get_response(future_id), flush=True)
rpc.delete_future(future_id)
rpc.close()
"""

AGGREGATOR = """
import os, threading
from syft_flwr.client import SyftP2PClient
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc

os.environ["SYFTBOX_EMAIL"] = "aggregator@example.com"
client = SyftP2PClient.from_env()
events = P2PFileEvents(app_name="flwr/diabetes", client_email=client.email, poll_interval=0.1)
updates = threading.Event()

def handle_update(body: bytes) -> str:
    updates.set()
    return "thanks for " + body.decode()

events.on_request("/messages", handle_update)
serving = threading.Thread(target=events.run_forever)
serving.start()
rpc = P2PFileRpc(sender_email=client.email, app_name="flwr/diabetes")
future_id = rpc.send("dataowner@example.com", "flwr/diabetes", "messages", b"round 1")
rpc.wait([future_id], 30)
print(rpc.get_response(future_id), flush=True)
rpc.delete_future(future_id)
updates.wait(30)
input()
events.stop()
serving.join()
rpc.close()
"""


def test_two_accounts_in_two_processes_exchange_a_request_and_a_reply_each(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYFT_FLWR_ALLOWED_SENDERS", "aggregator@example.com,dataowner@example.com")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    owner, aggregator = (subprocess.Popen([sys.executable, "-c", code], **pipes) for code in (OWNER, AGGREGATOR))
    try:
        assert aggregator.stdout.readline() == "b'weights for round 1'\n"
        wait_until(lambda: stored(drive) == {b"training_update", b"thanks for training_update"})
        owner.send_signal(signal.SIGINT)
        assert owner.communicate(timeout=PATIENCE) == ("b'thanks for training_update'\n", "")
        wait_until(lambda: not stored(drive))
        assert aggregator.communicate("\n", timeout=PATIENCE) == ("", "")
    finally:
        for child in (owner, aggregator):
            child.kill()
            child.communicate()
    assert (owner.returncode, aggregator.returncode) == (0, 0)


def stored(drive: DriveEmulator) -> set[bytes]:
    return {file.content for file in drive.files() if file.content is not None}
