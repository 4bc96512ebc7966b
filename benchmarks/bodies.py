"""Large bodies: there and back between two processes, against a plain HTTP client that does the same transfers.

The asker sends bytes; the owner's handler gets bytes and returns them; the asker gets bytes. Memory is what a process
peaks at above what it was before, when the asker had the body that it sends already.
"""

from __future__ import annotations

import json
import os
import time
from http.client import HTTPConnection

from benchmarks.counting import counted
from benchmarks.owner import UNPACED, Memory, serving
from benchmarks.parties import APP, ASKER, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from drive_emulator import DriveEmulator
from syft_flwr.rpc import P2PFileRpc

MB = 1_000_000


def there_and_back(megabytes: int) -> tuple[list[Cell], list[Cell]]:
    """Return what it takes us, and what it takes a plain client in the same minute."""
    body = os.urandom(megabytes * MB)
    with local_drive(process=True) as drive, serving("feed", drive, interval=0.05):
        with P2PFileRpc(ASKER, APP, poll_interval=0.05) as rpc:

            def ask(endpoint: str, content: bytes) -> bytes:
                future = rpc.send(OWNER, APP, endpoint, content)
                answer = rpc.wait([future], 600)[future]
                rpc.delete_future(future)
                return answer

            ask(ENDPOINTS[0], b"hello")
            ask("memory", b"")
            memory = Memory()
            with counted(drive) as cost:
                began = time.perf_counter()
                assert ask(ENDPOINTS[0], body) == body
                took = time.perf_counter() - began
            asker, owner = memory.above_idle(), float(ask("memory", b""))
        plain = sum(transfer(drive, body) for _ in range(2))
    ours: list[Cell] = [took, plain / took, asker / megabytes, owner / megabytes, cost.up, cost.down]
    return ours, [plain, 1.0, "", "", 2 * len(body), 2 * len(body)]


def transfer(drive: DriveEmulator, body: bytes) -> float:
    """Return the seconds that a plain client takes to upload a body and to download it."""
    connection = HTTPConnection("127.0.0.1", drive.port)
    headers = {"Authorization": f"Bearer {ASKER}"}
    began = time.perf_counter()
    connection.request("POST", "/upload/drive/v3/files?uploadType=media&fields=id", body, headers)
    file_id = json.loads(connection.getresponse().read())["id"]
    connection.request("GET", f"/drive/v3/files/{file_id}?alt=media", headers=headers)
    answer = connection.getresponse()
    received = 0
    while chunk := answer.read(MB):
        received += len(chunk)
    took = time.perf_counter() - began
    assert received == len(body)
    connection.close()
    return took


def run(*, quick: bool, rivals: bool) -> list[Result]:
    os.environ |= UNPACED
    rows: list[list[Cell]] = []
    for megabytes in (1, 20) if quick else (1, 20, 200):
        ours, plain = there_and_back(megabytes)
        rows.append(["feed", f"{megabytes} MB", *ours])
        if rivals:
            rows.append(["plain HTTP client", f"{megabytes} MB", *plain])
    columns = [
        "who",
        "body",
        "s",
        "of the plain client's speed",
        "asker's MB a MB",
        "owner's MB a MB",
        "bytes up",
        "down",
    ]
    return [Result("bodies", "A large body, there and back", columns, rows, "s")]
