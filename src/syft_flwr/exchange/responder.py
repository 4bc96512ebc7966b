"""The way of one request: claim, download, handler, spool, upload, done. It can stop anywhere and go on later."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from syft_flwr import wire
from syft_flwr.errors import NotFoundError, RuntimeClosedError, SyftFlwrError, TransferError
from syft_flwr.exchange.backoff import Backoff
from syft_flwr.exchange.context import Exchange
from syft_flwr.feed.streams import describe
from syft_flwr.models import Message, Rejection, RejectionReason, Replied
from syft_flwr.state.requests import Claim, Reply

Handler = Callable[[bytes, Message], bytes | str | None]

_log = logging.getLogger(__name__)

_SMALL = 256 * 1024
"""Bytes of an answer that may wait in memory for its turn to be spooled; a larger one is spooled at once."""
_MAX_UNSPOOLED = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gave back: no body, no reply."""

    body: bytes | None
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is ready before the handler runs, so that nothing of it can fail afterwards."""

    body: Path
    reply_id: str


class Responder:
    """Takes requests to their end for one account. Thread-safe.

    The handler's thread only counts the attempt and runs the handler; downloads before it and all that follows it
    are done on the pool, beside the next handler.

    Args:
        exchange: The account's parts.
        on_settled: Called with a request's file ID when this process has nothing left to do for it, and with
            whether the request is over for good.
        on_retry: Called when something failed that a later attempt may mend.
    """

    def __init__(
        self, exchange: Exchange, *, on_settled: Callable[[str, bool], None], on_retry: Callable[[], None]
    ) -> None:
        self._x = exchange
        self._on_settled = on_settled
        self._on_retry = on_retry
        self._backoff = Backoff(exchange.clock)
        self._unspooled = threading.BoundedSemaphore(_MAX_UNSPOOLED)
        self._lock = threading.Lock()
        self._handling: dict[str, Message] = {}
        self._concluding: set[str] = set()
        self._idle = threading.Condition(self._lock)

    def is_due(self, file_id: str) -> bool:
        """Tell whether a request may be tried now; after a failure it has to wait for a while."""
        return self._backoff.is_due(file_id)

    def prepare(self, message: Message) -> Prepared | None:
        """Claim a request and download its body; ``None`` when there is nothing to handle here and now.

        The file is of use to this process alone: should it die, the body is fetched again. So it is not synced.
        """
        try:
            claim = self._x.ledger.requests.claim(message)
            if claim is Claim.TAKEN:
                return self._download(message)
            if claim is Claim.SPOOLED:
                self._submit(message, self._upload)
            elif claim is Claim.BUSY:
                self._settle(message, over=False)
                self._on_retry()
            else:
                self._settle(message)
        except RuntimeClosedError:
            _log.debug("closed before request %s was taken", message.future_id)
        except Exception as error:  # an outage, a full disk, a defect: the request must not be lost over it
            self._fail("taking a request", error, message)
        return None

    def handle(self, message: Message, prepared: Prepared, handler: Handler) -> None:
        """Run the handler on a prepared request, and send what it answers."""
        with self._lock:
            self._handling[message.file_id] = message
        try:
            attempts = self._x.ledger.requests.begin(message)
            if attempts <= self._x.settings.max_attempts:
                answer = self._run(message, prepared.body, handler)
            else:
                answer = self._give_up(message)
            self._answer(message, prepared.reply_id, answer)
        except RuntimeClosedError:
            _log.info("closed before request %s was answered; it will be handled again", message.future_id)
        except Exception as error:  # an outage, a full disk, a defect: the request must not be lost over it
            self._fail("answering a request", error, message)
        finally:
            with self._lock:
                self._handling.pop(message.file_id, None)
            prepared.body.unlink(missing_ok=True)

    def release(self, message: Message, prepared: Prepared) -> None:
        """Give back a prepared request that will not be handled here."""
        prepared.body.unlink(missing_ok=True)
        self._x.ledger.requests.release(message)
        self._settle(message, over=False)

    def interrupt(self) -> None:
        """Give back the requests whose handlers still run although everything stops; it is not their fault."""
        with self._lock:
            handling = list(self._handling.values())
        for message in handling:
            _log.warning("stopped while request %s was being handled; it will be handled again", message.future_id)
            self._x.ledger.requests.interrupt(message)

    def resume_uploads(self) -> None:
        """Go on with the replies that were spooled but not uploaded, by this process or by one that died."""
        for message in self._x.ledger.requests.spooled():
            with self._lock:
                busy = message.file_id in self._concluding
            if busy:
                continue
            if not self.is_due(message.file_id):
                self._on_retry()
            elif self._x.ledger.requests.claim(message) is Claim.SPOOLED:
                self._submit(message, self._upload)

    def kept_bodies(self) -> set[str]:
        """Return the names of the bodies that are still needed."""
        return {_reply_body(message) for message in self._x.ledger.requests.spooled()}

    def wait_for_uploads(self, timeout: float) -> bool:
        """Wait until no upload is under way, at most ``timeout`` seconds; return whether that is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._concluding, timeout)

    def _download(self, message: Message) -> Prepared | None:
        reply_id = self._x.ids.take()
        target = self._x.bodies.partial(f"request-{message.file_id}")
        complete = False
        try:
            self._x.gateway.download(message.file_id, target, size=message.size, sha256=message.sha256)
            complete = True
        except NotFoundError:
            self._x.ledger.requests.release(message)
            self._x.ledger.request_gone(message.file_id)
            self._settle(message)
        except TransferError as error:
            self._x.ledger.requests.finish(message)
            self._settle(message)
            self._x.streams.reject(Rejection.of(RejectionReason.DAMAGED, message, str(error)))
        finally:
            if not complete:
                target.unlink(missing_ok=True)
        return Prepared(target, reply_id) if complete else None

    def _run(self, message: Message, body: Path, handler: Handler) -> Answer:
        content = body.read_bytes()
        try:
            return Answer(_as_body(handler(content, message)))
        except BaseException as error:  # whatever a handler raises becomes its reply; the feed goes on
            self._x.streams.report("handler", error, message)
            return Answer(self._error_body(describe(error)), is_error=True)

    def _give_up(self, message: Message) -> Answer:
        detail = f"the handler did not survive {self._x.settings.max_attempts} attempts at this request"
        self._x.streams.reject(Rejection.of(RejectionReason.HANDLER_CRASHED, message, detail))
        return Answer(self._error_body(detail), is_error=True)

    def _error_body(self, error: str) -> bytes:
        timestamp = datetime.fromtimestamp(self._x.clock.time(), UTC).isoformat()
        return json.dumps({"error": error, "timestamp": timestamp}).encode()

    def _answer(self, message: Message, reply_id: str, answer: Answer) -> None:
        if answer.body is not None and len(answer.body) > _SMALL:
            self._spool(message, reply_id, answer)
            self._submit(message, self._upload)
            return
        self._unspooled.acquire()

        def conclude(message: Message) -> None:
            try:
                self._spool(message, reply_id, answer)
            finally:
                self._unspooled.release()
            if answer.body is not None:
                self._upload(message)

        if not self._submit(message, conclude):
            self._unspooled.release()

    def _spool(self, message: Message, reply_id: str, answer: Answer) -> None:
        """Put an answer on disk: from here on the handler never runs again for this request."""
        if answer.body is None:
            self._x.ledger.requests.finish(message)
        else:
            self._x.bodies.write(_reply_body(message), answer.body)
            self._x.ledger.requests.spool(Reply(message, reply_id, answer.is_error))
        self._x.streams.replied.on_next(Replied(message, answer.body, answer.is_error))

    def _submit(self, message: Message, work: Callable[[Message], None]) -> bool:
        """Do the rest for a request on the pool; ``False`` when that is closed or does so already."""
        with self._lock:
            if message.file_id in self._concluding:
                return False
            self._concluding.add(message.file_id)
        try:
            self._x.pool.submit(self._conclude, message, work)
        except RuntimeError:  # the pool is shut down: what is spooled stays so
            self._concluded(message)
            return False
        return True

    def _conclude(self, message: Message, work: Callable[[Message], None]) -> None:
        try:
            work(message)
        except RuntimeClosedError:
            _log.info("closed before the reply to %s was sent; it will be sent later", message.future_id)
        except Exception as error:  # an outage, a full disk, a defect: the request must not be lost over it
            self._fail("sending a reply", error, message)
        else:
            self._settle(message)
        finally:
            self._concluded(message)

    def _upload(self, message: Message) -> None:
        reply = self._x.ledger.requests.reply(message)
        if reply is None:
            return
        path = wire.inbox_path(message.recipient, message.sender, message.app, message.endpoint)
        [folder] = self._x.inboxes.ensure([path], peer=message.sender)
        try:
            self._x.gateway.upload(
                reply.reply_id,
                wire.message_file_name("response", message.future_id),
                folder,
                self._x.bodies.path(_reply_body(message)),
                properties=wire.ERROR_STATUS if reply.is_error else None,
            )
        except NotFoundError:
            self._x.inboxes.recheck([path])
            raise
        expires_at = self._x.clock.time() + self._x.settings.cleanup_expiry if self._x.settings.cleanup else None
        self._x.ledger.requests.finish(message, reply_id=reply.reply_id, expires_at=expires_at)
        self._x.bodies.delete(_reply_body(message))

    def _concluded(self, message: Message) -> None:
        with self._idle:
            self._concluding.discard(message.file_id)
            self._idle.notify_all()

    def _fail(self, where: str, error: Exception, message: Message) -> None:
        self._x.streams.report(where, error, message)
        self._backoff.failed(message.file_id, error)
        try:
            self._x.ledger.requests.release(message)
        except SyftFlwrError as failure:  # the state can't be written; the lease ends with this process
            self._x.streams.report("giving a request back", failure, message)
        self._settle(message, over=False)
        self._on_retry()

    def _settle(self, message: Message, *, over: bool = True) -> None:
        if over:
            self._backoff.forget(message.file_id)
        self._on_settled(message.file_id, over)


def _as_body(result: object) -> bytes | None:
    if result is None or isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytearray | memoryview):
        return bytes(result)
    raise TypeError(f"a handler returns bytes, str or None, not {type(result).__name__}")


def _reply_body(message: Message) -> str:
    return f"reply-{message.file_id}"
