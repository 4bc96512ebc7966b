"""The steps of a request: download, handler, spool, upload. It can stop anywhere and go on later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from syft_flwr import wire
from syft_flwr.errors import (
    ConflictError,
    DamagedDownloadError,
    DriveError,
    NotFoundError,
    PermissionDeniedError,
    RuntimeClosedError,
    SyftFlwrError,
)
from syft_flwr.exchange.disposables import LARGE
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.work import Answer, Step, Work
from syft_flwr.models import Message, Rejection, RejectionReason, Replied
from syft_flwr.printable import printable_error, printable_traceback
from syft_flwr.state.events import of_rejection
from syft_flwr.state.journal_rows import Spooled

_log = logging.getLogger(__name__)

_SMALL = 16 * 1024
"""Bytes of an answer that is kept in its row; a larger one gets a file of its own."""
_CLOSED = 3600.0
"""Seconds to wait for nothing: all is being closed."""


class Responder:
    """Takes requests to their end for one account. Thread-safe: each request is at one step at a time.

    Args:
        parts: The account's parts.
        later: Calls a function after some seconds.
        on_over: Called with each request that has left this process, over for good or not.
        on_deletion: Called when a reply became due for deletion.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        later: Callable[[float, Callable[[], None]], None],
        on_over: Callable[[Work], None],
        on_deletion: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._later = later
        self._on_over = on_over
        self._on_deletion = on_deletion
        self._lock = threading.Lock()
        self._handling: dict[Work, int] = {}
        """And the threads that they are handled on."""
        self._uploading = 0
        self._idle = threading.Condition(self._lock)

    # -- steps ------------------------------------------------------------------------------------------------

    def prepare(self, work: Work) -> float:
        """Have an ID for the answer, and the body here; its file is of use to this process alone, and is not synced."""
        try:
            if not work.reply_id:
                disposable = self._parts.disposables.of_request(work.message.properties)
                work.reply_id, work.announcement = self._parts.announced.step(
                    "response", work.message.sender, disposable
                )
            return self._take_body(work)
        except RuntimeClosedError:
            return _CLOSED
        except Exception as error:  # an outage, a full disk, a defect: the request must not be lost over it
            return self.failed("taking a request", error, work)

    def _take_body(self, work: Work) -> float:
        message = work.message
        try:
            work.body = self._fetch(work)
            work.advance(Step.PREPARED)
        except NotFoundError:
            self._parts.ledger.request_gone(message.file_id)
            self._end(work)
        except DamagedDownloadError as error:
            if not work.is_hopeless(error.sha256, self._parts.clock.monotonic()):
                return self.failed("taking a request", error, work)
            work.answer = self.refuse(work, RejectionReason.DAMAGED, str(error))
            work.advance(Step.HANDLED)
        except PermissionDeniedError as error:
            if not work.is_hopeless("refused", self._parts.clock.monotonic()):
                return self.failed("taking a request", error, work)
            work.answer = self.refuse(work, RejectionReason.UNREADABLE, f"Drive refuses its content: {error}")
            work.advance(Step.HANDLED)
        return 0.0

    def _fetch(self, work: Work) -> bytes | Path:
        message = work.message
        if not work.shares_body and (body := self._parts.inlined_body(message)) is not None:
            return body
        target = self._parts.bodies.partial(f"request-{message.file_id}")
        try:
            if work.shares_body:
                target.write_bytes(self._parts.read_body(message))
                work.shares_body = False
                self._parts.shared_bodies.leave(message)
            else:
                self._parts.gateway.download(message.file_id, target, size=message.size, sha256=message.sha256)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return target

    def handle(self, work: Work) -> float:
        """Run the handler, put its answer on disk, and have it uploaded; the next request waits only for the disk."""
        with self._lock:
            self._handling[work] = threading.get_ident()
        try:
            if work.step is Step.PREPARED:
                attempts = self._parts.ledger.journal.begin(work.number, work.message)
                limit = self._parts.settings.max_attempts
                work.answer = self._run(work) if attempts <= limit else self.give_up(work, limit)
                work.advance(Step.HANDLED)
            self._spool(work)
        except RuntimeClosedError:
            _log.info("closed before request %s was answered; it will be handled again", work.message.future_id)
            return _CLOSED
        except Exception as error:  # a full disk, a defect: what the handler answered is kept, and written again
            return self.failed("answering a request", error, work)
        finally:
            with self._lock:
                del self._handling[work]
        if work.step is Step.SPOOLED:
            self.upload(work)
        return 0.0

    def upload(self, work: Work) -> None:
        """Have a spooled answer uploaded, on the pool; a failure is tried again, in growing pauses."""
        with self._lock:
            self._uploading += 1
        try:
            self._parts.pool.submit(self._upload_safely, work)
        except RuntimeError:  # the pool is shut down: what is spooled stays so
            self._uploaded()

    def release(self, work: Work, *, interrupted: bool = False) -> None:
        """Give back a request that will not be answered here, once the disk allows; see :meth:`Journal.release`."""
        work.drop_body()
        try:
            self._parts.ledger.journal.release(work.number, interrupted=interrupted)
        except RuntimeClosedError:
            _log.debug("closed; the lease on request %s ends with this process", work.message.future_id)
        except Exception as error:  # a full disk: without this, the request would wait for this process to end
            pause = self.failed("giving a request back", error, work)
            self._later(pause, partial(self.release, work, interrupted=interrupted))
            return
        self._on_over(work)

    # -- around -----------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Give back the requests whose handlers still run although everything stops; it is not their fault."""
        with self._lock:
            handling = list(self._handling)
        for work in handling:
            _log.warning("stopped while request %s was handled; it will be handled again", work.message.future_id)
            with suppress(SyftFlwrError):  # on a full disk it counts as an attempt; the lease ends with this process
                self._parts.ledger.journal.release(work.number, interrupted=True)

    def handles_here(self) -> bool:
        """Tell whether the caller is within a handler."""
        with self._lock:
            return threading.get_ident() in self._handling.values()

    def kept_bodies(self) -> set[str]:
        """Return the names of the bodies that are still needed."""
        return {_reply_body(spooled.message) for spooled in self._parts.ledger.journal.spooled()}

    def wait_for_uploads(self, timeout: float) -> bool:
        """Wait until no upload is under way, at most ``timeout`` seconds; return whether that is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._uploading, timeout)

    # -- inside -----------------------------------------------------------------------------------------------

    def _run(self, work: Work) -> Answer:
        assert work.body is not None and work.route is not None  # noqa: S101, PT018 - it is prepared
        content = work.body if isinstance(work.body, bytes) else work.body.read_bytes()
        try:
            return Answer(as_body(work.route.handler(content, work.message)))
        except BaseException as error:  # whatever a handler raises becomes its reply; the feed goes on
            self._parts.streams.report("handler", error, work.message)
            told = printable_traceback(error) if work.route.share_errors else printable_error(error)
            return Answer(self._error_body(told), is_error=True)

    def give_up(self, work: Work, attempts: int) -> Answer:
        """Return the answer to a request that no handler survives."""
        detail = f"the handler did not survive {attempts} attempts at this request"
        return self.refuse(work, RejectionReason.HANDLER_CRASHED, detail)

    def refuse(self, work: Work, reason: RejectionReason, detail: str) -> Answer:
        """Reject a request aloud; return the error that is its answer."""
        rejection = Rejection.of(reason, work.message, detail)
        self._parts.streams.reject(rejection)
        self._parts.ledger.events.note("rejected", **of_rejection(rejection))  # it goes with its answer
        return Answer(self._error_body(detail), is_error=True)

    def _error_body(self, error: str) -> bytes:
        return wire.error_body(error, self._parts.clock.time())

    def _spool(self, work: Work) -> None:
        """Put the answer on disk: from here on the handler never runs again for this request."""
        answer, message = work.answer, work.message
        assert answer is not None  # noqa: S101 - it is handled
        if answer.body is None:
            self._parts.ledger.journal.finish(work.number, message)
        else:
            body: bytes | None = answer.body
            if len(answer.body) > _SMALL:
                self._parts.bodies.write(_reply_body(message), answer.body)
                body = None
            work.spooled = Spooled(message, work.reply_id, answer.is_error, body, len(answer.body))
            self._parts.ledger.journal.spool(work.number, work.spooled)
            work.advance(Step.SPOOLED)
        self._parts.streams.replied.tell(Replied(message, answer.body, answer.is_error))
        work.answer = None
        work.drop_body()
        if answer.body is None:
            self._end(work)

    def _upload_safely(self, work: Work) -> None:
        try:
            self._upload(work)
        except RuntimeClosedError:
            _log.info("closed before the reply to %s was sent; it will be sent later", work.message.future_id)
        except Exception as error:  # an outage, a full disk, a defect: the reply must not be lost over it
            if isinstance(error, ConflictError) and work.spooled is not None:
                work.spooled = replace(work.spooled, reply_id=self._parts.ids.take())
            self._later(self.failed("sending a reply", error, work), lambda: self.upload(work))
        else:
            self._end(work)
        finally:
            self._uploaded()

    def _upload(self, work: Work) -> None:
        spooled, message = work.spooled, work.message
        assert spooled is not None  # noqa: S101 - only spooled answers come here
        path = wire.inbox_path(message.recipient, message.sender, message.app, message.endpoint)
        name = wire.message_file_name("response", message.future_id)
        body = self._parts.bodies.path(_reply_body(message)) if spooled.body is None else spooled.body
        properties = {**work.announcement, **(wire.ERROR_STATUS if spooled.is_error else {})}
        disposables = self._parts.disposables
        disposable = disposables.of_request(message.properties)

        def put(folder: str) -> None:
            self._parts.write(spooled.reply_id, name, folder, body, properties=properties, spread=bool(disposable))

        folder = self._parts.inboxes.deliver(path, peer=message.sender, put=put, disposable=disposable)
        self._parts.announced.replied()
        settings = self._parts.settings
        expires_at = self._parts.clock.time() + settings.cleanup_expiry if settings.cleanup else None
        if disposable:
            disposables.used(disposable, folder, peers=message.folder_id)
            size = len(body) if isinstance(body, bytes) else body.stat().st_size
            if size <= LARGE:
                expires_at = None  # it goes with its folder
        journal = self._parts.ledger.journal
        withdrawn = journal.finish(work.number, message, reply_id=spooled.reply_id, expires_at=expires_at)
        if spooled.body is None:
            self._parts.bodies.delete(_reply_body(message))
        if withdrawn and settings.cleanup:
            self._confirm_gone(message)

    def _confirm_gone(self, message: Message) -> None:
        """Let the reply to a request go at once if Drive no longer has that; its tombstone came before the reply."""
        try:
            self._parts.gateway.get_file(message.file_id)
        except NotFoundError:
            self._parts.ledger.request_gone(message.file_id)
            self._on_deletion()
        except DriveError as error:  # a sweep will ask again
            _log.debug("can't tell whether request %s is gone: %s", message.future_id, error)

    def _uploaded(self) -> None:
        with self._idle:
            self._uploading -= 1
            self._idle.notify_all()

    def failed(self, where: str, error: Exception, work: Work) -> float:
        """Report a failed attempt; return the seconds until the next one."""
        self._parts.streams.report(where, error, work.message)
        return work.failed(error)

    def _end(self, work: Work) -> None:
        work.advance(Step.OVER)
        self._on_over(work)


def as_body(result: object) -> bytes | None:
    """Return what a handler or pipeline gave as a body; ``None`` for no reply.

    Raises:
        TypeError: It is none.
    """
    if result is None or isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytearray | memoryview):
        return bytes(result)
    raise TypeError(f"a handler returns bytes, str or None, not {type(result).__name__}")


def _reply_body(message: Message) -> str:
    return f"reply-{message.file_id}"
