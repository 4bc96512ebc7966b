"""The way of one request: claim, download, handler, spool, upload, done. It can stop anywhere and go on later."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from syft_flwr import wire
from syft_flwr.errors import NotFoundError, RuntimeClosedError, SyftFlwrError, TransferError
from syft_flwr.exchange.context import Exchange
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.state.ledger import Claim, Reply

Handler = Callable[[bytes, Message], bytes | str | None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gave back: no body, no reply."""

    body: bytes | None
    is_error: bool = False


class Responder:
    """Takes requests to their end for one account. Thread-safe.

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
        self._lock = threading.Lock()
        self._uploading: set[str] = set()
        self._idle = threading.Condition(self._lock)

    def prepare(self, message: Message) -> Message | None:
        """Claim a request and download its body; ``None`` when there is nothing to handle here and now."""
        try:
            claim = self._x.ledger.claim(message)
        except RuntimeClosedError:
            return None
        if claim is Claim.TAKEN:
            return message if self._download(message) else None
        if claim is Claim.SPOOLED:
            self._submit_upload(message)
        elif claim is Claim.BUSY:
            self._settle(message, over=False)
            self._on_retry()
        else:
            self._settle(message)
        return None

    def handle(self, message: Message, handler: Handler) -> None:
        """Run the handler on a prepared request, and send what it answers."""
        try:
            attempts = self._x.ledger.begin(message)
            answer = (
                self._run(message, handler) if attempts <= self._x.settings.max_attempts else self._give_up(message)
            )
            if answer.body is None:
                self._x.ledger.finish(message)
                self._settle(message)
            else:
                self._spool(message, answer)
                self._submit_upload(message)
            self._x.bodies.delete(_request_body(message))
        except RuntimeClosedError:
            _log.info("closed before request %s was answered; it will be handled again", message.future_id)
        except (SyftFlwrError, OSError) as error:
            self._fail("answering a request", error, message)

    def release(self, message: Message) -> None:
        """Give back a prepared request that will not be handled here."""
        self._x.ledger.release(message)
        self._settle(message, over=False)

    def resume_uploads(self) -> None:
        """Go on with the replies that were spooled but not uploaded, by this process or by one that died."""
        for message in self._x.ledger.spooled():
            with self._lock:
                busy = message.file_id in self._uploading
            if not busy and self._x.ledger.claim(message) is Claim.SPOOLED:
                self._submit_upload(message)

    def wait_for_uploads(self, timeout: float) -> bool:
        """Wait until no upload is under way, at most ``timeout`` seconds; return whether that is so."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._uploading, timeout)

    def _download(self, message: Message) -> bool:
        name = _request_body(message)
        try:
            partial = self._x.bodies.partial(name)
            try:
                self._x.gateway.download(message.file_id, partial, size=message.size, sha256=message.sha256)
                self._x.bodies.commit(partial, name)
            finally:
                partial.unlink(missing_ok=True)
        except NotFoundError:
            self._x.ledger.release(message)
            self._x.ledger.request_gone(message.file_id)
            self._settle(message)
        except TransferError as error:
            self._x.ledger.finish(message)
            self._settle(message)
            self._x.streams.reject(Rejection.of(RejectionReason.DAMAGED, message, str(error)))
        except RuntimeClosedError:
            return False
        except (SyftFlwrError, OSError) as error:
            self._fail("downloading a request", error, message)
        else:
            return True
        return False

    def _run(self, message: Message, handler: Handler) -> Answer:
        body = self._x.bodies.read(_request_body(message))
        try:
            return Answer(_as_body(handler(body, message)))
        except BaseException as error:  # whatever a handler raises becomes its reply; the feed goes on
            self._x.streams.report("handler", error, message)
            return Answer(self._error_body(str(error) or type(error).__name__), is_error=True)

    def _give_up(self, message: Message) -> Answer:
        detail = f"the handler did not survive {self._x.settings.max_attempts} attempts at this request"
        self._x.streams.reject(Rejection.of(RejectionReason.HANDLER_CRASHED, message, detail))
        return Answer(self._error_body(detail), is_error=True)

    def _error_body(self, error: str) -> bytes:
        timestamp = datetime.fromtimestamp(self._x.clock.time(), UTC).isoformat()
        return json.dumps({"error": error, "timestamp": timestamp}).encode()

    def _spool(self, message: Message, answer: Answer) -> None:
        self._x.bodies.write(_reply_body(message), answer.body or b"")
        self._x.ledger.spool(Reply(message, self._x.ids.take(), answer.is_error))

    def _submit_upload(self, message: Message) -> None:
        with self._lock:
            if message.file_id in self._uploading:
                return
            self._uploading.add(message.file_id)
        try:
            self._x.pool.submit(self._upload, message)
        except RuntimeError:  # the pool is shut down: the reply stays spooled
            self._uploaded(message)

    def _upload(self, message: Message) -> None:
        try:
            reply = self._x.ledger.reply(message)
            if reply is None:
                return
            path = wire.inbox_path(message.recipient, message.sender, message.app, message.endpoint)
            [folder] = self._x.inboxes.ensure([path], peer=message.sender)
            self._x.gateway.upload(
                reply.reply_id,
                wire.message_file_name("response", message.future_id),
                folder,
                self._x.bodies.path(_reply_body(message)),
                properties=wire.ERROR_STATUS if reply.is_error else None,
            )
            expires_at = self._x.clock.time() + self._x.settings.cleanup_expiry if self._x.settings.cleanup else None
            self._x.ledger.finish(message, reply_id=reply.reply_id, expires_at=expires_at)
            self._x.bodies.delete(_reply_body(message))
            self._settle(message)
        except RuntimeClosedError:
            _log.info("closed before the reply to %s was sent; it will be sent later", message.future_id)
        except (SyftFlwrError, OSError) as error:
            self._fail("sending a reply", error, message)
        finally:
            self._uploaded(message)

    def _uploaded(self, message: Message) -> None:
        with self._idle:
            self._uploading.discard(message.file_id)
            self._idle.notify_all()

    def _fail(self, where: str, error: Exception, message: Message) -> None:
        self._x.streams.report(where, error, message)
        self._x.ledger.release(message)
        self._settle(message, over=False)
        self._on_retry()

    def _settle(self, message: Message, *, over: bool = True) -> None:
        self._on_settled(message.file_id, over)


def _as_body(result: object) -> bytes | None:
    if result is None or isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytearray | memoryview):
        return bytes(result)
    raise TypeError(f"a handler returns bytes, str or None, not {type(result).__name__}")


def _request_body(message: Message) -> str:
    return f"request-{message.file_id}"


def _reply_body(message: Message) -> str:
    return f"reply-{message.file_id}"
