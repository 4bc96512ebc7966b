"""Replay a recorded feed: the same streams and handlers, no network, on any scheduler."""

from __future__ import annotations

import gc
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from reactivex import Observable, abc
from reactivex.scheduler import VirtualTimeScheduler

from syft_flwr.clock import SystemClock
from syft_flwr.errors import RecordingError
from syft_flwr.exchange.waiting import Waiting
from syft_flwr.models import FeedError, Message, Rejection
from syft_flwr.recording.reader import Recording, read_recording
from syft_flwr.replay.happenings import Happenings, ReplayEvent
from syft_flwr.replay.player import RecordingPlayer
from syft_flwr.replay.recorded_drive import Upload, recorded_uploads
from syft_flwr.replay.timeline import Place, Timeline
from syft_flwr.resources import Change
from syft_flwr.runtime.handle import DriveRuntime
from syft_flwr.settings import load_settings

if TYPE_CHECKING:
    from syft_flwr.flower.replaying import ServedProject


@contextmanager
def _frozen() -> Iterator[None]:
    """Let the garbage collector not look, again and again, at what is there already: the whole recording."""
    is_theirs = gc.get_freeze_count() > 0
    if not is_theirs:
        gc.freeze()
    try:
        yield
    finally:
        if not is_theirs:
            gc.unfreeze()


class Handlers(Protocol):
    """What can be served by a replay: :class:`~syft_flwr.events.P2PFileEvents`."""

    def attach(self, runtime: DriveRuntime) -> Callable[[], None]: ...


def replay(
    path: str | Path | Recording,
    *,
    scheduler: abc.SchedulerBase | None = None,
    speed: float | None = None,
    allow_cut_off: bool = False,
    strict: bool = False,
    **settings: Any,
) -> Replay:
    """Prepare the replay of a recorded feed; nothing happens before :meth:`Replay.run`.

    Args:
        path: The recording's file, all of which is read and checked now, or one that was built
            (:meth:`~syft_flwr.recording.reader.Recording.build`).
        scheduler: Where it plays; by default on a virtual one of its own. On a virtual one (``TestScheduler``) all
            happens on the thread that starts it, and the same every time; ``scheduler.start()`` does what ``run()``
            does. Several replays on one have one time axis. It stops when they have ended and what waits then is done.
        speed: Without a scheduler: play in real time, this many times as fast as it was.
        allow_cut_off: Whether to leave out a last line that is not whole.
        strict: Whether any error that was contained is raised at the end of a ``with`` block, and not only a failed
            assertion.
        **settings: Fields of :class:`~syft_flwr.settings.Settings`.

    Raises:
        RecordingError: The recording can't be read; ``.line`` tells where. See
            :func:`~syft_flwr.recording.reader.read_recording`.
        ValueError: ``speed`` is not positive, or comes with a scheduler.
    """
    if speed is not None and (speed <= 0 or scheduler is not None):
        raise ValueError("speed is a positive number, and the scheduler's own matter where there is one")
    recording = path if isinstance(path, Recording) else read_recording(path, allow_cut_off=allow_cut_off)
    return Replay(recording, scheduler=scheduler, speed=speed, strict=strict, **settings)


class Replay:
    """A recorded feed that plays again; a context manager, which raises in its end what observers failed to assert.

    It has the streams of a :class:`~syft_flwr.runtime.DriveRuntime`, and its ``runtime`` can be used as one: handlers
    and pipelines work on it unchanged. Nothing that they write goes anywhere but to :attr:`replies` and
    :attr:`uploads`.

    Attributes:
        recording: What is played.
        runtime: The runtime behind the streams.
        changes, messages, responses, rejected, errors: Its streams.
        replies: What handlers answered, in order.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        scheduler: abc.SchedulerBase | None = None,
        speed: float | None = None,
        strict: bool = False,
        **settings: Any,
    ) -> None:
        """Put the parts together; :func:`replay` reads the recording for you."""
        self.recording = recording
        self._speed = speed
        self._strict = strict
        self._told = False
        self._serves = False
        self._scheduler = scheduler or VirtualTimeScheduler()
        self._began = self._scheduler.now
        self._place = Place(recording.header.time, self._begin)
        self._failure: RecordingError | None = None
        self._unplayed: RecordingError | None = None
        self._idle: RecordingError | None = None
        self._project: ServedProject | None = None
        self._started = False
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._now: float | None = None
        self._line = 1
        self._at = 0.0
        self._directory = Path(tempfile.mkdtemp(prefix="syft-flwr-replay-"))
        self._remove_directory = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        try:
            loaded = load_settings(**{"cleanup": False, **settings})
            self._player = RecordingPlayer(recording, loaded, self._directory, self.time)
        except BaseException:
            self._remove_directory()
            raise
        self.runtime = self._player.runtime
        self.changes: Observable[Change] = self.runtime.changes
        self.messages: Observable[Message] = self.runtime.messages
        self.responses: Observable[Message] = self.runtime.responses
        self.rejected: Observable[Rejection] = self.runtime.rejected
        self.errors: Observable[FeedError] = self.runtime.errors
        self._happened = Happenings(self.runtime, where=lambda: (self._line, self._at))
        self._player.streams.contained = self._happened.contained
        self._player.streams.subscribed = self._happened.subscribed
        self.replies = self._happened.replies
        if isinstance(self._scheduler, VirtualTimeScheduler):
            self.start()

    @property
    def scheduler(self) -> VirtualTimeScheduler:
        """Where it plays; pass it to operators that know time, such as ``buffer_with_time``.

        One of real time is returned as it was passed.
        """
        return cast(VirtualTimeScheduler, self._scheduler)

    @property
    def account(self) -> str:
        """Address of the account whose feed it is."""
        return self.recording.header.account

    @property
    def uploads(self) -> list[Upload]:
        """Every message that handlers and pipelines wrote, replies included, in order."""
        return list(self._player.drive.uploads)

    @property
    def recorded_uploads(self) -> list[Upload]:
        """Every message that the account wrote while its feed was recorded with bodies, in order."""
        return recorded_uploads(self.recording)

    @property
    def line(self) -> int:
        """The line of the recording at which it stands."""
        return self._line

    def serve(self, handlers: Handlers) -> None:
        """Let the handlers that were registered with ``on_request`` answer the replayed requests.

        Raises:
            RecordingError: The feed has ended; no handler would be called.
        """
        if self._over.is_set():
            raise RecordingError(f"{self.recording.path} has been played to its end: serve before that")
        self._happened.is_observed = self._serves = True
        handlers.attach(self.runtime)

    def serve_project(self, directory: str | Path, **options: Any) -> ServedProject:
        """Let today's apps of a Flower project take the place of those that were recorded.

        In the replay of a data owner's feed the ClientApp answers, and its replies are held against the recorded ones.
        In that of an aggregator's, :meth:`run` runs the ServerApp when it has played, with the recorded replies for its
        messages, and these are held against those that were sent then. What differs stands in ``differences``, and
        fails a test that has the replay from the fixture ``recorded_feed``.

        Args:
            directory: The project's.
            **options: ``node_config`` of a data owner's app, and ``tolerance``, by how much numbers may differ,
                relative to the recorded ones.

        Raises:
            FlowerError: The directory is no Flower project.
            ConfigurationError: The recording has no bodies.
        """
        from syft_flwr.flower.replaying import ServedProject

        self._project = ServedProject(self, Path(directory), **options)
        return self._project

    # -- playing ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Put the replay on its scheduler; idempotent. On a virtual one it is there from the beginning."""
        if not self._started:
            self._started = True
            Timeline.on(self._scheduler).join(self._place)

    def _begin(self, began: datetime) -> abc.DisposableBase:
        self._began = began
        return self._schedule(0)

    def run(self) -> Self:
        """Play to the end; blocks until then.

        Raises:
            RecordingError: A handler or pipeline asked for what is not in the recording; the replay ended there.
        """
        if self._speed is not None:
            self._play_in_real_time(self._speed)
        elif isinstance(self._scheduler, VirtualTimeScheduler):
            with _frozen():
                VirtualTimeScheduler.start(self._scheduler)
        else:
            self.start()
            SystemClock().wait(self._over, None)
        self.check()
        if self._project is not None:
            self._project.finish()
        return self

    def check(self) -> None:
        """Raise what ended the replay early, if anything did; :meth:`run` does so itself.

        Raises:
            RecordingError: As :meth:`run`.
        """
        if self._failure is not None:
            raise self._failure

    def raise_errors(self, *, strict: bool = True) -> None:
        """Raise the first ``AssertionError`` that was contained, however long ago; or else the first error at all.

        Args:
            strict: Whether errors other than assertions count.

        Raises:
            RecordingError: It was closed before it was played at all, although somebody observes it or serves handlers;
                or, if ``strict``, requests came and none of the handlers was called.
        """
        self._raise_contained(strict=strict)
        if strict and self._idle is not None:
            raise self._idle
        if self._project is not None and self._project.differences:
            raise AssertionError("\n".join(self._project.differences))

    def stop(self) -> None:
        """Play no further entry; callable from anywhere, returns at once."""
        self._stopping.set()

    def close(self) -> None:
        """Stop playing and end the streams; idempotent."""
        if self._happened.is_observed and not (self._has_begun or self._stopping.is_set()):
            self._unplayed = RecordingError(f"{self.recording.path} was opened, observed and never played: call run()")
        if self._serves and self._over.is_set():
            self._serves = False
            self._look_for_idle_handlers()
        self._stopping.set()
        if self._project is not None:
            self._project.close()
        self._player.close()
        self._over.set()
        Timeline.on(self._scheduler).leave(self._place)
        self._remove_directory()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and not self._told:
            self._raise_contained(strict=self._strict)

    def _look_for_idle_handlers(self) -> None:
        """Note that requests came and all of them wait: the handlers that are served are for another endpoint."""
        waiting = list(Waiting(self._player.engine.parts))
        if waiting and len(waiting) == self._happened.requests and not self._happened.is_judged:
            places = ", ".join(sorted({f"{each.app}/{each.endpoint}" for each in waiting}))
            self._idle = RecordingError(f"no handler that is served was called: requests wait for {places}")

    @property
    def _has_begun(self) -> bool:
        if isinstance(self._scheduler, VirtualTimeScheduler) and not self._over.is_set():
            return self._place.has_begun  # it is started from the beginning
        return self._started or self._over.is_set()

    def _raise_contained(self, *, strict: bool) -> None:
        error = self._unplayed or self._happened.first_assertion or (self._happened.first_error if strict else None)
        if error is not None:
            self._told = True
            raise error

    def _schedule(self, index: int) -> abc.DisposableBase:
        """Play an entry at its time, and then schedule the next."""
        entries = self.recording.entries

        def play(_: abc.SchedulerBase, __: Any = None) -> None:
            self._place.has_begun = True
            if not self._stopping.is_set() and index < len(entries) and self._play(index):
                self._schedule(index + 1)
            else:
                self._end()

        at = entries[index].at if index < len(entries) else self._at
        return self._scheduler.schedule_absolute(self._began + timedelta(seconds=at), play)

    def _play_in_real_time(self, speed: float) -> None:
        clock = SystemClock()
        began = clock.monotonic()
        for index, entry in enumerate(self.recording.entries):
            left = began + entry.at / speed - clock.monotonic()
            if self._stopping.wait(max(0.0, left)) or not self._play(index):
                break
        self._end()

    def _end(self) -> None:
        self._player.end()
        self._over.set()
        Timeline.on(self._scheduler).leave(self._place)

    def _play(self, index: int) -> bool:
        """Do what was done at an entry; return whether to go on."""
        entry = self.recording.entries[index]
        self._line, self._at = entry.line, entry.at
        self._now = self.time()
        try:
            self._player.play(index)
        except RecordingError as error:
            self._failure = error
            return False
        except Exception as error:  # on a scheduler's thread nobody would hear of it
            self._failure = RecordingError(f"line {self._line} can't be replayed: {error!r}", line=self._line)
            self._failure.__cause__ = error
            return False
        finally:
            self._now = None
        return True

    # -- what happened ----------------------------------------------------------------------------------------

    @property
    def events(self) -> list[ReplayEvent]:
        """The newest thousand messages, rejections, contained errors and replies, oldest first."""
        return self._happened.events()

    def time(self) -> float:
        """Return the Unix time at which the feed was recorded, moved on by the scheduler."""
        if self._now is not None:  # while an entry is played, time stands still
            return self._now
        elapsed = (self._scheduler.now - self._began).total_seconds() if self._started else 0.0
        return self.recording.header.time + max(self._at, elapsed)
