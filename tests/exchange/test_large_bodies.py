"""Bodies that do not fit into one request, over a connection that breaks."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from accounts import APP, DO, DS, PATIENCE
from syft_flwr.testing import DriveEmulator

MEGABYTE = 1024 * 1024
PATIENCE_FOR_LARGE = 100.0

PREAMBLE = """
import hashlib, resource, sys
def rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""

OWNER = f"""
{PREAMBLE}
from syft_flwr.events import P2PFileEvents
events = P2PFileEvents({APP!r}, {DO!r}, poll_interval=0.1, allowed_senders=[{DS!r}])
before = 0
def answer(body):
    global before
    if not before:
        before = rss()
    else:
        print(hashlib.sha256(body).hexdigest(), flush=True)
    return body
events.on_request("messages", answer)
try:
    events.run_forever()
except KeyboardInterrupt:
    print(rss() - before)
"""

REQUESTER = f"""
{PREAMBLE}
from pathlib import Path
from syft_flwr.rpc import P2PFileRpc
with P2PFileRpc({DS!r}, {APP!r}) as rpc:
    rpc.wait([rpc.send({DO!r}, {APP!r}, "messages", b"small")], 60)
    before = rss()
    future_id = rpc.send({DO!r}, {APP!r}, "messages", Path(sys.argv[1]).read_bytes())
    reply = rpc.wait([future_id], 100)[future_id]
    print(hashlib.sha256(reply).hexdigest())
    del reply
    rpc.delete_future(future_id)
    print(rss() - before)
"""


class BreakingProxy:
    """Passes bytes on, and resets each connection that has carried so many of them in one direction."""

    def __init__(self, port: int, limit: int) -> None:
        self._target = port
        self._limit = limit
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.port = self._listener.getsockname()[1]
        self.breaks = 0
        self.carried = 0

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                pair = (client, server)
                done = threading.Barrier(2)
                for ends in (pair, pair[::-1]):
                    thread = threading.Thread(target=self._pump, args=(*ends, done))
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, done: threading.Barrier) -> None:
        source.settimeout(PATIENCE_FOR_LARGE)
        carried = 0
        with suppress(OSError):
            while block := source.recv(MEGABYTE):
                carried += len(block)
                if carried > self._limit:
                    with self._lock:
                        self.breaks += 1
                    for end in (source, sink):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                sink.sendall(block)
        with self._lock:
            self.carried += carried
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if done.wait(PATIENCE) == 0:
            source.close()
            sink.close()


@contextmanager
def child(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.mark.usefixtures("plain_environment")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("megabytes", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_a_large_body_each_way_survives_broken_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    size = megabytes * MEGABYTE
    source, block, digest = tmp_path / "body", os.urandom(MEGABYTE - 8), hashlib.sha256()
    with source.open("wb") as file:
        for number in range(megabytes):
            piece = struct.pack("Q", number) + block
            digest.update(piece)
            file.write(piece)

    with DriveEmulator(process=True, data=tmp_path / "drive") as drive:
        proxy = BreakingProxy(drive.port, limit=size // 5)
        try:
            monkeypatch.setenv("DRIVE_EMULATOR_HOST", f"127.0.0.1:{proxy.port}")
            with child(OWNER) as owner, child(REQUESTER, str(source)) as requester:
                output, errors = requester.communicate(timeout=PATIENCE_FOR_LARGE)
                assert errors == ""
                returned, requester_memory = output.split()
                owner.send_signal(2)
                output, errors = owner.communicate(timeout=PATIENCE)
                assert errors == ""
                received, owner_memory = output.split()
        finally:
            proxy.close()

    assert received == returned == digest.hexdigest()
    assert proxy.breaks >= 3 * 4, "three for each of the two uploads and two downloads"
    assert proxy.carried < 1.5 * 4 * size, "resumed and not restarted"
    allowed = 1.5 * size + 10 * MEGABYTE
    assert int(owner_memory) < allowed, int(owner_memory) / size
    assert int(requester_memory) < allowed, int(requester_memory) / size
