"""A handle on one account's exchange of messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, Unpack

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.deferred import WhenLate
from syft_flwr.exchange.objects import Disposable
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.exchange.waiting import Waiting
from syft_flwr.feed.router import from_start
from syft_flwr.feed.shared_bodies import SharedBodies
from syft_flwr.models import FeedError, Message, Rejection, RejectionReason, Replied
from syft_flwr.recording import Recorder
from syft_flwr.resources import Change
from syft_flwr.runtime.engine import Engine
from syft_flwr.runtime.loop import nothing
from syft_flwr.runtime.recorders import start_recording
from syft_flwr.runtime.sharing import observing_engine, release, shared_engine
from syft_flwr.senders import Senders
from syft_flwr.settings import SettingsDict

_CALM: SettingsDict = {"max_poll_interval": 15.0}


class DriveRuntime:
    """Follows one account's change feed and exchanges messages over it. Thread-safe; a context manager.

    Get one with :meth:`open`. All that a process opens for the same account, Drive and state directory share one
    engine: one poll loop, one journal, one set of connections. Each handle has wishes of its own (how often to poll,
    how long to wait), and :meth:`close` ends nothing but the handle; the engine ends with the last of them.
    """

    def __init__(self, engine: Engine, *, message_timeout: float | None = None) -> None:
        """Use :meth:`open`; an engine of your own stays yours to close."""
        self._engine = engine
        self._timeout = message_timeout or engine.parts.settings.message_timeout
        self._close_engine: Callable[[], None] = nothing
        self._lock = threading.Lock()
        self._closed = False
        self._starts: list[Callable[[], None]] = []

    @classmethod
    def open(cls, email: str | None = None, **settings: Unpack[SettingsDict]) -> Self:
        """Open a handle on an account. Does no call to Drive yet.

        Which Drive, the credentials and the state directory come from the environment.

        Args:
            email: The account's address; by default ``SYFTBOX_EMAIL``.
            **settings: Fields of :class:`~syft_flwr.settings.Settings`. ``max_poll_interval`` is 15 s here unless
                given. ``poll_interval``, ``max_poll_interval`` and ``message_timeout`` are this handle's own; the
                others are those of the first handle, and a later one that wants others is told so.

        Raises:
            ConfigurationError: No address, or a setting that makes no sense.
            CredentialsError: No credentials; the message says how to get some.
            StateError: The state directory can't be used.
        """
        return cls._on(shared_engine, email, {**_CALM, **settings})

    @classmethod
    def observe(cls, email: str | None = None, **settings: Unpack[SettingsDict]) -> Self:
        """Open a runtime that only looks on: it shares nothing with the account's other runtimes.

        It shows what waits for them, and then all that comes, also what another process handles meanwhile. It keeps
        its state in memory, answers nothing and cleans nothing up.

        Args:
            email: As in :meth:`open`.
            **settings: As in :meth:`open`.

        Raises:
            ConfigurationError: As :meth:`open`.
            StateError: The state of the account's other runtimes can't be read.
        """
        return cls._on(observing_engine, email, {**_CALM, **settings, "cleanup": False})

    @classmethod
    def _on(
        cls, find: Callable[[str | None, Mapping[str, Any], object], Engine], email: str | None, settings: SettingsDict
    ) -> Self:
        token = object()
        engine = find(email, settings, token)
        handle = cls(engine, message_timeout=settings.get("message_timeout"))
        handle._close_engine = lambda: release(engine, token)
        return handle

    @property
    def email(self) -> str:
        """The account's address."""
        return self._engine.parts.me

    @property
    def meter(self) -> Any:
        """Calls and quota units so far (:class:`~syft_flwr.drive.quota.QuotaMeter`), of all handles together."""
        return self._engine.meter

    @property
    def message_timeout(self) -> float:
        """Seconds that :meth:`wait` waits unless told otherwise."""
        return self._timeout

    def drive_time(self) -> float:
        """Return Drive's clock: Unix seconds, as of its last answer; the local clock before the first one."""
        return self._engine.parts.gateway.server_time()

    # -- observables ------------------------------------------------------------------------------------------

    @property
    def changes(self) -> Observable[Change]:
        """Every entry of the change feed, as this process fetches it, after it was journaled. Hot."""
        return self._engine.parts.streams.changes

    @property
    def messages(self) -> Observable[Message]:
        """Every message to this account, once; after a restart the unfinished ones again. Hot."""
        return self._engine.parts.streams.messages

    @property
    def messages_from_start(self) -> Observable[Message]:
        """As :attr:`messages`, but each subscription begins with the requests that wait and that nobody has taken."""

        def subscribe(
            observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            token = from_start.set(True)
            try:
                return self.messages.subscribe(observer, scheduler=scheduler)
            finally:
                from_start.reset(token)

        return Observable(subscribe)

    @property
    def responses(self) -> Observable[Message]:
        """Every response that answers a request of this account. Hot."""
        return self._engine.parts.streams.responses

    @property
    def replied(self) -> Observable[Replied]:
        """Every answer that a handler gave, once it can't be lost any more; its upload follows. Hot."""
        return self._engine.parts.streams.replied

    @property
    def rejected(self) -> Observable[Rejection]:
        """Every file that was not accepted as a message, and why. Hot."""
        return self._engine.parts.streams.rejected

    @property
    def errors(self) -> Observable[FeedError]:
        """Every exception that was contained: of observers, handlers and polls. Hot."""
        return self._engine.parts.streams.errors

    # -- life -------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the poll loop runs."""
        return self._engine.loop.is_running

    @property
    def failure(self) -> Exception | None:
        """Why the poll loop ended by itself, if it did: something that no retry can mend."""
        return self._engine.loop.failure

    def start(self, on_failure: Callable[[], None] = nothing) -> None:
        """Poll on a thread of the engine's own, until :meth:`stop` was called as often, or :meth:`close`.

        Args:
            on_failure: Called if the loop ends by itself; then :attr:`failure` says why.
        """
        self._check_open()
        with self._lock:
            self._starts.append(on_failure)
        self._engine.loop.start(on_failure)

    def stop(self, on_failure: Callable[[], None] = nothing) -> None:
        """Undo one :meth:`start`, which was called with the same ``on_failure``; returns at once."""
        with self._lock:
            if on_failure not in self._starts:
                return
            self._starts.remove(on_failure)
        self._engine.loop.stop(on_failure)

    def run_forever(self, ended: threading.Event | None = None, timeout: float | None = None) -> None:
        """Poll on a thread of the engine's own, and wait meanwhile; Ctrl-C passes through.

        Args:
            ended: Ends it when set.
            timeout: Seconds after which it ends.

        Raises:
            SyftFlwrError: The poll loop ended by itself: see :attr:`failure`.
        """
        ended = threading.Event() if ended is None else ended
        self.start(on_failure=ended.set)
        try:
            self._engine.parts.clock.wait(ended, timeout)
        finally:
            self.stop(on_failure=ended.set)
        if self.failure is not None:
            raise self.failure

    def poll_once(self) -> int:
        """Poll the feed once, and do what has come due; return the number of changes.

        Returns when observers have seen what it brought; from within an observer, at once. The first call also
        obtains the start token, sweeps, and takes up what earlier runs left unfinished.

        Raises:
            DriveError: Drive can't be reached or refuses; nothing is lost, the next poll goes on from here.
        """
        self._check_open()
        return self._engine.poll_once()

    def drain(self, timeout: float | None = None) -> bool:
        """Answer all that waits, for a run that ends then: poll once, handle every request, send every reply.

        Nothing is downloaded for a request that is not handled.

        Args:
            timeout: Seconds to wait for the handlers at most; what is left then stays in the journal.

        Returns:
            Whether all is done.

        Raises:
            DriveError: As :meth:`poll_once`.
            RuntimeError: It was called in a handler or an observer, which it would wait for.
        """
        self._check_open()
        return self._engine.drain(timeout)

    def close(self) -> None:
        """Give up this handle; the last one of the engine stops everything within about a second. Idempotent.

        Uploads under way get up to ten seconds. What is unfinished then stays in the journal for the next process.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            starts, self._starts = self._starts, []
        for on_failure in starts:
            self._engine.loop.stop(on_failure)
        self._close_engine()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- messages ---------------------------------------------------------------------------------------------

    def send(self, requests: Sequence[Request], *, block: bool = True) -> list[str]:
        """Send requests, several at a time; return their future IDs in the same order.

        Returns when all are in Drive; waits for nothing else. Answers are kept for ``cleanup_expiry`` after they came.

        Args:
            requests: What to send.
            block: Whether to wait where the minute of the account's budget is spent, for its turn, or where Drive
                throttles the account or does not answer, for a minute at most. Else the error comes at once;
                ``retry_after`` of a ``RateLimitedError`` tells when there is room.

        Raises:
            InvalidNameError: An address, app name or endpoint can't go on the wire; nothing was sent.
            TypeError: A body is not ``bytes``, ``bytearray`` or ``memoryview``; nothing was sent.
            PartlySentError: Some could not be sent; it tells which went.
            DriveError: None could be sent.
        """
        self._check_open()
        return self._engine.send(requests, block=block)

    def get_response(self, future_id: str) -> bytes | None:
        """Return a reply's body, or ``None`` when there is none yet. Never waits for the peer.

        Polls the feed itself when no loop does and the last poll is old enough, so asking for many futures costs no
        more calls than asking for one.

        Raises:
            DriveError: Drive refused, or could not be reached in spite of retries.
        """
        self._check_open()
        return self._engine.responses.get(future_id)

    def answered(
        self, future_ids: Collection[str], timeout: float | None = None, *, enough: int | None = None
    ) -> set[str]:
        """Wait until ``enough`` of the futures (by default all) have a reply; return those that have, unloaded.

        Args:
            future_ids: What to wait for. Unknown ones, which can't be answered, are passed over.
            timeout: Seconds to wait at most, outages included; by default ``message_timeout``.
            enough: How many suffice.
        """
        self._check_open()
        return self._engine.responses.answered(future_ids, self._patience(timeout), enough=enough)

    def wait(
        self,
        future_ids: Sequence[str],
        timeout: float | None = None,
        *,
        return_when: Literal["all", "first"] = "all",
        raise_errors: bool = True,
    ) -> dict[str, bytes]:
        """Wait for replies, and return the bodies of those that have come.

        Args:
            future_ids: What to wait for. Unknown ones, which can't be answered, are passed over.
            timeout: Seconds to wait at most, outages included; by default ``message_timeout``.
            return_when: ``"first"`` returns as soon as there is any reply.
            raise_errors: Whether an error reply is raised, or returned like any other body.

        Returns:
            Future ID to body, in the order of ``future_ids``; incomplete when time is up, and to ask for one that is
            missing raises ``UnansweredError``. All bodies are in memory: where they are large, use
            :meth:`as_completed`.

        Raises:
            RemoteHandlerError: A peer's handler failed, or its reply was deleted, altered or made unreadable, and
                ``raise_errors`` is set; the other replies are in its ``others``.
            DriveError: None of the replies can be downloaded at the moment. Those that can are returned; the error
                of the others is shown on ``errors``, and they can be waited for again.
        """
        self._check_open()
        enough = 1 if return_when == "first" else None
        return self._engine.responses.wait(
            future_ids, self._patience(timeout), enough=enough, raise_errors=raise_errors
        )

    def as_completed(
        self, future_ids: Collection[str], timeout: float | None = None, *, raise_errors: bool = True
    ) -> Iterator[tuple[str, bytes]]:
        """Yield future ID and body of each reply as it comes, one body in memory at a time.

        Args:
            future_ids: As in :meth:`wait`.
            timeout: Seconds until it ends, whatever is missing; by default ``message_timeout``.
            raise_errors: As in :meth:`wait`.

        Raises:
            RemoteHandlerError: As :meth:`wait`, once all other replies were yielded.
            DriveError: A reply can't be downloaded at the moment; likewise.
        """
        self._check_open()
        return self._engine.responses.as_completed(future_ids, self._patience(timeout), raise_errors=raise_errors)

    def delete_future(self, future_id: str) -> None:
        """Forget a future, and delete its request's file, which lets the responder delete the reply.

        Unknown futures are no error. A reply that comes later is rejected as unknown.
        """
        self._check_open()
        self._engine.responses.forget([future_id])

    def disposable(self, name: str) -> Disposable:
        """Return what is thrown away together under a name, such as the small messages of one conversation.

        Requests that bear the name (``Request.disposable``), and the peers' answers, lie in folders of those who write
        them. Deleting a folder costs what deleting one file does. One that is not disposed of goes with the clean-up.

        Args:
            name: Letters, digits and hyphens, 64 at most.

        Raises:
            ValueError: It is not.
        """
        self._check_open()
        return self._engine.disposable(name)

    def fetch(self, file_id: str, target: Path, *, size: int, sha256: str) -> None:
        """Download what a peer has published (:meth:`Disposable.publish`); an outage is waited out for a minute.

        Args:
            file_id: What to download.
            target: Where to.
            size: Its length in bytes.
            sha256: Its SHA-256 (hex).

        Raises:
            DamagedDownloadError: It has another size or SHA-256.
            DriveError: It is gone, or Drive can't be reached or refuses.
        """
        self._check_open()
        self._engine.objects.fetch(file_id, target, size=size, sha256=sha256)

    def reply(self, message: Message, body: bytes | str | None) -> bool:
        """Answer a request that :func:`~syft_flwr.feed.defer` has taken; the answer is on disk when it returns.

        Args:
            message: The request.
            body: The answer: ``str`` as UTF-8, ``None`` for none.

        Returns:
            Whether it was this pipeline's to answer. It is not when it was answered before, or was late.

        Raises:
            TypeError: The body is something else.
        """
        self._check_open()
        return self._engine.dispatch.placement.deferred.reply(message, body)

    def waiting(self) -> Waiting:
        """Return the requests that wait in the journal, oldest first: for a handler, a pipeline, or another process.

        It can be iterated over, which reads them in portions, and has a length. It shows each as it is then.
        """
        self._check_open()
        return Waiting(self._engine.parts)

    def consume(self, message: Message) -> None:
        """Acknowledge a message that a stream has dealt with: it is never seen again, and gets no reply.

        A request that a handler has already is left to it; :attr:`errors` says so.
        """
        self._check_open()
        self._engine.consume(message)

    # -- recordings -------------------------------------------------------------------------------------------

    def record_to(self, path: str | Path, *, bodies: bool = False, redact: bool = False) -> Recorder:
        """Record what passes between the account and Drive from now on, until the recorder or the engine is closed.

        Args:
            path: The file, JSON Lines; an existing recording is continued.
            bodies: Whether to keep the contents of the messages that are downloaded and uploaded, in a directory
                beside the file.
            redact: Whether to replace addresses and names, each always by the same other one.

        Raises:
            RecordingError: The file can't be written, or is no recording that can be continued.
            ConfigurationError: Both ``bodies`` and ``redact``.
        """
        self._check_open()
        return start_recording(self._engine, Path(path), bodies=bodies, redact=redact)

    # -- for the operators of syft_flwr.feed --------------------------------------------------------------------

    @property
    def _is_synchronous(self) -> bool:
        return not self._engine.threaded

    @property
    def _bodies(self) -> SharedBodies:
        return self._engine.parts.shared_bodies

    @property
    def _named(self) -> dict[str, SerialDisposable]:
        return self._engine.named

    def _report(self, where: str, error: BaseException, message: Message | None = None) -> None:
        self._engine.parts.streams.report(where, error, message)

    def _open_route(
        self, function: Callable[[bytes, Message], bytes | str | None], concurrency: int, on_over: Callable[[str], None]
    ) -> tuple[Callable[[Message], bool], Callable[[], None]]:
        """Let a function answer what is handed over; return how to hand a request over, and how to end it."""
        self._check_open()
        route = Route("pipeline", "", function, concurrency=concurrency, on_over=on_over)
        self._engine.serve(route)
        return (
            lambda message: self._engine.dispatch.placement.hand_over(route, message),
            lambda: self._engine.withdraw([route]),
        )

    def _lets_in(self, senders: Senders, message: Message) -> bool:
        """Tell whether a pipeline may take a request; one that it may not stays for who may."""
        parts = self._engine.parts
        try:
            if any(senders.allow(address) for address in parts.identities.spellings(message.sender)):
                return True
        except Exception as error:  # a user's predicate
            parts.streams.report("allowed_senders", error, message)
            return False
        detail = f"{message.sender} is not among the allowed senders of a pipeline; kept for whoever answers it"
        parts.streams.reject(Rejection.of(RejectionReason.SENDER_NOT_ALLOWED, message, detail))
        return False

    def _defer(self, message: Message, deadline: float, when_late: WhenLate) -> bool:
        self._check_open()
        return self._engine.dispatch.placement.defer(message, deadline, when_late)

    # -- inside -----------------------------------------------------------------------------------------------

    def _patience(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a runtime can't be pickled: pass the address {self.email}, and open one in the other process")

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeClosedError(f"this handle on the runtime of {self.email} is closed")


def engine_of(runtime: DriveRuntime) -> Engine:
    """Return the engine behind a handle, for the parts of this package that serve endpoints."""
    return runtime._engine  # noqa: SLF001 - its own module
