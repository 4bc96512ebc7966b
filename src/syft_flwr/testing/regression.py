"""Play a recording on today's code, and tell where it decides otherwise than the code that was recorded."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any

from syft_flwr import wire
from syft_flwr.addresses import fold_address
from syft_flwr.drive.folders import Location
from syft_flwr.errors import RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message, Rejection
from syft_flwr.recording.reader import Recording
from syft_flwr.replay.recorded_drive import Upload, recorded_uploads, shown_files, withdrawn
from syft_flwr.replay.replay import Replay
from syft_flwr.resources import DriveFile
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing.failure import difference


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A decision that is another one now; ``line`` is that of the recording at which it was made then."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what differs, first things first."""

    messages: int
    replies: int
    differences: list[Difference]


@dataclass(slots=True)
class _Now:
    """What today's code does."""

    admitted: dict[str, tuple[int, Message]] = field(default_factory=dict)
    """By file ID, in order, with the line of the recording."""
    rejected: dict[str, Rejection] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    """What a folder is for, by its ID, as far as that can be told."""
    stopped: Difference | None = None


def compare(recording: Recording, handler: P2PFileEvents | Callable[[bytes], Any] | None = None) -> Comparison:
    """Play a recording, and compare which messages are admitted, what is answered, and in which order.

    What a recorder saw too late or not to its end is not compared: a request that was neither taken nor answered counts
    as refused only if a later one of the same sender, for the same endpoint, was taken or answered. Order is that of
    the answers to each sender at each endpoint, as far as it is that of the requests. Times in error replies are left
    out.

    Args:
        recording: What was recorded, with bodies, or without a handler also without.
        handler: Answers the requests: handlers that are registered, or one function for all endpoints. Without one,
            answers are not compared.

    Raises:
        RecordingError: Answers can't be compared for want of bodies.
    """
    if handler is not None and not recording.header.bodies:
        raise RecordingError(f"{recording.path} has no bodies: answers can't be compared; leave --handler out")
    judge = _Judge(recording, _play(recording, []))
    found = set(judge.admissions())
    if handler is None:
        return Comparison(judge.messages, 0, sorted(found))
    served = [handler] if isinstance(handler, P2PFileEvents) else _everywhere(handler, recording, judge)
    now = _play(recording, served)
    judge = _Judge(recording, now, apps={events.app_name for events in served})
    of_handler = {*judge.admissions(), *judge.answers(), *judge.order()}
    if now.stopped is not None:  # whatever comes later is missing for want of it
        of_handler = {each for each in of_handler if each.line < now.stopped.line} | {now.stopped}
    return Comparison(judge.messages, len(judge.answered), sorted(found | of_handler))


def _play(recording: Recording, served: list[P2PFileEvents]) -> _Now:
    now = _Now()
    with closing(Replay(recording)) as feed, ExitStack() as attached:  # what a handler raises is an answer, too

        def admit(message: Message) -> None:
            now.admitted.setdefault(message.file_id, (feed.line, message))

        feed.messages.subscribe(admit)
        feed.responses.subscribe(admit)
        feed.rejected.subscribe(lambda rejection: now.rejected.update({rejection.file_id: rejection}))
        for events in served:
            attached.callback(events.attach(feed.runtime))
        try:
            feed.run()
        except RecordingError as error:
            now.stopped = Difference(error.line or feed.line, f"the replay can't go on: {error}")
        now.uploads = feed.uploads
        folders = engine_of(feed.runtime).parts.folders
        for folder in {upload.parent for upload in (*now.uploads, *recorded_uploads(recording))}:
            place = folders.locate(DriveFile(id="", name="", parents=(folder,)), ask=False)
            if isinstance(place, Location):
                now.places[folder] = f"{place.inbox.recipient} at {place.app}/{place.endpoint}"
    return now


def _everywhere(handler: Callable[[bytes], Any], recording: Recording, judge: _Judge) -> list[P2PFileEvents]:
    """Let a handler answer at every endpoint that was asked, and those alone whose requests were taken then."""
    asked: defaultdict[str, set[str]] = defaultdict(set)
    senders: defaultdict[str, set[str]] = defaultdict(set)
    for message in judge.taken():
        asked[message.app].add(message.endpoint)
        senders[message.app].add(message.sender)
    served = []
    for app, endpoints in asked.items():
        events = P2PFileEvents(app, recording.header.account, allowed_senders=sorted(senders[app]))
        for endpoint in sorted(endpoints):
            events.on_request(endpoint, handler)
        served.append(events)
    return served


class _Judge:
    """Holds what was recorded against what is done now; answers of other apps than those are left out."""

    def __init__(self, recording: Recording, now: _Now, *, apps: Collection[str] | None = None) -> None:
        self._now = now
        self.messages = len(now.admitted)
        self._shown: dict[str, tuple[int, DriveFile]] = {}
        for line, file in shown_files(recording):
            if wire.message_kind(file.name) and not file.owned_by_me:
                self._shown.setdefault(file.id, (line, file))
        elsewhere = {m.future_id for _, m in now.admitted.values() if apps is not None and m.app not in apps}
        requests = {file.name.removesuffix(".request") for _, file in self._shown.values()} - elsewhere
        self._withdrawn = withdrawn(recording)
        self._taken = {entry.value for entry in recording.entries if entry.kind == "download"}
        self.answered: dict[str, int] = {}
        """The line of the first answer to each request that is in the recording, in order."""
        for entry in recording.entries:
            if entry.kind == "upload" and (future_id := _answers(entry.value["name"])) in requests:
                self.answered.setdefault(future_id, entry.line)
        self._answers = {_answers(upload.name): upload for upload in recorded_uploads(recording)}

    def taken(self) -> Iterator[Message]:
        """Yield the requests that are admitted now and were taken or answered then."""
        for file_id, (_, message) in self._now.admitted.items():
            if message.kind == "request" and (file_id in self._taken or message.future_id in self.answered):
                yield message

    def admissions(self) -> Iterator[Difference]:
        """Yield what was admitted then and is not now, and the other way round."""
        for file_id in self._taken & self._shown.keys() - self._now.admitted.keys():
            line, file = self._shown[file_id]
            rejection = self._now.rejected.get(file_id)
            why = "it does not come at all" if rejection is None else f"{rejection.reason}: {rejection.detail}"
            yield Difference(line, f"{file.name} was admitted then; now it is not: {why}")
        passed: set[tuple[str, str, str]] = set()
        for file_id, (line, message) in reversed(self._now.admitted.items()):
            if file_id in self._withdrawn:
                continue
            if file_id in self._taken or message.future_id in self.answered:
                passed.add(_queue(message))
            elif message.kind == "request" and _queue(message) in passed:
                yield Difference(line, f"{_described(message)} was passed over then; now it is admitted")

    def answers(self) -> Iterator[Difference]:
        """Yield requests that are answered otherwise."""
        now: defaultdict[str, list[Upload]] = defaultdict(list)
        for upload in self._now.uploads:
            now[_answers(upload.name)].append(upload)
        for future_id, line in self.answered.items():
            if future_id not in now:
                yield Difference(line, f"request {future_id} was answered then; now it is not")
            elif len(now[future_id]) > 1:
                yield Difference(line, f"request {future_id} was answered once; now it is {len(now[future_id])} times")
            elif future_id in self._answers:
                label = f"the answer to {future_id}"
                for what in self._otherwise(label, now[future_id][0], self._answers[future_id]):
                    yield Difference(line, what)
        passed: set[tuple[str, str, str]] = set()
        for line, message in reversed(self._now.admitted.values()):
            if message.future_id in self.answered:
                passed.add(_queue(message))
            elif message.future_id in now and _queue(message) in passed:
                yield Difference(line, f"{_described(message)} got no answer then; now it gets one")

    def _otherwise(self, label: str, got: Upload, expected: Upload) -> Iterator[str]:
        """Yield in what an answer differs: what it says, or to whom and where it goes."""
        if _timeless(got) != _timeless(expected):
            yield "\n".join(difference(label, _timeless(got), _timeless(expected)))
        there, here = self._now.places.get(expected.parent), self._now.places.get(got.parent)
        if None not in {there, here} and there != here:
            yield f"{label} went to {there} then; now it goes to {here}"

    def order(self) -> Iterator[Difference]:
        """Yield the answers to a sender at an endpoint that have changed places.

        Answers are uploaded side by side, so what was uploaded first need not have been given first: only requests
        that also came in the order of their answers are compared.
        """
        now = {_answers(upload.name): place for place, upload in reversed(list(enumerate(self._now.uploads)))}
        came = {
            message.future_id: (place, self._shown[file_id][1].created_time)
            for place, file_id in enumerate(self._shown)
            if (message := self._now.admitted.get(file_id, (0, None))[1]) is not None
        }
        before: dict[tuple[str, str, str], str] = {}
        queues = {message.future_id: _queue(message) for _, message in self._now.admitted.values()}
        for future_id in self.answered:
            if future_id not in now or future_id not in came:
                continue
            first = before.get(queues[future_id])
            before[queues[future_id]] = future_id
            if first is None or now[first] < now[future_id]:
                continue
            (place, created), (next_place, next_created) = came[first], came[future_id]
            if place < next_place and created < next_created:
                line = self.answered[first]
                yield Difference(line, f"request {first} was answered then; now {future_id} is, before it")


def _answers(name: str) -> str:
    """Return the request that an upload answers; ``""`` for what is no answer."""
    return name.removesuffix(".response") if name.endswith(".response") else ""


def _queue(message: Message) -> tuple[str, str, str]:
    """Return what keeps an order: a sender's messages to an endpoint."""
    return (fold_address(message.sender), message.app, message.endpoint)


def _described(message: Message) -> str:
    return f"{message.future_id}.{message.kind} from {message.sender} for {message.app}/{message.endpoint}"


def _timeless(upload: Upload) -> Upload:
    """Take the time out of an error reply."""
    if upload.properties.items() >= wire.ERROR_STATUS.items():
        try:
            told = json.loads(upload.body)
            del told["timestamp"]
        except (ValueError, TypeError, KeyError):
            return upload
        return replace(upload, body=json.dumps(told).encode())
    return upload
