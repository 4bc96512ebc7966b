"""Read a recording: all of it, checked, before anything is replayed."""

from __future__ import annotations

import errno
import fcntl
import gc
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syft_flwr.errors import RecordingError
from syft_flwr.recording.entries import Entry, Header, next_token, parse_entry, parse_header, parse_line, parse_poll
from syft_flwr.resources import DriveFile

if TYPE_CHECKING:
    from syft_flwr.recording.build import RecordingBuilder


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded feed in memory; it takes a few times the size of its file.

    Attributes:
        path: Where it was read from.
        header: Its first line.
        entries: All further lines.
        cut_off: Number of a last line that was left out because it is not whole.
        contents: Bodies by their SHA-256, of a recording that was built in memory.
    """

    path: Path
    header: Header
    entries: tuple[Entry, ...]
    cut_off: int | None = None
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @staticmethod
    def build(account: str, **options: Any) -> RecordingBuilder:
        """Begin a recording that nobody recorded: say what came when.

        ``Recording.build("owner@example.com").request("ann@example.org", "app", "mean", b"[1, 2]").recording()``

        Args:
            account: The account whose feed it is.
            **options: See :class:`~syft_flwr.recording.build.RecordingBuilder`.
        """
        from syft_flwr.recording.build import RecordingBuilder

        return RecordingBuilder(account, **options)

    @property
    def ended(self) -> bool:
        """Whether its recorder stopped in good order; else it is still being written, or its writer died."""
        return bool(self.entries) and self.entries[-1].kind == "end"

    @property
    def duration(self) -> float:
        """Seconds from the header to the last line."""
        return self.entries[-1].at if self.entries else 0.0

    def files(self) -> Iterator[DriveFile]:
        """Yield the files that polls, sweeps and look-ups brought, in order; each as often as it was shown."""
        for entry in self.entries:
            if entry.kind == "poll":
                yield from (change.file for page in entry.value for change in page.changes if change.file is not None)
            elif entry.kind == "sweep":
                yield from entry.value
            elif entry.kind == "get" and entry.raw["file"] is not None:
                yield entry.raw["file"]

    def body(self, sha256: str) -> Path:
        """Return where the content with this checksum lies, or would."""
        return bodies_directory(self.path) / sha256

    def open_body(self, sha256: str) -> io.BufferedIOBase:
        """Open the content with this checksum for reading.

        Raises:
            OSError: It is not there, or no plain file.
        """
        if sha256 in self.contents:
            return io.BytesIO(self.contents[sha256])
        return open_plain(self.body(sha256), os.O_NOFOLLOW)


def bodies_directory(path: Path) -> Path:
    """Return the directory with the contents that belong to a recording."""
    return path.with_name(f"{path.name}.bodies")


def open_plain(path: Path, flags: int = 0) -> io.BufferedReader:
    """Open a file for reading; what is no plain file keeps nobody waiting.

    Raises:
        OSError: It can't be opened, or is a device, a pipe, a socket or a directory.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no plain file", str(path))
    return os.fdopen(descriptor, "rb")


def claim(descriptor: int, path: Path) -> None:
    """Let nobody else write a recording while its file is open here; two writers would spoil it for good.

    Where a file system has no locks, nobody can tell.

    Raises:
        RecordingError: Somebody writes it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecordingError(f"{path}: a recorder is at work on it: end that one first, or use another file") from error
    except OSError:
        return


def release(descriptor: int) -> None:
    """Close a recording that was claimed; a forked process that still has its file open claims nothing."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def read_recording(path: str | Path, *, allow_cut_off: bool = False) -> Recording:
    """Read and check a recorded feed.

    Args:
        path: The file.
        allow_cut_off: Whether a recording without an end is read, and a last line that is not whole left out: the
            recorder may be at work at this moment, or was killed.

    Raises:
        RecordingError: It can't be read, is no recording or one by a newer version, lines are damaged, cut off,
            missing or out of order, or a content that it names is missing, damaged or another file's.
            ``.line`` tells where.
    """
    path = Path(path)
    try:
        with _without_collecting():
            recording = _read(path, _lines(path, allow_cut_off=allow_cut_off))
        _check_order(recording)
        if not allow_cut_off:
            _check_ended(recording)
        if recording.header.bodies:
            _check_files(recording)
            _check_bodies(recording)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}", line=error.line) from error.__cause__
    return recording


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Let the garbage collector not look at what is read: no garbage in it, and looking takes as long as reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(path: Path, lines: Iterator[str]) -> Recording:
    first = next(lines, None)
    if first is None:
        raise RecordingError("line 1 is missing: the file is empty", line=1)
    header = parse_header(parse_line(first, 1))
    cut_off = None
    entries: list[Entry] = []
    for number, text in enumerate(lines, 2):
        if not text:
            cut_off = number
        else:
            entries.append(parse_poll(text, number) or parse_entry(parse_line(text, number), number))
    return Recording(path, header, tuple(entries), cut_off)


def _lines(path: Path, *, allow_cut_off: bool) -> Iterator[str]:
    """Yield the lines; an empty text stands for a last one that is not whole."""
    try:
        with io.TextIOWrapper(open_plain(path), encoding="utf-8", newline="\n") as file:
            for number, text in enumerate(file, 1):
                if text.endswith("\n"):
                    yield text
                elif allow_cut_off and number > 1:
                    yield ""
                else:
                    raise RecordingError(
                        f"line {number} is cut off: the recorder is writing it, or was killed while it did; "
                        "allow_cut_off=True (--allow-cut-off) leaves it out",
                        line=number,
                    )
    except UnicodeDecodeError as error:
        raise RecordingError(f"it is not UTF-8: {error}") from error
    except OSError as error:
        raise RecordingError(f"can't read it: {error.strerror}") from error


def _check_order(recording: Recording) -> None:
    token = recording.header.start.get("token")
    at, ended = 0.0, None
    for entry in recording.entries:
        if ended is not None and entry.kind != "resume":
            raise RecordingError(
                f"line {entry.line}: what line {ended} ended goes on: lines are out of place", line=entry.line
            )
        ended = entry.line if entry.kind == "end" else None
        if not entry.at >= at:
            raise RecordingError(f"line {entry.line}: time goes back from {at:g} s to {entry.at:g} s", line=entry.line)
        at = entry.at
        if entry.kind == "restart":
            token = entry.value
        elif entry.kind == "resume":
            token = entry.value.get("token")
        elif entry.kind == "poll":
            if token is not None and entry.raw["token"] != token:
                raise RecordingError(
                    f"line {entry.line}: the poll begins at token {entry.raw['token']!r}, the one before it ended at "
                    f"{token!r}: lines are missing",
                    line=entry.line,
                )
            token = next_token(entry.value[-1])
        elif entry.kind == "end":
            _check_end(entry, token)


def _check_ended(recording: Recording) -> None:
    if not recording.ended:
        last = len(recording.entries) + 1
        raise RecordingError(
            f"it has no end after line {last}: its recorder is at work, was killed, or lines are missing; "
            f"'syft-flwr record --repair --out {recording.path}' ends it where it stands",
            line=last,
        )


def _check_end(end: Entry, token: str | None) -> None:
    """Refuse a recording from which lines were taken; those of earlier versions don't tell how many there were."""
    if end.raw.get("lines", end.line) != end.line:
        raise RecordingError(
            f"line {end.line} ends {end.raw['lines']} lines: some are missing, or too many", line=end.line
        )
    if end.raw.get("token") and token and end.raw["token"] != token:
        raise RecordingError(
            f"line {end.line} ends at token {end.raw['token']!r}, the last poll at {token!r}: lines are missing",
            line=end.line,
        )


def repair(path: Path) -> str:
    """End a recording whose recorder was killed; return what was lost, in words.

    Raises:
        RecordingError: It can't be read or written, its recorder is at work, or more than its end is missing.
    """
    recording = read_recording(path, allow_cut_off=True)
    if recording.ended and recording.cut_off is None:
        return "nothing: it has its end"
    try:
        with path.open("r+b") as file:
            claim(file.fileno(), path)
            recording = read_recording(path, allow_cut_off=True)  # what was read before may be out of date
            lost = "no line" if recording.cut_off is None else f"line {recording.cut_off}, which was not whole"
            lines = len(recording.entries) + 1
            if recording.cut_off is not None:
                file.truncate(path.read_bytes().rindex(b"\n") + 1)
            if not recording.ended:
                file.seek(0, 2)
                file.write(json.dumps({"at": recording.duration, "end": True, "lines": lines + 1}).encode() + b"\n")
    except OSError as error:
        raise RecordingError(f"can't write {path}: {error.strerror}") from error
    return f"{lost}, and whatever its recorder had not written yet"


def _contents(recording: Recording) -> Iterator[tuple[Entry, str, str]]:
    """Yield what was transferred: its line, file and SHA-256."""
    for entry in recording.entries:
        if entry.kind in {"download", "upload"}:
            described = entry.raw if entry.kind == "download" else entry.value
            if described["sha256"] is not None:
                file_id = entry.value if entry.kind == "download" else entry.value["id"]
                yield entry, file_id, described["sha256"]


def _check_files(recording: Recording) -> None:
    """Refuse contents that belong to other files than those at which they stand."""
    transferred: dict[str, tuple[Entry, set[str]]] = {}
    for entry, file_id, sha256 in _contents(recording):
        transferred.setdefault(file_id, (entry, set()))[1].add(sha256)
    shown: dict[str, set[str]] = {}
    for file in recording.files():
        if file.sha256 is not None and file.id in transferred:
            shown.setdefault(file.id, set()).add(file.sha256)
    for file_id, (entry, contents) in transferred.items():
        if file_id in shown and shown[file_id].isdisjoint(contents):
            raise RecordingError(
                f"line {entry.line}: its body is not that of file {file_id}, which other lines show with another "
                "checksum: lines are mixed up, or changed by hand",
                line=entry.line,
            )


def _check_bodies(recording: Recording) -> None:
    checked: set[str] = set()
    for entry, _, sha256 in _contents(recording):
        if sha256 in checked:
            continue
        checked.add(sha256)
        try:
            with recording.open_body(sha256) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise RecordingError(
                f"line {entry.line}: its body {error.filename} is missing; copy the bodies beside a recording, too",
                line=entry.line,
            ) from error
        except OSError as error:
            raise RecordingError(f"line {entry.line}: its body can't be read: {error}", line=entry.line) from error
        if digest != sha256:
            raise RecordingError(f"line {entry.line}: the body {recording.body(sha256)} is damaged", line=entry.line)
