from __future__ import annotations

import uuid

import pytest

from syft_flwr.errors import StateMismatchError
from syft_flwr.models import Change, ChangePage, DriveFile, Message
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.requests import Claim, Reply
from syft_flwr.testing.clock import ManualClock

DS = "ds@example.com"
CREATED = "2025-06-15T15:06:40.000Z"


class Account:
    """The state of one account, and the processes that share it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = ManualClock()
        self.alive = {"one", "other"}

    def process(self, name: str) -> Ledger:
        return Ledger(self.store, self.clock, holder=name, is_alive=self.alive.__contains__, max_processed=100)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def one(account: Account) -> Ledger:
    return account.process("one")


@pytest.fixture
def other(account: Account) -> Ledger:
    return account.process("other")


def file(number: int = 1, *, future: int = 1, **fields) -> DriveFile:
    name = f"{uuid.UUID(int=future)}.request"
    settings = {"name": name, "parents": ("folder",), "size": 1, "created_time": CREATED, "owners": (DS,), **fields}
    return DriveFile(id=f"file{number}", **settings)


def message(number: int = 1, *, future: int = 1) -> Message:
    return Message(
        kind="request",
        sender=DS,
        recipient="do@example.com",
        app="app",
        endpoint="messages",
        future_id=str(uuid.UUID(int=future)),
        file_id=f"file{number}",
        folder_id="folder",
        size=1,
        created_time=CREATED,
    )


def page(*changes: Change) -> ChangePage:
    return ChangePage(changes, new_start_page_token="next")


def seen(found: DriveFile) -> Change:
    return Change(found.id, file=found)


def pending(ledger: Ledger) -> list[str]:
    return [row.file.id for row in ledger.pending()]


def test_a_message_is_taken_by_one_process_at_a_time(one, other) -> None:
    one.journal([file()])
    assert one.requests.claim(message()) is Claim.TAKEN
    assert other.requests.claim(message()) is Claim.BUSY
    assert one.requests.claim(message()) is Claim.BUSY


def test_a_dead_process_holds_nothing(account, one, other) -> None:
    one.journal([file()])
    one.requests.claim(message())
    account.alive.discard("one")
    assert other.requests.claim(message()) is Claim.TAKEN


def test_a_claim_is_given_back_by_its_own_process_only(one, other) -> None:
    one.journal([file()])
    one.requests.claim(message())
    other.requests.release(message())
    assert other.requests.claim(message()) is Claim.BUSY
    one.requests.release(message())
    assert other.requests.claim(message()) is Claim.TAKEN


def test_giving_back_a_copy_that_was_never_taken_frees_nothing(one, other) -> None:
    one.journal([file(1), file(2)])
    one.requests.claim(message(1))
    one.requests.release(message(2))
    assert other.requests.claim(message(2)) is Claim.BUSY


def test_of_two_files_of_one_message_one_is_handled(one) -> None:
    one.journal([file(1), file(2)])
    assert one.requests.claim(message(1)) is Claim.TAKEN
    assert one.requests.claim(message(2)) is Claim.BUSY
    one.requests.finish(message(1))
    assert one.requests.claim(message(2)) is Claim.OVER
    assert pending(one) == []


def test_a_spooled_reply_that_can_not_be_sent_yet_keeps_the_copy_out(one) -> None:
    one.journal([file(1), file(2)])
    one.requests.claim(message(1))
    one.requests.spool(Reply(message(1), "reply", is_error=False))
    one.requests.release(message(1))
    assert one.requests.claim(message(2)) is Claim.BUSY
    assert one.requests.claim(message(1)) is Claim.SPOOLED
    assert one.requests.reply(message(1)) == Reply(message(1), "reply", is_error=False)
    one.requests.finish(message(1))
    assert one.requests.claim(message(2)) is Claim.OVER
    assert one.requests.spooled() == []


def test_a_request_that_is_withdrawn_is_forgotten_unless_its_reply_is_ready(one) -> None:
    one.journal([file(1), file(2, future=2)])
    one.requests.claim(message(2, future=2))
    one.requests.spool(Reply(message(2, future=2), "reply", is_error=False))
    one.commit("start", page(Change("file1", removed=True), Change("file2", removed=True)))
    assert pending(one) == ["file2"]


def test_a_reply_stays_while_its_request_is_in_the_trash_and_goes_when_it_is_gone(account, one) -> None:
    one.journal([file()])
    one.requests.finish(message(), reply_id="reply", expires_at=account.clock.time() + 100)
    one.commit("start", page(seen(file(trashed=True))))
    assert one.own.due(account.clock.time()) == []
    one.commit("next", page(Change("file1", removed=True)))
    assert one.own.due(account.clock.time()) == ["reply"]


def test_replies_fall_due_in_the_order_of_their_times_and_leave_nothing_behind(account, one) -> None:
    now = account.clock.time()
    for number, wait in enumerate((30.0, 10.0, 20.0)):
        one.requests.finish(message(number, future=number), reply_id=f"reply{number}", expires_at=now + wait)
    assert one.own.due(now) == []
    assert one.own.due(now + 20.0) == ["reply1", "reply2"]
    assert one.own.due(now + 99.0, limit=1) == ["reply1"]
    one.own.deleted([f"reply{number}" for number in range(3)])
    rows = account.store.transact(lambda tx: [key for key, _ in tx.scan("") if key[:4] in ("own/", "due/", "watc")])
    assert rows == []


def test_what_was_handled_is_not_journaled_again_however_it_is_seen(one) -> None:
    one.journal([file()])
    one.requests.finish(message())
    assert one.journal([file()]) == []
    assert one.commit("start", page(seen(file(name="renamed.request")), seen(file()))) == []


def test_one_s_own_files_and_other_files_are_no_candidates(one) -> None:
    others = [file(owned_by_me=True), file(trashed=True), DriveFile(id="note", name="note.txt")]
    assert one.commit("start", page(*map(seen, others))) == []
    assert one.journal(others) == []


def test_attempts_are_counted_over_restarts_and_an_interruption_is_none(account, one) -> None:
    one.journal([file()])
    one.requests.claim(message())
    assert one.requests.begin(message()) == 1
    one.requests.interrupt(message())
    assert one.requests.claim(message()) is Claim.TAKEN
    assert one.requests.begin(message()) == 1
    account.alive.discard("one")
    assert account.process("other").requests.begin(message()) == 2


def test_what_has_a_reply_is_taken_for_done_and_then_known_by_its_own_file(account, one) -> None:
    reply = DriveFile(id="reply", name="x.response", created_time=CREATED)
    one.recollect([(message(0), reply)])
    one.journal([file()])
    assert one.done_among([message()]) == {"file1"}
    assert pending(one) == []
    assert one.journal([file()]) == []
    order = account.store.transact(lambda tx: [row for _, row in tx.scan("order/")])
    assert [row[1:3] for row in order] == [["file1", "folder"]]


def test_a_rejected_file_does_not_keep_the_genuine_message_out(one) -> None:
    one.journal([file(1), file(2)])
    assert one.reject("file1", "folder", CREATED)
    assert not one.reject("file1", "folder", CREATED)
    assert one.requests.claim(message(2)) is Claim.TAKEN


def test_additions_of_one_process_are_news_to_the_others_only(one, other) -> None:
    before = other.foreign_versions()
    one.journal([file()])
    assert other.foreign_versions() != before
    mine = one.foreign_versions()
    one.journal([file(2, future=2)])
    assert one.foreign_versions() == mine


def test_the_state_is_bound_to_one_account_of_one_drive(one, other) -> None:
    one.bind("https://drive.test", "account")
    other.bind("https://drive.test", "account")
    with pytest.raises(StateMismatchError, match="another directory"):
        other.bind("https://drive.test", "another")
    with pytest.raises(StateMismatchError):
        other.bind("https://elsewhere.test", "account")
