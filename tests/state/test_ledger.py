from __future__ import annotations

import uuid

import pytest

from syft_flwr.errors import StateMismatchError
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.resources import Change, ChangePage, DriveFile
from syft_flwr.state.futures import Answer, Future
from syft_flwr.state.journal_rows import Claim, Committed, Spooled, Standing, Verdict
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.own_files import Deletion
from syft_flwr.testing.clock import ManualClock

DS = "ds@example.com"
CREATED = "2025-06-15T15:06:40.000Z"
FORGED = Rejection(RejectionReason.FORGED_SENDER, "file", "its owner is another")


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


def message(number: int = 1, *, future: int = 1, **fields) -> Message:
    settings = {
        "kind": "request",
        "sender": DS,
        "recipient": "do@example.com",
        "app": "app",
        "endpoint": "messages",
        "future_id": str(uuid.UUID(int=future)),
        "file_id": f"file{number}",
        "folder_id": "folder",
        "size": 1,
        "created_time": CREATED,
    }
    return Message(**{**settings, **fields})


def response(number: int = 1, *, future: int = 1, **fields) -> Message:
    return message(number, future=future, kind="response", **fields)


def page(*changes: Change) -> ChangePage:
    return ChangePage(changes, new_start_page_token="next")


def seen(found: DriveFile) -> Change:
    return Change(found.id, file=found)


def commit(ledger: Ledger, *changes: Change, answers: tuple[Message, ...] = ()) -> Committed:
    committed, _ = ledger.commit(
        page(*changes), stored=ledger.position.token() or "", answers={each.file_id: each for each in answers}
    )
    return committed


def numbers_of(committed: Committed) -> list[int]:
    return [*committed.changed, *(row.number for row in committed.rows)]


def take(ledger: Ledger, *files: DriveFile) -> list[int]:
    return numbers_of(ledger.take(files, {}))


def claim(ledger: Ledger, number: int, request: Message | None = None, *, wanted: bool = True) -> Standing:
    [standing] = ledger.journal.claim([(number, request or message(number), wanted)])
    return standing


def unfinished(ledger: Ledger) -> list[str]:
    return [row.file.id for row in ledger.journal.unfinished()]


def rows(account: Account, *kinds: str) -> list[str]:
    return account.store.transact(lambda tx: [key for kind in kinds for key, _ in tx.scan(kind)])


def ask(ledger: Ledger, *futures: int, app: str = "app") -> None:
    ledger.futures.add(
        Future(str(uuid.UUID(int=future)), DS, app, "messages", f"request{future}", 1.0) for future in futures
    )


def test_a_message_is_taken_by_one_process_at_a_time(one, other) -> None:
    take(one, file())
    assert claim(one, 1) == Standing(Claim.TAKEN)
    assert claim(other, 1) == Standing(Claim.ELSEWHERE, "one")
    assert claim(one, 1) == Standing(Claim.HELD, "one")


def test_a_claim_that_is_not_asked_for_is_not_made(one, other) -> None:
    take(one, file())
    assert claim(one, 1, wanted=False) == Standing(Claim.FREE)
    assert claim(other, 1) == Standing(Claim.TAKEN)


def test_a_dead_process_holds_nothing(account, one, other) -> None:
    take(one, file())
    claim(one, 1)
    account.alive.discard("one")
    assert claim(other, 1) == Standing(Claim.TAKEN)


def test_a_claim_is_given_back_by_its_own_process_only(one, other) -> None:
    take(one, file())
    claim(one, 1)
    other.journal.release(1)
    assert claim(other, 1).claim is Claim.ELSEWHERE
    one.journal.release(1)
    assert claim(other, 1).claim is Claim.TAKEN


def test_giving_back_a_copy_that_was_never_taken_frees_nothing(one, other) -> None:
    take(one, file(1), file(2))
    claim(one, 1)
    one.journal.release(2)
    assert claim(other, 2, message(2)).claim is Claim.ELSEWHERE


def test_of_two_files_of_one_message_one_is_handled(one) -> None:
    take(one, file(1), file(2))
    assert claim(one, 1) == Standing(Claim.TAKEN)
    assert claim(one, 2) == Standing(Claim.COPY, 1)
    one.journal.finish(1, message(1))
    assert claim(one, 2) == Standing(Claim.OVER)
    assert unfinished(one) == []


def test_a_copy_of_what_is_done_is_known_from_then_on_however_often_it_is_listed(one) -> None:
    take(one, file(1), file(2))
    claim(one, 1)
    one.journal.finish(1, message(1))
    claim(one, 2)
    assert one.take([file(1), file(2)], {}).new == []
    assert unfinished(one) == []


def test_a_copy_takes_the_place_of_a_request_that_was_given_back_or_withdrawn(one) -> None:
    take(one, file(1), file(2))
    claim(one, 1)
    one.journal.release(1)
    assert claim(one, 2) == Standing(Claim.TAKEN)
    one.journal.release(2)
    claim(one, 1)
    commit(one, Change("file1", removed=True))
    assert claim(one, 2) == Standing(Claim.TAKEN)


def test_a_spooled_reply_that_can_not_be_sent_yet_keeps_the_copy_out(one) -> None:
    answer = Spooled(message(1), "reply", is_error=False, body=b"\x00answer")
    take(one, file(1), file(2))
    claim(one, 1)
    one.journal.spool(1, answer)
    one.journal.release(1)
    assert claim(one, 2) == Standing(Claim.COPY, 1)
    assert claim(one, 1) == Standing(Claim.TAKEN)
    assert [row.spooled for row in one.journal.rows([1])] == one.journal.spooled() == [answer]
    one.journal.finish(1, message(1))
    assert claim(one, 2) == Standing(Claim.OVER)
    assert one.journal.spooled() == []


def test_a_request_that_is_withdrawn_is_forgotten_or_remembered_as_such_until_its_reply_is_written(one) -> None:
    take(one, file(1), file(2, future=2))
    claim(one, 2, message(2, future=2))
    one.journal.spool(2, Spooled(message(2, future=2), "reply", is_error=False, body=b""))
    commit(one, Change("file1", removed=True), Change("file2", removed=True))
    assert unfinished(one) == ["file2"]
    assert one.journal.finish(2, message(2, future=2), reply_id="reply", expires_at=1e9)


def test_a_request_that_is_withdrawn_while_it_is_handled_is_answered_all_the_same(one) -> None:
    take(one, file())
    claim(one, 1)
    commit(one, Change("file1", removed=True))
    assert one.journal.begin(1, message()) == 1
    answer = Spooled(message(), "reply", is_error=False, body=b"answer")
    one.journal.spool(1, answer)
    assert one.journal.spooled() == [answer]
    one.journal.finish(1, message())
    assert unfinished(one) == []


def test_a_request_that_is_withdrawn_and_comes_back_is_a_new_one_behind_the_others(one) -> None:
    take(one, file(1), file(2, future=2))
    commit(one, seen(file(1, trashed=True)))
    assert numbers_of(commit(one, seen(file(1)))) == [3]
    assert unfinished(one) == ["file2", "file1"]


def test_a_reply_stays_while_its_request_is_in_the_trash_and_goes_when_it_is_gone(account, one) -> None:
    take(one, file())
    one.journal.finish(1, message(), reply_id="reply", expires_at=account.clock.time() + 100)
    assert not commit(one, seen(file(trashed=True))).deletable
    assert one.own.due(account.clock.time()) == []
    assert commit(one, Change("file1", removed=True)).deletable
    assert one.own.due(account.clock.time()) == [Deletion("reply", 0)]


def test_replies_fall_due_in_the_order_of_their_times_and_leave_nothing_behind(account, one) -> None:
    now = account.clock.time()
    for number, wait in enumerate((30.0, 10.0, 20.0)):
        one.journal.finish(number, message(number, future=number), reply_id=f"reply{number}", expires_at=now + wait)
    assert one.own.due(now) == []
    assert [deletion.file_id for deletion in one.own.due(now + 20.0)] == ["reply1", "reply2"]
    assert [deletion.file_id for deletion in one.own.due(now + 99.0, limit=1)] == ["reply1"]
    one.own.deleted([f"reply{number}" for number in range(3)], now)
    assert rows(account, "own/", "due/", "watch/") == []


def test_a_deletion_that_was_refused_comes_later_and_knows_how_often_it_failed(account, one) -> None:
    now = account.clock.time()
    one.journal.finish(1, message(), reply_id="reply", expires_at=now)
    for failures in range(3):
        [deletion] = one.own.due(now + 100 * failures)
        assert deletion == Deletion("reply", failures)
        one.own.deleted([], now, later=[(deletion, now + 100 * (failures + 1))])
        assert one.own.due(now + 100 * failures) == []
    one.own.deleted(["reply"], now)
    assert rows(account, "own/", "due/", "watch/") == []


def test_what_was_handled_is_not_journaled_again_however_it_is_seen(one) -> None:
    take(one, file())
    one.journal.finish(1, message())
    assert take(one, file()) == []
    assert numbers_of(commit(one, seen(file(name="renamed.request")), seen(file()))) == []
    assert unfinished(one) == []


def test_a_row_has_the_number_of_its_arrival_and_keeps_it_when_its_file_changes(one) -> None:
    assert take(one, file(3, future=3), file(1)) == [1, 2]
    assert numbers_of(commit(one, seen(file(2, future=2)), seen(file(1)))) == [3]
    changed = commit(one, seen(file(1, size=2)))
    assert (changed.changed, changed.rows, changed.new, changed.last) == ([2], [], [], 3)
    assert [(row.number, row.file.id) for row in one.journal.after(1, 10)] == [(2, "file1"), (3, "file2")]
    assert [row.number for row in one.journal.rows([3, 9, 1])] == [3, 1]


def test_one_s_own_files_and_other_files_are_no_candidates(one) -> None:
    others = [file(owned_by_me=True), file(trashed=True), DriveFile(id="note", name="note.txt")]
    assert numbers_of(commit(one, *map(seen, others))) == []
    assert take(one, *others) == []


def test_attempts_are_counted_over_restarts_and_an_interruption_is_none(account, one) -> None:
    take(one, file())
    claim(one, 1)
    assert one.journal.begin(1, message()) == 1
    one.journal.release(1, interrupted=True)
    assert claim(one, 1).claim is Claim.TAKEN
    assert one.journal.begin(1, message()) == 1
    account.alive.discard("one")
    assert account.process("other").journal.begin(1, message()) == 2


def test_what_has_a_reply_is_taken_for_done_and_then_known_by_its_own_file(account, one) -> None:
    reply = DriveFile(id="reply", name="x.response", created_time=CREATED)
    one.recollect([(message(0), reply)])
    [number] = take(one, file())
    assert claim(one, number, message()) == Standing(Claim.OVER)
    assert unfinished(one) == []
    assert take(one, file()) == []
    over = account.store.transact(lambda tx: [row for _, row in tx.scan("over/")])
    assert [row[1:3] for row in over] == [["file1", "folder"]]


def test_what_is_recollected_twice_is_noted_once(account, one) -> None:
    reply = DriveFile(id="reply", name="x.response", created_time=CREATED)
    for _ in range(2):
        one.recollect([(message(0), reply)])
    assert len(rows(account, "over/")) == 1


def test_a_rejected_file_does_not_keep_the_genuine_message_out(one) -> None:
    take(one, file(1), file(2))
    assert one.refuse([(1, "folder", FORGED), (1, "folder", FORGED)]) == [True, False]
    assert claim(one, 2) == Standing(Claim.TAKEN)
    assert take(one, file(1)) == []


def test_a_file_that_is_refused_after_it_was_taken_frees_its_message(one) -> None:
    take(one, file(1), file(2))
    claim(one, 1)
    one.refuse([(1, "folder", FORGED)])
    assert claim(one, 2) == Standing(Claim.TAKEN)


def test_rows_grow_stale_unless_a_live_process_has_them_or_their_reply_is_ready(account, one) -> None:
    take(one, *(file(number, future=number) for number in range(1, 5)))
    account.clock.advance(100)
    take(one, file(5, future=5))
    account.process("gone").journal.claim([(1, message(1), True)])
    one.journal.claim([(2, message(2, future=2), True), (3, message(3, future=3), True)])
    one.journal.spool(3, Spooled(message(3, future=3), "reply", is_error=False, body=b""))
    one.journal.release(3)
    assert [row.number for row in one.journal.stale(account.clock.time() - 50)] == [1, 4]


def test_a_thousand_stale_rows_are_found_past_those_that_are_held(account, one) -> None:
    take(one, *(file(number, future=number) for number in range(1, 1_202)))
    one.journal.claim([(number, message(number, future=number), True) for number in range(1, 701)])
    stale = one.journal.stale(account.clock.time() + 1)
    assert [row.number for row in stale] == list(range(701, 1_202))


def test_a_response_answers_its_future_with_the_page_that_brings_it(one, other) -> None:
    ask(one, 1)
    came = file(name=f"{uuid.UUID(int=1)}.response")
    committed = commit(other, seen(came), answers=(response(),))
    assert committed.answered == [response().future_id]
    assert committed.responses == [response()]
    assert unfinished(one) == []
    future = one.futures.get([response().future_id])[response().future_id]
    assert future.response is not None
    assert future.response.file_id == "file1"
    assert commit(other, seen(came), answers=(response(),)).responses == []


def test_a_process_hears_of_the_answer_that_another_one_has_taken(one, other) -> None:
    ask(one, 1)
    came = file(name=f"{uuid.UUID(int=1)}.response")
    commit(other, seen(came), answers=(response(),))
    committed = commit(one, seen(came), answers=(response(),))
    assert committed.answered == [response().future_id]
    assert (committed.responses, committed.new) == ([], [])


def test_a_second_response_to_one_future_is_no_news_and_is_over(one) -> None:
    ask(one, 1)
    first, second = (file(number, name=f"{uuid.UUID(int=1)}.response") for number in (1, 2))
    commit(one, seen(first), answers=(response(1),))
    committed = commit(one, seen(second), answers=(response(2),))
    assert (committed.responses, committed.answered, committed.new) == ([], [response().future_id], [])
    assert unfinished(one) == []
    assert take(one, second) == []


@pytest.mark.parametrize("answer", [response(), response(app="other"), response(sender="mallory@example.com")])
def test_a_response_that_answers_no_future_waits_for_its_verdict_in_the_journal(one, answer) -> None:
    ask(one, 1, app="another")
    committed = commit(one, seen(file(name=f"{uuid.UUID(int=1)}.response")), answers=(answer,))
    assert (committed.responses, committed.answered, numbers_of(committed)) == ([], [], [1])


def test_all_that_follows_from_a_batch_of_rows_is_settled_at_once(one) -> None:
    ask(one, 2, 3)
    take(one, *(file(number, future=number) for number in range(1, 7)))
    wrong = response(3, future=3, sender="mallory@example.com")
    standings, outcomes = one.settle(
        [(1, message(1), True)],
        [
            (2, response(2, future=2), "folder"),
            (3, wrong, "folder"),
            (4, response(4, future=4), "folder"),
            (5, FORGED, "folder"),
            (6, Verdict.NOT_OURS, "folder"),
            (9, response(9, future=9), "folder"),
            (9, FORGED, "folder"),
        ],
    )
    assert standings == [Standing(Claim.TAKEN)]
    assert outcomes == [
        Answer.ACCEPTED,
        Answer.WRONG_RESPONDER,
        Answer.UNKNOWN_FUTURE,
        True,
        False,
        False,
        False,
    ]
    assert unfinished(one) == ["file1"]
    assert take(one, *(file(number, future=number) for number in range(1, 6))) == []
    assert take(one, file(6, future=6)) == [7], "what is not ours may become ours"


def test_the_token_moves_with_what_its_page_brought_and_not_for_an_idle_page(account, one) -> None:
    one.position.restart("start")
    assert commit(one) == Committed()
    assert one.position.token() == "start"
    commit(one, seen(file()))
    assert one.position.token() == "next"
    one.position.restart("start")
    account.clock.advance(61)
    commit(one)
    assert one.position.token() == "next", "an old token is renewed even so"


def test_a_process_does_not_move_the_token_of_another_that_lives(account, one, other) -> None:
    one.position.restart("start")
    one.commit(ChangePage((seen(file()),), next_page_token="ahead"), stored="start", answers={})
    _, stored = other.commit(page(seen(file())), stored="start", answers={})
    assert (one.position.token(), stored) == ("ahead", "start")
    account.alive.discard("one")
    _, stored = other.commit(page(seen(file(2))), stored="start", answers={})
    assert one.position.token() == stored == "next"


def test_what_a_recording_needs_comes_back_in_an_empty_store(account, one) -> None:
    ask(one, 1)
    take(one, file(1), file(2, future=2), file(3, future=3))
    one.journal.finish(2, message(2, future=2))
    copy = Account().process("one")
    last = copy.restore(one.snapshot())
    assert unfinished(copy) == ["file1", "file3"]
    assert [row.number for row in copy.journal.after(last - 1, 9)] == [last]
    assert take(copy, file(2, future=2)) == []
    assert commit(copy, seen(file(4)), answers=(response(4),)).responses == [response(4)]
    assert copy.snapshot()["done"] == [*one.snapshot()["done"], [response(4).key, "file4", "folder", CREATED]]


def test_a_state_of_another_format_keeps_its_futures_and_begins_anew(account, one) -> None:
    ask(one, 1)
    take(one, file())
    one.position.restart("start")
    account.store.transact(lambda tx: tx.put("binding", {"url": "https://drive.test", "account": "account"}))
    one.bind("https://drive.test", "account")
    assert (unfinished(one), one.position.token()) == ([], None)
    assert [future.request_id for future in one.futures.all()] == ["request1"]
    take(one, file())
    one.bind("https://drive.test", "account")
    assert unfinished(one) == ["file1"]


def test_the_state_is_bound_to_one_account_of_one_drive(one, other) -> None:
    one.bind("https://drive.test", "account")
    other.bind("https://drive.test", "account")
    with pytest.raises(StateMismatchError, match="another directory"):
        other.bind("https://drive.test", "another")
    with pytest.raises(StateMismatchError):
        other.bind("https://elsewhere.test", "account")
