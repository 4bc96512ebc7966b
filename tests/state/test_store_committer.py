"""The thread behind the store on disk, over a session that records what it is asked."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from concurrent.futures import Future
from contextlib import closing, contextmanager

import pytest

from syft_flwr.errors import RuntimeClosedError, StateError
from syft_flwr.state.committer import Committer, WorkFailed
from syft_flwr.state.store import DiskStore

TIMEOUT = 30


class RecordingSession:
    def __init__(self):
        self.groups = []
        self.closed_by = None
        self.begin_fails = self.commit_fails = False
        self.at_commit = lambda: None

    @contextmanager
    def group(self):
        if self.begin_fails:
            raise StateError("locked")
        self.groups.append([])
        yield
        self.at_commit()
        if self.commit_fails:
            raise StateError("disk full")

    def attempt(self, work):
        try:
            result = work(None)
        except BaseException as error:
            raise WorkFailed from error
        self.groups[-1].append(result)
        return result

    def close(self):
        self.closed_by = threading.current_thread().name


@pytest.fixture
def session():
    return RecordingSession()


@pytest.fixture
def committer(session):
    opened = Committer(lambda: session, patience=TIMEOUT)
    yield opened
    opened.close()


class Gate:
    """Work that keeps the thread busy until it is opened."""

    def __init__(self, committer):
        self._entered, self._open = threading.Event(), threading.Event()
        self.future: Future = committer.submit(self._work)
        assert self._entered.wait(TIMEOUT)

    def _work(self, _):
        self._entered.set()
        assert self._open.wait(TIMEOUT)
        return "gate"

    def open(self):
        self._open.set()


def test_transactions_that_queue_up_share_one_commit(committer, session):
    gate = Gate(committer)
    futures = [committer.submit(lambda _, n=n: n) for n in range(5)]
    gate.open()

    assert [future.result(TIMEOUT) for future in futures] == list(range(5))
    assert session.groups == [["gate"], [0, 1, 2, 3, 4]]


def test_a_group_has_a_limit_so_that_no_caller_waits_for_ever(committer, session):
    gate = Gate(committer)
    futures = [committer.submit(lambda _: None) for _ in range(600)]
    gate.open()
    for future in futures:
        future.result(TIMEOUT)

    assert [len(group) for group in session.groups] == [1, 256, 256, 88]


def test_nobody_is_answered_before_the_group_is_committed(committer, session):
    gate = Gate(committer)
    futures = [committer.submit(lambda _: 1), committer.submit(lambda _: 1 / 0)]
    answered = []
    groups = iter([[gate.future], futures])
    session.at_commit = lambda: answered.extend(future.done() for future in next(groups))
    gate.open()

    assert futures[0].result(TIMEOUT) == 1
    with pytest.raises(ZeroDivisionError):
        futures[1].result(TIMEOUT)
    assert answered == [False] * 3


@pytest.mark.parametrize("step", ["begin", "commit"])
def test_when_a_group_can_not_be_committed_everyone_in_it_hears_of_it_and_the_next_one_runs(committer, session, step):
    gate = Gate(committer)
    futures = [committer.submit(lambda _: 1), committer.submit(lambda _: 1 / 0), committer.submit(lambda _: 2)]
    session.at_commit = lambda: setattr(session, f"{step}_fails", len(session.groups) == (1 if step == "begin" else 2))
    gate.open()

    errors = [future.exception(TIMEOUT) for future in futures]
    session.begin_fails = session.commit_fails = False

    assert [type(error) for error in errors] == [StateError] * 3
    assert len(set(map(id, errors))) == 3
    assert gate.future.result(TIMEOUT) == "gate"
    assert committer.submit(lambda _: 3).result(TIMEOUT) == 3


def test_closing_finishes_what_is_queued_and_closes_the_session_on_its_own_thread(committer, session):
    gate = Gate(committer)
    future = committer.submit(lambda _: "last")
    closer = threading.Thread(target=committer.close)
    closer.start()
    gate.open()
    closer.join(TIMEOUT)

    assert future.result(TIMEOUT) == "last"
    assert session.closed_by == "syft-state"
    assert "syft-state" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(RuntimeClosedError):
        committer.submit(lambda _: None)


def test_a_session_that_can_not_be_opened_leaves_no_thread():
    def fail():
        raise StateError("no access")

    with pytest.raises(StateError, match="no access"):
        Committer(fail, patience=TIMEOUT)

    assert "syft-state" not in [thread.name for thread in threading.enumerate()]


def test_a_transaction_whose_caller_gave_up_before_its_turn_is_dropped(committer, session):
    gate = Gate(committer)
    dropped = committer.submit(lambda _: "dropped")
    kept = committer.submit(lambda _: "kept")
    assert dropped.cancel()
    gate.open()

    assert kept.result(TIMEOUT) == "kept"
    assert session.groups == [["gate"], ["kept"]]


def test_what_work_held_is_free_once_the_caller_has_its_result(committer):
    class Held:
        pass

    held = Held()
    gone = threading.Event()
    weakref.finalize(held, gone.set)
    committer.submit(lambda _, held=held: None).result(TIMEOUT)
    del held
    committer.submit(lambda _: None).result(TIMEOUT)  # the thread has let go of the group before

    assert gone.wait(TIMEOUT)


@pytest.fixture
def interrupt_caller():
    """Interrupt the main thread while it waits; an orderly Ctrl-C of one ``KeyboardInterrupt``."""
    interrupted = threading.Event()

    def handle(*_):
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def interrupt():
        for _ in range(1000):  # a signal right before the caller begins to wait would not wake it
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            if interrupted.wait(0.03):
                return

    default = signal.signal(signal.SIGINT, handle)
    yield interrupt
    signal.signal(signal.SIGINT, default)


def test_an_interrupted_caller_tears_no_transaction(tmp_path, interrupt_caller):
    def work(tx):
        tx.put("a", 1)
        interrupt_caller()
        tx.put("b", 2)

    with closing(DiskStore(tmp_path / "state")) as store:
        with pytest.raises(KeyboardInterrupt):
            store.transact(work)
        assert store.transact(lambda tx: list(tx.scan(""))) == [("a", 1), ("b", 2)]


def test_the_transaction_of_a_caller_interrupted_before_its_turn_is_dropped(tmp_path, interrupt_caller):
    begun, interrupted, never = threading.Event(), threading.Event(), threading.Event()

    def work(tx):
        begun.set()
        for _ in range(10_000):
            if not store._committer._queue.empty() or never.wait(0.003):
                break
        interrupt_caller()
        assert interrupted.wait(TIMEOUT)
        tx.put("a", 1)

    with closing(DiskStore(tmp_path / "state")) as store:
        other = threading.Thread(target=lambda: store.transact(work))
        other.start()
        assert begun.wait(TIMEOUT)
        with pytest.raises(KeyboardInterrupt):
            store.transact(lambda tx: tx.put("b", 2))
        interrupted.set()
        other.join(TIMEOUT)
        assert store.transact(lambda tx: list(tx.scan(""))) == [("a", 1)]


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_a_forked_child_is_told_to_open_the_store_itself(tmp_path):
    store = DiskStore(tmp_path / "state")
    child = os.fork()
    if child == 0:
        try:
            store.transact(lambda tx: tx.get("a"))
        except StateError:
            os._exit(42)
        os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    store.close()
