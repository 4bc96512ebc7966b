"""One message for a ClientApp: what goes in, what comes out, and the code that runs the app on it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from syft_flwr.flower._compat import (
    ClientApp,
    Context,
    Error,
    ErrorCode,
    LoadClientAppError,
    Message,
    context_from_bytes,
    context_to_bytes,
    load_client_app,
    set_message_id,
    set_task_identity,
)
from syft_flwr.flower.codec import Stamp, decode_file, encode_pieces
from syft_flwr.flower.project_files import FilesRead, hash_of, read_files
from syft_flwr.printable import printable, printable_error, printable_traceback, text_of
from syft_flwr.private import make_private_directory

logger = logging.getLogger(__name__)

_CHUNK = 1024 * 1024
_LARGEST_RESULT = 2 * 1024**3
"""Bytes; what one protobuf can hold."""


@dataclass(frozen=True, slots=True)
class AppSpec:
    """Which ClientApp to run, and how much to tell the aggregator when it fails.

    ``code_hash`` is the state of the project that the data owner lets run, empty for any; ``files`` and ``signatures``
    are those of :class:`~syft_flwr.flower.project_files.FilesRead`, and ``written`` as in a project.
    """

    project_dir: str
    reference: str
    code_hash: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    share_errors: bool = False
    signatures: Mapping[str, list[int]] = field(default_factory=dict)
    written: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A message for an app: serialized message and context, and what the reply's stamp is to say but for the times.

    The message is in pieces: bytes, and files of bytes.
    """

    message: Sequence[bytes | Path]
    context: bytes
    stamp: Stamp = field(default_factory=Stamp)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an app made of a message: its reply, serialized and stamped, and its context.

    ``error`` is the reason in an Error reply; ``crash`` says what happened to the app's process when there is no reply.
    """

    reply: bytes = b""
    context: bytes = b""
    error: str = ""
    crash: str = ""


@dataclass(frozen=True, slots=True)
class JobFiles:
    """A job in a directory, as it passes between processes.

    What the app's process writes is in ``results``; it needs to write nowhere else.
    """

    directory: Path

    @classmethod
    def make(cls, parent: Path) -> Self:
        """Make a directory for a job in another one."""
        job = cls(Path(tempfile.mkdtemp(dir=parent)))
        make_private_directory(job.results)
        return job

    @property
    def results(self) -> Path:
        return self.directory / "results"

    def write(self, task: Task) -> None:
        with (self.directory / "message").open("wb") as file:
            for piece in task.message:
                if isinstance(piece, bytes):
                    file.write(piece)
                else:
                    with piece.open("rb") as source:
                        shutil.copyfileobj(source, file, _CHUNK)
        (self.directory / "context").write_bytes(task.context)

    def execute(self, spec: AppSpec, stamp: Stamp) -> None:
        """Run the app on the message and leave its context and reply; the reply completes the job."""
        with (self.directory / "message").open("rb") as file:
            message, _ = decode_file(file)
            result = run_client_app(spec, message, (self.directory / "context").read_bytes(), stamp)
        (self.results / "context").write_bytes(result.context)
        (self.results / "error").write_text(result.error, encoding="utf-8")
        temporary = self.results / "reply.new"
        with temporary.open("wb") as reply:
            reply.writelines(result.reply)
        temporary.replace(self.results / "reply")

    def outcome(self) -> Outcome | None:
        """Return what :meth:`execute` left; ``None`` if it did not come to its end.

        An app in a sandbox may have put anything there: links to what it can't read itself, and files without an end.
        """
        try:
            reply, context, error = (_read_result(self.results / name) for name in ("reply", "context", "error"))
        except FileNotFoundError:
            return None
        except OSError as failure:
            return Outcome(crash=f"what the ClientApp's process left can't be read: {printable(failure)}")
        return Outcome(reply, context, error.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class AppResult:
    """An app's reply, in pieces to be written one after the other, and its context."""

    reply: list[bytes]
    context: bytes
    error: str


def run_client_app(spec: AppSpec, message: Message, context_bytes: bytes, stamp: Stamp) -> AppResult:
    """Run a ClientApp on one message, mods and lifespan included.

    Returns:
        The reply, an Error reply if the app raised, and the context as the app left it, also if it raised.
    """
    context = context_from_bytes(context_bytes)
    set_task_identity(message.metadata.run_id, context.node_id)
    started = time.time()
    reply = _call(spec, message, context)
    stamp = replace(stamp, started=started, finished=time.time())
    set_message_id(reply, secrets.token_hex(32))
    error = (reply.error.reason or "unknown error") if reply.has_error() else ""
    try:
        return AppResult(encode_pieces(reply, stamp), context_to_bytes(context), error)
    except Exception as failure:  # an app may put anything into a record
        logger.exception("the reply of the ClientApp can't be sent")
        error = f"the reply can't be sent: {printable_error(failure)}"
        failed = failure_reply(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, error)
        return AppResult(encode_pieces(failed, stamp), context_bytes, error)


def load_checked(spec: AppSpec) -> ClientApp:
    """Import the app, if its project is as it was approved.

    Raises:
        LoadClientAppError: It is not, or the reference names no ClientApp.
        Exception: Whatever the project's module raises when imported.
    """
    directory = Path(spec.project_dir)
    if spec.code_hash:
        before = FilesRead(dict(spec.files), dict(spec.signatures))
        if hash_of(before.hashes) != spec.code_hash:
            raise LoadClientAppError("the project changed while the data owner started with it; start again")
        if changed := read_files(directory, spec.written, before).changed(before):
            raise LoadClientAppError(
                f"changed since the data owner started with the project: {', '.join(changed)}. "
                "Logs, results and what the app writes belong outside the project, or into directories that its "
                "[tool.syft_flwr] names: written = [...]"
            )
    return load_client_app(spec.reference, directory)


def _read_result(path: Path) -> bytes:
    # The app may be at work still, and turn a name into a link or a pipe at any moment.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_RESULT:
            raise OSError(f"{path.name} is no file of a reply's size")
        return file.read(status.st_size)


def failure_reply(message: Message, code: int, reason: str) -> Message:
    """Build the Error reply to a message."""
    reply = Message(Error(code=code, reason=reason), reply_to=message)
    set_message_id(reply, secrets.token_hex(32))
    return reply


def _call(spec: AppSpec, message: Message, context: Context) -> Message:
    try:
        app = load_checked(spec)
    except (Exception, SystemExit) as error:  # whatever the project's modules raise
        logger.exception("the ClientApp %s can't be loaded", spec.reference)
        return failure_reply(message, ErrorCode.LOAD_CLIENT_APP_EXCEPTION, _reason(error, spec))
    try:
        reply = app(message, context)
    except LoadClientAppError as error:
        logger.exception("the ClientApp can't be loaded")
        return failure_reply(message, ErrorCode.LOAD_CLIENT_APP_EXCEPTION, _reason(error, spec))
    except (Exception, SystemExit) as error:  # whatever the app raises
        logger.exception("the ClientApp raised an exception")
        return failure_reply(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, _reason(error, spec))
    if not isinstance(reply, Message):
        reason = f"the ClientApp returned a {type(reply).__name__} instead of a Message"
        logger.error("%s", reason)
        return failure_reply(message, ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason)
    return reply


def _reason(error: BaseException, spec: AppSpec) -> str:
    if spec.share_errors:
        return printable_traceback(error)
    # Flower's own format, on one line and cut: a message of an exception may quote data.
    return f"{type(error)}:<'{printable(next(iter(text_of(error).splitlines()), ''))}'>"
