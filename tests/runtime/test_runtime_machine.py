"""The feed, the journal, the folders and the sweeps against a model of Drive, in any order of events.

Nothing is lost, nothing is handled twice.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from runtimes import State, runtime_on, serve

from syft_flwr import wire
from syft_flwr.errors import DriveUnavailableError, SyftFlwrError
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.schedule import SweepKind
from syft_flwr.models import Message
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME = "do@example.com"
SENDERS = ("ds@example.com", "a_to_b@example.org")
ENDPOINTS = ("messages", "evaluate")


class FailingGateway(MemoryGateway):
    """Fails the n-th call from now, before or after it took effect."""

    countdown = -1
    after = False

    def _call(self, method: str) -> None:
        self.countdown -= 1
        if self.countdown == 0 and not (self.after and method == "files.create"):
            raise DriveUnavailableError("an outage", status=503)
        super()._call(method)

    def upload(self, *args, **options) -> None:
        super().upload(*args, **options)
        if self.countdown == 0:
            raise DriveUnavailableError("an outage after the write", status=503)


class FeedMachine(RuleBasedStateMachine):
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.clock = ManualClock()
        self.drive = MemoryDrive(self.clock)
        self.gateway = FailingGateway(self.drive, ME)
        self.drive.gateway(ME)
        self.senders = {sender: self.drive.gateway(sender) for sender in SENDERS}
        self.state = State(Path(self.stack.enter_context(tempfile.TemporaryDirectory())))
        self.inboxes: dict[tuple[str, str], str] = {}
        self.expected: dict[str, str] = {}
        self.excused: set[str] = set()
        self.handled: Counter[str] = Counter()
        self.away: dict[str, str] = {}
        self.trashed: set[str] = set()
        self.copied: set[str] = set()
        self.moved: set[str] = set()
        self.run = ExitStack()

    @initialize(bounded=st.booleans(), page_size=st.integers(1, 5))
    def begin(self, bounded: bool, page_size: int) -> None:
        self.bounded = bounded
        self.drive.page_size = page_size
        self.start()

    def start(self) -> None:
        self.run = ExitStack()
        self.gateway = FailingGateway(self.drive, ME)
        self.runtime = self.run.enter_context(
            runtime_on(
                self.gateway,
                self.state,
                self.clock,
                ME,
                inline=True,
                max_processed_requests=3 if self.bounded else 10_000,
            )
        )
        for endpoint in ENDPOINTS:
            serve(self.runtime, Route("app", endpoint, self.handle))

    def handle(self, body: bytes, message: Message) -> bytes:
        self.handled[body.decode()] += 1
        return b"answer to " + body

    def folder(self, sender: str, endpoint: str) -> str:
        if (sender, endpoint) not in self.inboxes:
            drive = self.senders[sender]
            parent = None
            for name in wire.inbox_path(sender, ME, "app", endpoint):
                known = next((f for f in self.drive.folders() if f.parents == (parent,) and f.name == name), None)
                folder = known or drive.create_folder(drive.generate_ids(1)[0], name, parent)
                if parent is None and known is None:
                    drive.share(folder.id, ME)
                parent = folder.id
            self.inboxes[sender, endpoint] = parent
        return self.inboxes[sender, endpoint]

    # -- what others do ---------------------------------------------------------------------------------------

    @rule(
        target=requests,
        sender=st.sampled_from(SENDERS),
        endpoint=st.sampled_from(ENDPOINTS),
        count=st.integers(1, 3),
    )
    def arrive(self, sender: str, endpoint: str, count: int):
        folder = self.folder(sender, endpoint)
        files = []
        for _ in range(count):
            future = wire.new_future_id()
            (file_id,) = self.senders[sender].generate_ids(1)
            self.drive._create(sender, file_id, f"{future}.request", folder, body=future.encode())
            self.expected[future] = file_id
            files.append((sender, future, file_id))
            self.clock.advance(0.001)
        return multiple(*files)

    @precondition(lambda self: not self.bounded)
    @rule(request=requests)
    def duplicate(self, request) -> None:
        sender, future, file_id = request
        # A copy in another endpoint would be another message.
        if file_id in self.drive._files and file_id not in self.moved:
            self.copied.add(file_id)
            (copy,) = self.senders[sender].generate_ids(1)
            folder = self.drive._files[file_id].parent
            self.drive._create(sender, copy, f"{future}.request", folder, body=future.encode())

    @rule(request=requests)
    def view(self, request) -> None:
        if request[2] in self.drive._files:
            self.drive.touch(request[2])

    @rule(request=requests)
    def withdraw(self, request) -> None:
        if request[2] in self.drive._files:
            self.drive.remove(request[2])
            self.excused.add(request[1])

    @precondition(lambda self: not self.bounded and self.inboxes)
    @rule(data=st.data(), depth=st.integers(0, 3))
    def rename_a_folder_away(self, data, depth: int) -> None:
        folder = data.draw(st.sampled_from(sorted(self.inboxes.values())))
        for _ in range(depth):
            folder = self.drive._files[folder].parent
        if folder not in self.away:
            self.away[folder] = self.drive._files[folder].name
            self.drive.move(folder, name="elsewhere")

    @rule()
    def rename_all_back(self) -> None:
        for folder, name in self.away.items():
            self.drive.move(folder, name=name)
        self.away.clear()

    @precondition(lambda self: not self.bounded and self.inboxes)
    @rule(data=st.data(), depth=st.integers(0, 3))
    def trash_a_folder(self, data, depth: int) -> None:
        folder = data.draw(st.sampled_from(sorted(self.inboxes.values())))
        for _ in range(depth):
            folder = self.drive._files[folder].parent
        self.drive.trash(folder)
        self.trashed.add(folder)

    @rule()
    def restore_from_trash(self) -> None:
        for folder in self.trashed:
            self.drive.trash(folder, trashed=False)
        self.trashed.clear()

    @precondition(lambda self: not self.bounded and len(self.inboxes) > 1)
    @rule(request=requests, data=st.data())
    def move_a_request(self, request, data) -> None:
        sender, _, file_id = request
        targets = [folder for (owner, _), folder in sorted(self.inboxes.items()) if owner == sender]
        if file_id in self.drive._files and file_id not in self.copied:
            self.moved.add(file_id)
            self.drive.move(file_id, parent=data.draw(st.sampled_from(targets)))

    # -- what Drive does --------------------------------------------------------------------------------------

    @rule()
    def lose_the_token(self) -> None:
        self.drive.reject_tokens(ME)

    @rule(lag=st.sampled_from([0.0, 5.0, 60.0]))
    def let_lists_lag(self, lag: float) -> None:
        self.drive.lag = lag

    @rule(hidden=st.booleans())
    def leave_foreign_files_out_of_the_feed(self, hidden: bool) -> None:
        self.drive.hide = lambda account, file: hidden and not file.owned_by_me

    @rule(calls=st.integers(1, 12), after=st.booleans())
    def fail_a_call_soon(self, calls: int, after: bool) -> None:
        self.gateway.countdown, self.gateway.after = calls, after

    @rule(size=st.integers(1, 5))
    def split_pages(self, size: int) -> None:
        self.drive.page_size = size

    # -- what the account does --------------------------------------------------------------------------------

    @rule()
    def poll(self) -> None:
        try:
            self.runtime.poll_once()
        except SyftFlwrError:
            assert self.gateway.countdown < 0 or self.gateway.countdown == 0

    @rule(seconds=st.sampled_from([1.0, 15.0, 130.0, 600.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.run.close()
        self.start()

    @rule()
    def lose_the_folder_cache(self) -> None:
        self.state.folders.transact(lambda tx: [tx.delete(key) for key, _ in list(tx.scan("folder/"))])

    @invariant()
    def nothing_is_handled_twice(self) -> None:
        assert not [future for future, times in self.handled.items() if times > 1]

    @invariant()
    def nothing_is_answered_twice(self) -> None:
        replies = Counter(name for name in self.drive.created if name.endswith(".response"))
        assert not [name for name, times in replies.items() if times > 1]

    def teardown(self) -> None:
        try:
            if hasattr(self, "bounded"):
                self.settle()
        finally:
            self.run.close()
            self.stack.close()

    def settle(self) -> None:
        """When Drive has calmed down, everything that is still there has been answered."""
        self.rename_all_back()
        self.restore_from_trash()
        self.drive.lag = 0.0
        self.gateway.countdown = -1
        for number in range(18):
            if number == 9:  # a full sweep comes within a day; by then, what waits would be given up here
                self.runtime._engine.follower.sweeps.run(SweepKind.FULL)
            self.clock.advance(600.0)
            self.runtime.poll_once()
        self.nothing_is_handled_twice()
        self.nothing_is_answered_twice()
        for future in self.expected.keys() - self.excused:
            assert self.handled[future] == 1, f"{future} was lost"
        replies = {name for owner, name, _ in self.drive.files() if owner == ME and name.endswith(".response")}
        assert replies >= {f"{future}.response" for future in self.expected.keys() - self.excused}


FeedMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestFeedMachine = FeedMachine.TestCase
