"""Replay a recorded feed: the same streams and handlers, no network, on any scheduler."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from reactivex import Observable, abc
from reactivex.scheduler import VirtualTimeScheduler

from syft_flwr.errors import RecordingError
from syft_flwr.exchange.waiting import Waiting
from syft_flwr.models import FeedError, Message, Rejection
from syft_flwr.recording.reader import Recording, read_recording
from syft_flwr.replay.happenings import Happenings, ReplayEvent
from syft_flwr.replay.playback import Playback
from syft_flwr.replay.player import RecordingPlayer
from syft_flwr.replay.recorded_drive import Upload, recorded_uploads
from syft_flwr.resources import Change
from syft_flwr.runtime.handle import DriveRuntime
from syft_flwr.settings import load_settings

if TYPE_CHECKING:
    from syft_flwr.flower.replaying import ServedProject


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
        self._strict = strict
        self._told = False
        self._project: ServedProject | None = None
        self._playback = Playback(recording, scheduler, speed)
        self._directory = Path(tempfile.mkdtemp(prefix="syft-flwr-replay-"))
        self._remove_directory = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        try:
            loaded = load_settings(**{"cleanup": False, **settings})
            self._player = RecordingPlayer(recording, loaded, self._directory, self._playback.time)
            self._playback.player = self._player
        except BaseException:
            self._remove_directory()
            raise
        self.runtime = self._player.runtime
        self.changes: Observable[Change] = self.runtime.changes
        self.messages: Observable[Message] = self.runtime.messages
        self.responses: Observable[Message] = self.runtime.responses
        self.rejected: Observable[Rejection] = self.runtime.rejected
        self.errors: Observable[FeedError] = self.runtime.errors
        self._happened = Happenings(self.runtime, where=lambda: (self._playback.line, self._playback.at))
        self._player.streams.contained = self._happened.contained
        self._player.streams.subscribed = self._happened.subscribed
        self.replies = self._happened.replies
        if isinstance(self._playback.scheduler, VirtualTimeScheduler):
            self.start()

    @property
    def scheduler(self) -> VirtualTimeScheduler:
        """Where it plays; pass it to operators that know time, such as ``buffer_with_time``.

        One of real time is returned as it was passed.
        """
        return cast(VirtualTimeScheduler, self._playback.scheduler)

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
        return self._playback.line

    def serve(self, handlers: Handlers) -> None:
        """Let the handlers that were registered with ``on_request`` answer the replayed requests.

        Raises:
            RecordingError: The feed has ended; no handler would be called.
        """
        if self._playback.is_over:
            raise RecordingError(f"{self.recording.path} has been played to its end: serve before that")
        self._happened.is_served = True
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
        self._playback.start()

    def run(self) -> Self:
        """Play to the end; blocks until then.

        Raises:
            RecordingError: A handler or pipeline asked for what is not in the recording; the replay ended there.
        """
        self._playback.run()
        self.check()
        if self._project is not None:
            self._project.finish()
        return self

    def check(self) -> None:
        """Raise what ended the replay early, if anything did; :meth:`run` does so itself.

        Raises:
            RecordingError: As :meth:`run`.
        """
        if self._playback.failure is not None:
            raise self._playback.failure

    def raise_errors(self, *, strict: bool = True) -> None:
        """Raise the first ``AssertionError`` that was contained, however long ago; or else the first error at all.

        Args:
            strict: Whether errors other than assertions count.

        Raises:
            RecordingError: It was closed before it was played at all, although somebody observes it or serves handlers;
                or, if ``strict``, requests came and none of the handlers was called.
        """
        self._raise_contained(strict=strict)
        if strict and self._happened.idle is not None:
            raise self._happened.idle
        if self._project is not None and self._project.differences:
            raise AssertionError("\n".join(self._project.differences))

    def stop(self) -> None:
        """Play no further entry; callable from anywhere, returns at once."""
        self._playback.stop()

    def close(self) -> None:
        """Stop playing and end the streams; idempotent."""
        if self._playback.was_left:
            self._happened.left_unplayed(self.recording.path)
        elif self._playback.is_over:
            self._happened.ended(Waiting(self._player.engine.parts))
        self._playback.stop()
        if self._project is not None:
            self._project.close()
        self._player.close()
        self._playback.close()
        self._remove_directory()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and not self._told:
            self._raise_contained(strict=self._strict)

    def _raise_contained(self, *, strict: bool) -> None:
        error = self._happened.worst(strict=strict)
        if error is not None:
            self._told = True
            raise error

    # -- what happened ----------------------------------------------------------------------------------------

    @property
    def events(self) -> list[ReplayEvent]:
        """The newest thousand messages, rejections, contained errors and replies, oldest first."""
        return self._happened.events()

    def time(self) -> float:
        """Return the Unix time at which the feed was recorded, moved on by the scheduler."""
        return self._playback.time()
