"""How fast a replay routes: ``python benchmarks/replay.py [changes]``.

Two feeds are measured. In the one, four changes make an exchange, as in any feed: a request comes, the reply to it is
written, and both are deleted. In the other one every change is a new request, the costliest kind: it is parsed,
journaled, located, judged and passed to the observer of its endpoint.

Times are of this process's own work (CPU), on one core; reading and checking the recording is part of them. They are
longer where other processes keep the machine busy. With ``--check`` it fails below 50,000 changes a second.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from syft_flwr.feed import at_endpoint
from syft_flwr.replay import replay
from syft_flwr.resources import FOLDER_MIME_TYPE

GOAL = 50_000
ME = "owner@example.com"
SENDERS = [f"hospital-{number}@example.org" for number in range(20)]
APP = "flwr/diabetes"
ENDPOINTS = 10
PAGE = 1_000
WHEN = "2026-11-24T04:00:00.000Z"
BEGAN = datetime.fromisoformat(WHEN).timestamp()


def file_id() -> str:
    return f"1{uuid.uuid4().hex}"


def folder(name: str, parent: str, owner: str) -> dict[str, Any]:
    return {
        "id": file_id(),
        "name": name,
        "parents": [parent],
        "mimeType": FOLDER_MIME_TYPE,
        "trashed": False,
        "createdTime": WHEN,
        "ownedByMe": owner == ME,
        "owners": [{"emailAddress": owner}],
        "lastModifyingUser": {"emailAddress": owner},
    }


def request(parent: str, owner: str) -> dict[str, Any]:
    """Return a change as ``changes.list`` shows it with the gateway's mask."""
    number = file_id()
    return {
        "fileId": number,
        "removed": False,
        "time": WHEN,
        "changeType": "file",
        "file": {
            "id": number,
            "name": f"{uuid.uuid4()}.request",
            "parents": [parent],
            "mimeType": "application/octet-stream",
            "trashed": False,
            "size": "4096",
            "createdTime": WHEN,
            "sha256Checksum": uuid.uuid4().hex * 2,
            "headRevisionId": uuid.uuid4().hex,
            "ownedByMe": False,
            "owners": [{"emailAddress": owner}],
            "lastModifyingUser": {"emailAddress": owner},
        },
    }


def exchange(parent: str, owner: str) -> Iterator[dict[str, Any]]:
    """Yield what a feed shows of a request, its reply, and their end."""
    asked, replied = request(parent, owner), request(parent, ME)
    replied["file"]["ownedByMe"] = True
    replied["file"]["name"] = asked["file"]["name"].replace(".request", ".response")
    yield asked
    yield replied
    for change in (asked, replied):
        yield {"fileId": change["fileId"], "removed": True, "time": WHEN, "changeType": "file"}


def recording(changes: int, *, exchanges: bool) -> Iterator[dict[str, Any]]:
    """Yield the lines of a recording, its requests spread over senders and endpoints."""
    folders: list[dict[str, Any]] = []
    leaves: list[tuple[str, str]] = []
    for sender in SENDERS:
        root = folder(f"syft_outbox_inbox_{sender}_to_{ME}", "root", ME)
        app = folder(APP, root["id"], ME)
        rpc = folder("rpc", app["id"], ME)
        ends = [folder(f"endpoint-{number}", rpc["id"], ME) for number in range(ENDPOINTS)]
        folders += [root, app, rpc, *ends]
        leaves += [(end["id"], sender) for end in ends]
    start = {"token": "0", "folders": folders, "pending": [], "futures": [], "done": [], "marks": {}}
    yield {"syft_flwr_feed": 1, "account": ME, "time": BEGAN, "bodies": False, "redacted": False, "start": start}
    over: list[dict[str, Any]] = []
    for poll in range(changes // PAGE):
        chosen = [leaves[(poll * PAGE + number) % len(leaves)] for number in range(PAGE // 4 if exchanges else PAGE)]
        page = over
        if exchanges:
            made = [change for place in chosen for change in exchange(*place)]
            page = over + [change for change in made if not change["removed"]]
            over = [change for change in made if change["removed"]]  # a page later, when it was handled
        else:
            page = [request(*place) for place in chosen]
        answer = {"changes": page, "newStartPageToken": str(poll + 1)}
        yield {"at": 2.0 * poll, "poll": [answer], "token": str(poll)}
    polls = changes // PAGE
    yield {"at": 2.0 * polls, "end": True, "token": str(polls), "lines": polls + 2}


def rate(changes: int, endpoints: int, *, exchanges: bool) -> float:
    """Return changes a second, with so many endpoints registered; the first ten get the messages."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "feed.jsonl"
        with path.open("w") as file:
            for line in recording(changes, exchanges=exchanges):
                file.write(f"{json.dumps(line, separators=(',', ':'))}\n")
        routed = 0

        def count(_: object) -> None:
            nonlocal routed
            routed += 1

        gc.collect()
        began = time.process_time()
        with replay(path, allow_cut_off=True) as feed:
            for number in range(endpoints):
                feed.messages.pipe(at_endpoint(APP, f"endpoint-{number}")).subscribe(count)
            feed.run()
            took = time.process_time() - began
        expected = changes // 4 if exchanges else changes
        assert routed == expected, f"{routed} of {expected} requests were routed"
        return changes / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("changes", type=int, nargs="?", default=50_000)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for name, exchanges in (("exchanges", True), ("requests only", False)):
        for endpoints in (10, 1_000):
            best = max(rate(arguments.changes, endpoints, exchanges=exchanges) for _ in range(3))
            print(f"{name:13} over {endpoints:5,} endpoints: {best:10,.0f} changes/s", flush=True)
            if arguments.check and exchanges and best < GOAL:
                raise SystemExit(f"fewer than {GOAL:,} changes a second")


if __name__ == "__main__":
    main()
