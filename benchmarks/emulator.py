"""How fast the emulator is, and how much memory it takes.

    python benchmarks/emulator.py [--seconds 5] [--files 100000] [--large-mb 1024]

Runs an emulator in a child process with its data on disk, drives it over four connections, and prints figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import psutil

from drive_emulator.drive import Drive
from drive_emulator.metadata import Metadata
from syft_flwr.testing import DriveEmulator

CONNECTIONS = 4
FOLDER = "application/vnd.google-apps.folder"
FEED_FIELDS = (
    "nextPageToken,newStartPageToken,changes(fileId,removed,time,changeType,file(id,name,parents,mimeType,trashed,size,"
    "createdTime,sha256Checksum,headRevisionId,properties,ownedByMe,owners(emailAddress),"
    "lastModifyingUser(emailAddress)))"
)
LIST_FIELDS = "nextPageToken,files(id,name,parents,mimeType,size,createdTime,properties,owners(emailAddress))"


class Client:
    """One kept connection of one account."""

    def __init__(self, port: int, email: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port)
        self._headers = {"Authorization": f"Bearer {email}"}

    def call(self, verb: str, path: str, body: object = None, **headers: str) -> dict:
        data = body if body is None or hasattr(body, "read") or isinstance(body, bytes) else json.dumps(body)
        self._connection.request(verb, path, data, self._headers | headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status in (200, 204), (answer.status, content)
        return json.loads(content) if content else {}

    def upload(self, name: str, parent: str, content: bytes) -> dict:
        metadata = json.dumps({"name": name, "parents": [parent]}).encode()
        body = b"--b\r\nContent-Type: application/json\r\n\r\n" + metadata
        body += b"\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--b--"
        path = "/upload/drive/v3/files?uploadType=multipart&fields=id"
        return self.call("POST", path, body, **{"Content-Type": "multipart/related; boundary=b"})

    def close(self) -> None:
        self._connection.close()


def show_rate(title: str, drive: DriveEmulator, seconds: float, work: Callable[[Client, int], object]) -> None:
    """Print how often a second ``work`` is done over four connections, and what it costs the server.

    The processor time tells what an idle machine would do where this one is busy with other things.
    """
    counts = [0] * CONNECTIONS
    deadline = time.perf_counter() + seconds

    def loop(number: int) -> None:
        client = Client(drive.port, "alice@example.com")
        while time.perf_counter() < deadline:
            work(client, counts[number])
            counts[number] += 1
        client.close()

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(CONNECTIONS)]
    before, started = sum(psutil.Process(drive.pid).cpu_times()[:2]), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = sum(psutil.Process(drive.pid).cpu_times()[:2]) - before
    done = sum(counts)
    print(f"{title:62}{done / (time.perf_counter() - started):8.0f} /s{used / done * 1e3:8.2f} ms of processor time")


def measure_rates(drive: DriveEmulator, seconds: float) -> None:
    alice = Client(drive.port, "alice@example.com")
    folder = alice.call("POST", "/drive/v3/files", {"name": "inbox", "mimeType": FOLDER})["id"]
    share = {"type": "user", "role": "writer", "emailAddress": "bob@example.org"}
    alice.call("POST", f"/drive/v3/files/{folder}/permissions", share)
    title = "small creates (1 kB multipart, folder shared with one other)"
    show_rate(title, drive, seconds, lambda client, n: client.upload(f"{n}.request", folder, b"x" * 1000))
    token = alice.call("GET", "/drive/v3/changes/startPageToken")["startPageToken"]
    path = f"/drive/v3/changes?pageToken={token}&pageSize=1000&fields={FEED_FIELDS}"
    show_rate("changes.list, nothing new", drive, seconds, lambda client, _: client.call("GET", path))
    for number in range(10):
        alice.upload(f"new-{number}.request", folder, b"x")
    show_rate("changes.list, 10 new files", drive, seconds, lambda client, _: client.call("GET", path))
    few = alice.call("POST", "/drive/v3/files", {"name": "few", "mimeType": FOLDER})["id"]
    files = [alice.upload(f"{number}.request", few, b"x")["id"] for number in range(10)]
    listing = f"/drive/v3/files?q='{few}'+in+parents&pageSize=1000&fields={LIST_FIELDS}"
    show_rate("files.list, 10 files", drive, seconds, lambda client, _: client.call("GET", listing))
    about = f"/drive/v3/files/{files[0]}?fields=id,name,parents"
    show_rate("files.get", drive, seconds, lambda client, _: client.call("GET", about))
    alice.close()


def fill(data: Path, email: str, count: int) -> None:
    """Store files without HTTP, which would take minutes."""
    drive = Drive(data)
    with drive.database.transaction():
        account = drive.accounts.ensure(email)
    with drive.database.transaction():
        folder = drive.files.create(account, Metadata(name="f", mime_type=FOLDER), None)
        for number in range(count):
            metadata = Metadata(name=f"{number}.request", parents=(folder.id,))
            drive.files.create(account, metadata, None)
    drive.close()


def measure_growth(port: int, accounts: dict[str, int]) -> None:
    """Compare a poll of 10 new files in a small and in a large account."""
    for email, count in accounts.items():
        client = Client(port, email)
        token = client.call("GET", "/drive/v3/changes/startPageToken")["startPageToken"]
        for number in range(10):
            client.call("POST", "/drive/v3/files?fields=id", {"name": f"new {number}"})
        path = f"/drive/v3/changes?pageToken={token}&pageSize=1000&fields={FEED_FIELDS}"
        times = []
        for _ in range(300):
            started = time.perf_counter()
            assert len(client.call("GET", path)["changes"]) == 10
            times.append(time.perf_counter() - started)
        print(f"changes.list of 10 new among {count:7,} files, median{statistics.median(times) * 1e3:20.2f} ms")
        client.close()


def measure_memory(port: int, pid: int, megabytes: int, directory: Path) -> None:
    process, peak, done = psutil.Process(pid), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    source = directory / "large"
    with source.open("wb") as file:
        block = os.urandom(1024 * 1024)
        for _ in range(megabytes):
            file.write(block)
    alice = Client(port, "alice@example.com")
    started = time.perf_counter()
    with source.open("rb") as file:
        path = "/upload/drive/v3/files?uploadType=media&fields=id"
        file_id = alice.call("POST", path, file, **{"Content-Length": str(megabytes * 1024 * 1024)})["id"]
    up = time.perf_counter() - started
    source.unlink()
    started = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port)
    connection.request(
        "GET", f"/drive/v3/files/{file_id}?alt=media", headers={"Authorization": "Bearer alice@example.com"}
    )
    answer, received = connection.getresponse(), 0
    while chunk := answer.read(1024 * 1024):
        received += len(chunk)
    down = time.perf_counter() - started
    assert received == megabytes * 1024 * 1024
    done.set()
    watcher.join()
    connection.close()
    alice.close()
    print(
        f"{megabytes} MB up {megabytes / up:.0f} MB/s, down {megabytes / down:.0f} MB/s, peak RSS {peak / 1e6:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--large-mb", type=int, default=1024)
    arguments = parser.parse_args()
    accounts = {"small@example.com": 100, "large@example.com": arguments.files}
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "drive"
        for email, count in accounts.items():
            fill(data, email, count)
        with DriveEmulator(data=data, process=True) as drive:
            measure_memory(drive.port, drive.pid, arguments.large_mb, Path(directory))
            measure_rates(drive, arguments.seconds)
            measure_growth(drive.port, accounts)


if __name__ == "__main__":
    main()
