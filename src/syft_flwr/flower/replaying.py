"""A recorded federation on today's apps: which replies, or which instructions, are other ones now.

A data owner's recording is played to today's ClientApp, and its replies are held against the recorded ones. To an
aggregator's recording today's ServerApp is run, with the recorded replies for its messages, and its messages are held
against those that were sent then.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower._compat import ArrayRecord, Message
from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.codec import decode, decode_head, joined, splice
from syft_flwr.flower.connection import DriveEvents
from syft_flwr.flower.owner import DataOwner
from syft_flwr.flower.owner_config import OwnerConfig
from syft_flwr.flower.project import Config, FlowerProject
from syft_flwr.flower.project_files import read_files
from syft_flwr.flower.recorded_rpc import REQUEST, RESPONSE, RecordedRpc
from syft_flwr.flower.roles import OwnerPlan, app_host
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.transport import wire_app_name
from syft_flwr.replay.recorded_drive import recorded_uploads
from syft_flwr.replay.replay import Replay

_PATIENCE = 60.0
"""Seconds for the thread that reads the recorded answers to greetings."""


class ServedProject:
    """What serves a project in a replay, and what it does otherwise than was recorded.

    Args:
        feed: The replay, which has not run yet.
        directory: The project's.
        node_config: What a data owner's app gets as its ``node_config``; no recording tells it.
        tolerance: By how much numbers may differ, relative to the recorded ones.

    Raises:
        FlowerError: The directory is no Flower project.
        ConfigurationError: The recording has no bodies.
    """

    def __init__(
        self, feed: Replay, directory: Path, *, node_config: Config | None = None, tolerance: float = 0.0
    ) -> None:
        if not feed.recording.header.bodies:
            raise ConfigurationError(f"{feed.recording.path} has no bodies: no app can be run on it")
        self._feed = feed
        self._project = FlowerProject.load(directory)
        self._tolerance = tolerance
        self._found: list[str] = []
        self.compared = 0
        """How many replies of a data owner, or messages of an aggregator, were compared."""
        self._directory = Path(tempfile.mkdtemp(prefix="syft-flwr-replay-"))
        self._remove_directory = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        self._sent = [u for u in recorded_uploads(feed.recording) if u.name.endswith(REQUEST)]
        self._owner = None if self._sent else self._serve(node_config or {})

    @property
    def differences(self) -> list[str]:
        """What is another thing now, in words, in the order in which it was recorded; there once the replay is over."""
        return list(self._found)

    def finish(self) -> None:
        """Compare, after the replay; of an aggregator, run its ServerApp."""
        if self._sent:
            self._run_server_app()
        else:
            self._compare_replies()

    def close(self) -> None:
        """End the app; idempotent."""
        if self._owner is not None:
            self._owner.close()
        self._remove_directory()

    # -- a data owner -----------------------------------------------------------------------------------------

    def _serve(self, node_config: Config) -> Any:
        project, feed = self._project, self._feed
        files = read_files(project.directory, project.written)
        apps = app_host(project, OwnerPlan(), files, self._directory)
        events = DriveEvents(
            feed.runtime, wire_app_name(project.app_name), feed.account, allowed_senders=lambda _: True
        )
        config = OwnerConfig(feed.account, node_config, project.run_config)
        DataOwner(config, events, apps, RunStore(self._directory), drive_time=feed.time)
        feed.serve(events)
        return apps

    def _compare_replies(self) -> None:
        now = {upload.name: upload.body for upload in self._feed.uploads}
        for upload in recorded_uploads(self._feed.recording):
            if not upload.name.endswith(RESPONSE):
                continue
            self.compared += 1
            future_id = upload.name.removesuffix(RESPONSE)
            if upload.name not in now:
                self._found.append(f"request {future_id} was answered then; now it is not")
            elif told := self._difference(now[upload.name], upload.body, {}):
                self._found.append(f"the reply to {future_id}: {told}")

    # -- an aggregator ----------------------------------------------------------------------------------------

    def _run_server_app(self) -> None:
        rpc = RecordedRpc(self._feed.recording, self._directory)
        message, stamp = list(rpc.heads.values())[-1]
        project = self._project
        named = set(project.datasites) == set(rpc.owners)
        plan = RunPlan(
            project.datasites if named else tuple(sorted(rpc.owners)),
            stamp.run_config,
            self._directory / "out",
            patience=_PATIENCE,
            farewell=0.0,
            checkpoints=False,
        )
        aggregation = Aggregation(project, plan, spool=self._directory)
        aggregation.run_id = message.metadata.run_id
        try:
            with _forgetting(project.directory):
                aggregation.run(rpc)
        except FlowerError as error:
            self._found.append(f"the run fails now: {error}")
        for future_id, sent in rpc.sent.items():
            self.compared += 1
            if told := self._difference(sent, rpc.bodies[future_id], rpc.objects):
                self._found.append(f"message {future_id} to {rpc.recipients[future_id]}: {told}")
        self._found += [f"a message that was not sent then: {told}" for told in rpc.unknown]
        for future_id in rpc.heads.keys() - rpc.sent.keys():
            if not rpc.is_of_the_system(future_id):
                self._found.append(f"message {future_id} to {rpc.recipients[future_id]} was sent then; now it is not")

    # -- both -------------------------------------------------------------------------------------------------

    def _difference(self, got: bytes, expected: bytes, objects: Mapping[str, Path]) -> str:
        if got == expected:
            return ""
        try:
            return difference(_whole(got, objects), _whole(expected, objects), self._tolerance)
        except FlowerError:
            return f"bodies of {len(got)} and {len(expected)} bytes differ, and are no Flower messages"


def difference(got: Message, expected: Message, tolerance: float) -> str:
    """Say what of one message's content differs from another's; ``""`` if nothing does."""
    if got.has_error() or expected.has_error():
        reasons = [(m.error.reason or "an error") if m.has_error() else "no error" for m in (got, expected)]
        return "" if reasons[0] == reasons[1] else f"{reasons[0]}, expected {reasons[1]}"
    ours, theirs = dict(got.content.items()), dict(expected.content.items())
    if ours.keys() != theirs.keys():
        return f"its records are {sorted(ours)}, expected {sorted(theirs)}"
    for name, record in theirs.items():
        values, wanted = dict(ours[name].items()), dict(record.items())
        if values.keys() != wanted.keys():
            return f"{name} has {sorted(values)}, expected {sorted(wanted)}"
        for key, value in wanted.items():
            if told := _unlike(values[key], value, tolerance, is_array=isinstance(record, ArrayRecord)):
                return f"{name}[{key!r}] {told}"
    return ""


def _unlike(got: Any, expected: Any, tolerance: float, *, is_array: bool) -> str:
    if is_array:
        ours, theirs = got.numpy(), expected.numpy()
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            return f"is {ours.dtype}{list(ours.shape)}, expected {theirs.dtype}{list(theirs.shape)}"
        is_like = np.allclose(ours, theirs, rtol=tolerance, atol=0.0, equal_nan=True)
        return "" if is_like else f"differs by up to {np.max(np.abs(ours - theirs)):g}"
    if isinstance(expected, float) and isinstance(got, float):
        return (
            ""
            if np.isclose(got, expected, rtol=tolerance, atol=0.0, equal_nan=True)
            else f"is {got}, expected {expected}"
        )
    return "" if got == expected else f"is {got!r}, expected {expected!r}"


def _whole(body: bytes, objects: Mapping[str, Path]) -> Message:
    """Read a message with the records that lie in files of their own."""
    _, stamp = decode_head(body)
    pieces = splice(body, {each.index: objects[each.sha256] for each in stamp.objects}) if stamp.objects else [body]
    return decode(joined(pieces))[0]


@contextmanager
def _forgetting(directory: Path) -> Iterator[None]:
    """Let what is imported from a directory be imported anew another time: it may be another state of the project."""
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(directory):
                del sys.modules[name]
