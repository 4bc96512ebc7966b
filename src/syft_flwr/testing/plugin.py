"""The pytest plugin: fixtures for those who test against a local Drive, or against recorded feeds.

It is loaded in every run of pytest where the package is installed, so it imports what it needs when it needs it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from reactivex import abc

    from syft_flwr.recording import Recording
    from syft_flwr.replay import Replay
    from syft_flwr.testing.clock import ManualClock

pytest_plugins = ["drive_emulator.pytest_plugin"]

_MARKER = "recording"
_replays = pytest.StashKey["list[Replay]"]()
_failed = pytest.StashKey[bool]()


class Mode(StrEnum):
    """When to record, as users of VCR know it."""

    NONE = "none"
    ONCE = "once"
    NEW_EPISODES = "new_episodes"
    ALL = "all"


class RecordedFeed(Protocol):
    """What the fixture ``recorded_feed`` gives: a way to open recordings."""

    def __call__(
        self,
        path: str | Path | Recording | None = None,
        *,
        record: Callable[[Path], object] | None = None,
        scheduler: abc.SchedulerBase | None = None,
        strict: bool = True,
        network: bool = False,
        **settings: Any,
    ) -> Replay:
        """Open a recording on a ``TestScheduler``, or on ``scheduler``.

        Args:
            path: The recording; relative to the test's file, else to pytest's root directory. By default the path
                of the test's marker ``recording``. A recording that was built is taken as it is.
            record: Makes the recording at a path, or goes on with the one that is there; called as the mode says.
            scheduler: Where it plays.
            strict: Whether any error that was contained fails the test, and not only a failed assertion.
            network: Whether the test may connect to other machines while the feed is open.
            **settings: Fields of :class:`~syft_flwr.settings.Settings`.
        """


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(path, mode=None): the recorded feed that the fixture recorded_feed opens, and when it is recorded",
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("syft-flwr").addoption(
        "--recording-mode",
        choices=[str(mode) for mode in Mode],
        help="when recorded_feed(path, record=…) records: never (none, the default), where there is no recording "
        "(once), what is new as well (new_episodes), or all anew (all)",
    )


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a clock that stands still until the test moves it."""
    from syft_flwr.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def recorded_feed(request: pytest.FixtureRequest) -> Iterator[RecordedFeed]:
    """Open recorded feeds, and close them after the test.

    While one is open, nothing connects to another machine. A replay that asked for what is not in its recording, and an
    error that was contained in an observer or handler, fail the test even if it did not look; with ``strict=False``
    only failed assertions do.
    """
    from reactivex.testing import TestScheduler

    from syft_flwr.replay import replay
    from syft_flwr.testing.network import no_network

    opened: list[Replay] = []
    strictness: list[bool] = []
    blocked = ExitStack()
    request.node.stash[_replays] = opened
    request.node.stash[_failed] = False  # where a test is run again, what counts is how it goes this time

    def open_recording(
        path: str | Path | Recording | None = None,
        *,
        record: Callable[[Path], object] | None = None,
        scheduler: abc.SchedulerBase | None = None,
        strict: bool = True,
        network: bool = False,
        **settings: Any,
    ) -> Replay:
        found = _find(request, path)
        if isinstance(found, Path):
            _record(request, found, record)
        if not network:
            blocked.enter_context(no_network())
        feed = replay(found, scheduler=scheduler or TestScheduler(), **settings)
        opened.append(feed)
        strictness.append(strict)
        return feed

    with blocked:
        try:
            yield open_recording
        finally:
            for feed in opened:
                feed.close()
    if request.node.stash.get(_failed, False):
        return
    for feed, strict in zip(opened, strictness, strict=True):
        feed.check()
        feed.raise_errors(strict=strict)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show in what two lists of uploads differ."""
    if op != "==" or not (isinstance(left, list) and isinstance(right, list)):
        return None
    from syft_flwr.replay import Upload
    from syft_flwr.testing.failure import differences

    if not all(isinstance(each, Upload) for each in (*left, *right)):
        return None
    return differences(left, right)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the events around the failure of a test that replayed a feed."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    if report.failed and call.when in ("call", "teardown"):
        for feed in item.stash.get(_replays, ()):
            from syft_flwr.testing.failure import events_around

            report.sections.append(("Recorded feed", events_around(feed)))
    return report


def _record(request: pytest.FixtureRequest, path: Path, record: Callable[[Path], object] | None) -> None:
    """Make or go on with a recording, as the marker or the option says."""
    marker = request.node.get_closest_marker(_MARKER)
    given = None if marker is None else marker.kwargs.get("mode")
    named = given or request.config.getoption("--recording-mode") or Mode.NONE
    if named not in {*Mode}:
        raise pytest.UsageError(f"{named!r} is no recording mode; there are {', '.join(Mode)}")
    mode = Mode(named)
    if mode is Mode.NONE or record is None:
        if record is not None and not path.exists():
            raise pytest.UsageError(f"there is no recording {path}: pytest --recording-mode=once makes it")
        return
    from syft_flwr.testing.network import network_for_recording

    path.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(path.parent):
        if mode is Mode.ALL:
            _remove(path)
        is_new = not path.exists()
        if mode is Mode.NEW_EPISODES or is_new:
            try:
                with network_for_recording():
                    record(path)
            except BaseException:
                if is_new:  # a part of a scene would be played for the whole from now on
                    _remove(path)
                raise


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Let the processes of a test run record one after the other: several tests may share a recording."""
    from syft_flwr.recording.reader import release

    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        release(descriptor)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_name(f"{path.name}.bodies"), ignore_errors=True)


def _find(request: pytest.FixtureRequest, path: str | Path | Recording | None) -> Path | Recording:
    if path is None:
        marker = request.node.get_closest_marker(_MARKER)
        if marker is None or not marker.args:
            raise pytest.UsageError(f"recorded_feed needs a path, or the test a marker: @pytest.mark.{_MARKER}(path)")
        path = marker.args[0]
    if not isinstance(path, str | Path):
        return path
    places = [request.path.parent / path, request.config.rootpath / path]
    return next((place for place in places if place.exists()), places[0])
