"""Record one message after the fact: what Drive and the account's journal still have of it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex, Location
from syft_flwr.drive.query import any_of
from syft_flwr.errors import NotFoundError, RecordingError
from syft_flwr.inline import split, without_bodies
from syft_flwr.ports import DriveGateway
from syft_flwr.recording.entries import Header
from syft_flwr.recording.raw import write_whole
from syft_flwr.resources import DriveFile
from syft_flwr.state.futures import Future
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore


def record_message(gateway: DriveGateway, me: str, future_id: str, target: Path, *, state: Path) -> list[str]:
    """Write a recording in which one message comes, as its files in Drive are now; return the names of these files.

    What the account itself wrote of the exchange is recorded as its upload.

    Args:
        gateway: The account's Drive.
        me: The account's address.
        future_id: The message, as ``watch``, errors and the log show it.
        target: The new recording.
        state: The account's state directory. Its journal may know a file that Drive does not list yet, or not any more;
            and the body of one that a process was handling when it was killed.

    Raises:
        RecordingError: No such message came, as far as can be seen, or the recording can't be written.
        DriveError: Drive can't be asked.
        TransferError: A body can't be had.
    """
    query = f"({any_of('name = {}', [f'{future_id}.request', f'{future_id}.response'])}) and trashed = false"
    files = {file.id: file for file in gateway.list_files(query)}
    for known in _journaled(state, future_id):
        if known.id not in files:
            files[known.id] = _as_it_is(gateway, known)
    came = [file for file in files.values() if not file.owned_by_me]
    if not came:
        raise RecordingError(
            f"neither Drive nor the journal has a message {future_id} that came to {me}: was it sent to another "
            "account, or deleted since? Its sender deletes it when the answer is no longer needed"
        )
    folders = FolderIndex(gateway, MemoryStore(), me)
    places = {file.id: folders.locate(file) for file in files.values()}
    own = {file.name: file for file in files.values() if file.owned_by_me}
    futures = [
        Future(future_id, place.inbox.sender, place.app, place.endpoint, "", gateway.server_time())
        for file in came
        if file.name.endswith(".response") and not own and isinstance(place := places[file.id], Location)
    ]
    times = [time for file in came if (time := wire.unix_time(file.created_time)) is not None]
    header = Header(
        account=me,
        time=min(max(times, default=gateway.server_time()), gateway.server_time()),
        bodies=True,
        redacted=False,
        start={
            "token": None,
            "folders": [folder.to_api() for folder in folders.known()],
            "pending": [],
            "futures": [asdict(future) for future in futures[:1]],
            "done": [],
            "marks": {},
        },
    )
    with tempfile.TemporaryDirectory() as directory:
        bodies = {
            file.id: _body(gateway, file, Path(directory) / str(i), state) for i, file in enumerate(files.values())
        }
        lines = [
            *(_upload(file, *bodies[file.id]) for name, file in own.items() if name.endswith(".request")),
            {"sweep": [replace(file, properties=split(file.properties)[1]).to_api() for file in came]},
            *({"download": file.id} | _content(*bodies[file.id]) for file in came),
            *(_upload(file, *bodies[file.id]) for name, file in own.items() if name.endswith(".response")),
        ]
        lines.append({"end": True, "token": None, "lines": len(lines) + 2})
        written = [header.to_line(), *({"at": 0.0, **line} for line in lines)]
        try:
            write_whole(target, written, {sha256: body for body, sha256 in bodies.values()})
        except OSError as error:
            raise RecordingError(f"can't write {target}: {error.strerror}") from error
    return [file.name for file in files.values()]


def _journaled(state: Path, future_id: str) -> Iterator[DriveFile]:
    """Yield the files of a message that the account's journal has not done with."""
    if not (state / "ledger").is_dir():
        return
    with closing(DiskStore(state / "ledger")) as store:
        rows = store.transact(lambda tx: [row["file"] for _, row in tx.scan("work/")])
    yield from (DriveFile.from_api(raw) for raw in rows if raw.get("name", "").startswith(f"{future_id}."))


def _as_it_is(gateway: DriveGateway, known: DriveFile) -> DriveFile:
    try:
        return gateway.get_file(known.id)
    except NotFoundError:
        return known


def _body(gateway: DriveGateway, file: DriveFile, target: Path, state: Path) -> tuple[Path, str]:
    """Download a body, or find it in the state directory; return where it is, and its SHA-256."""
    target.touch()
    try:
        gateway.download(file.id, target, size=file.size, sha256=file.sha256)
    except NotFoundError as error:
        for left in (state / "bodies").glob(f"request-{file.id}.*"):
            if (sha256 := _sha256(left)) == file.sha256:
                return left, sha256
        raise RecordingError(
            f"{file.name} was deleted from Drive, and no body of it is left on this machine"
        ) from error
    return target, _sha256(target)


def _sha256(body: Path) -> str:
    with body.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _content(body: Path, sha256: str) -> dict[str, Any]:
    return {"size": body.stat().st_size, "sha256": sha256}


def _upload(file: DriveFile, body: Path, sha256: str) -> dict[str, Any]:
    described = {"id": file.id, "name": file.name, "parent": next(iter(file.parents), "")}
    return {"upload": described | {"properties": without_bodies(file.name, file.properties)} | _content(body, sha256)}
