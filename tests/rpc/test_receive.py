from __future__ import annotations

import threading
import time
import uuid

import pytest

from accounts import APP, DO, DS, LegacyPeer, Observed, calls, messages, owner, serving, wait_until
from syft_flwr.errors import DriveError, NotFoundError, RemoteHandlerError
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.state.futures import Future
from syft_flwr.testing import DriveEmulator


def fail(body: bytes) -> bytes:
    raise ValueError(f"can't do {body.decode()}")


def test_there_is_no_response_before_the_peer_answers(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"x")
        assert rpc.get_response(future_id) is None

        with serving(owner(bytes.upper)):
            assert wait_until(lambda: rpc.get_response(future_id)) == b"X"


def test_a_response_is_downloaded_once_however_often_it_is_asked_for(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper, inline_bodies=False)):
        future_id = rpc.send(DO, APP, "messages", b"x")
        wait_until(lambda: rpc.get_response(future_id))
        for _ in range(5):
            assert rpc.get_response(future_id) == b"X"
        assert rpc.wait([future_id]) == {future_id: b"X"}

        assert calls(drive, DS).count("files.get_media") == 1


def test_a_kept_response_that_the_disk_damaged_is_downloaded_again(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper)):
        future_id = rpc.send(DO, APP, "messages", b"xyz")
        wait_until(lambda: rpc.get_response(future_id))
        [kept] = rpc.runtime._engine.parts.bodies.directory.iterdir()
        for damage in (b"", b"\0\0\0"):
            kept.write_bytes(damage)
            assert rpc.get_response(future_id) == b"XYZ"


def test_an_empty_response_is_a_response(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(lambda _: b"")):
        future_id = rpc.send(DO, APP, "messages", b"")

        assert wait_until(lambda: rpc.get_response(future_id) == b"")


def test_an_unknown_future_has_no_response_and_costs_no_poll(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        for _ in range(10):
            assert rpc.get_response(str(uuid.uuid4())) is None

    assert calls(drive, DS) == []


def test_waiting_for_a_thousand_futures_costs_one_feed_call_per_interval(drive: DriveEmulator) -> None:
    """The interval is a quarter of the youngest one's age, from 0.1 s up: 12 polls in the first 2 s, at the most."""
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"x")
        futures = rpc.send_many([(DO, APP, "messages", b"x")] * 50)
        drive.clear_log()
        rpc.runtime.poll_once()
        started = rpc.runtime._engine.parts.clock.monotonic()
        for _ in range(20):
            for future_id in futures:
                assert rpc.get_response(future_id) is None
        took = rpc.runtime._engine.parts.clock.monotonic() - started

    made = calls(drive, DS)
    polled = made.count("changes.getStartPageToken") + made.count("changes.list")
    assert 1 <= polled <= 2 + took / 0.1


def test_the_poll_cadence_follows_the_youngest_waiting_future(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with P2PFileRpc(DS, APP, poll_interval=3.0) as rpc:
        rpc.send(DO, APP, "messages", b"x")
        runtime = rpc.runtime
        runtime.poll_once()
        monkeypatch.setattr(runtime._engine.parts.clock, "monotonic", lambda: 0.0)  # else time passes between two looks

        def pause(age: float) -> float:
            """Return the seconds until the next poll, less those at age 0, when the youngest future has that age."""
            now = runtime._engine.parts.clock.time()
            at_first = until_stale(now, now - 1000)
            return round(until_stale(now - age, now - 1000) - at_first, 2)

        def until_stale(*sent_at: float) -> float:
            responses = runtime._engine.responses
            responses.came(list(responses._open))
            responses.sent(Future(str(time), DO, APP, "messages", "", time) for time in sent_at)
            return responses._until_stale()

        assert [pause(age) for age in (0.4, 4.0, 12.0, 1000.0)] == [0.0, 0.9, 2.9, 2.9]


def test_an_error_reply_is_returned_by_get_response_and_raised_by_wait(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(fail)):
        future_id = rpc.send(DO, APP, "messages", b"that")
        body = wait_until(lambda: rpc.get_response(future_id))

        assert body.startswith(b'{"error": "ValueError: can\'t do that"')
        with pytest.raises(RemoteHandlerError, match="can't do that") as raised:
            rpc.wait([future_id])
        assert (raised.value.future_id, raised.value.body) == (future_id, body)
        assert rpc.wait([future_id], raise_errors=False) == {future_id: body}


def test_responses_tell_of_an_error(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(fail)):
        seen = []
        rpc.responses.subscribe(seen.append)
        future_id = rpc.send(DO, APP, "messages", b"that")
        rpc.wait([future_id], 20, raise_errors=False)

        assert [(message.future_id, message.is_error) for message in seen] == [(future_id, True)]


def test_wait_returns_what_has_come_when_time_is_up(drive: DriveEmulator) -> None:
    def answer_some(body: bytes) -> bytes | None:
        return body if body == b"1" else None

    with P2PFileRpc(DS, APP) as rpc, serving(owner(answer_some)):
        futures = rpc.send_many([(DO, APP, "messages", b"%d" % number) for number in range(3)])
        wait_until(lambda: rpc.get_response(futures[1]))

        assert rpc.wait(futures, 0.1) == {futures[1]: b"1"}
        assert rpc.wait(futures, 20, return_when="first") == {futures[1]: b"1"}
        assert rpc.wait([], 20) == {}


def test_wait_takes_its_timeout_from_the_environment(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFT_FLWR_MSG_TIMEOUT", "0.05")
    with P2PFileRpc(DS, APP) as rpc:
        assert rpc.wait([rpc.send(DO, APP, "messages", b"x")]) == {}


def test_wait_takes_its_timeout_from_its_own_handle(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP), P2PFileRpc(DS, APP, message_timeout=0.05) as rpc:
        assert rpc.wait([rpc.send(DO, APP, "messages", b"x")]) == {}


def test_wait_does_not_wait_for_what_can_never_be_answered(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper)):
        future_id = rpc.send(DO, APP, "messages", b"x")

        assert rpc.wait([future_id, str(uuid.uuid4())], 1000.0) == {future_id: b"X"}


def test_several_threads_wait_for_futures_of_their_own(drive: DriveEmulator) -> None:
    """As legacy strategies do with their thread pool."""
    got: dict[int, bytes] = {}
    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper)):

        def exchange(number: int) -> None:
            future_id = rpc.send(DO, APP, "messages", b"x%d" % number)
            got[number] = rpc.wait([future_id], 20)[future_id]

        threads = [threading.Thread(target=exchange, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert got == {number: b"X%d" % number for number in range(8)}


def test_a_future_can_be_asked_for_by_another_object_and_a_later_process(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"x")
    with serving(owner(bytes.upper)):
        wait_until(lambda: len(messages(drive)) == 2)

    with P2PFileRpc(DS, "another/app") as rpc:
        assert wait_until(lambda: rpc.get_response(future_id)) == b"X"


def test_delete_future_forgets_it_and_deletes_the_request(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, Observed(DS) as observed:
        future_id = rpc.send(DO, APP, "messages", b"x")
        rpc.delete_future(future_id)
        rpc.delete_future(future_id)
        rpc.delete_future("never heard of")

        wait_until(lambda: not messages(drive))
        assert rpc.get_response(future_id) is None
        assert observed.errors == []


def test_delete_future_removes_the_local_copy_of_the_response(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper)):
        future_id = rpc.send(DO, APP, "messages", b"x")
        wait_until(lambda: rpc.get_response(future_id))
        rpc.delete_future(future_id)

        assert list(rpc.runtime._engine.parts.bodies.directory.iterdir()) == []


def test_without_clean_up_nothing_is_deleted(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP, cleanup=False) as rpc, serving(owner(bytes.upper, cleanup=False)):
        future_id = rpc.send(DO, APP, "messages", b"x")
        rpc.wait([future_id], 20)
        rpc.delete_future(future_id)
        assert rpc.get_response(future_id) is None

    assert sorted(messages(drive)) == [f"{future_id}.request", f"{future_id}.response"]
    assert "files.delete" not in calls(drive, DS) + calls(drive, DO)


def test_a_response_after_delete_future_is_rejected(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, Observed(DS) as observed, LegacyPeer(drive, DO) as peer:
        future_id = rpc.send(DO, APP, "messages", b"x")
        peer.answer_all(bytes.upper, done=set())
        rpc.delete_future(future_id)
        rpc.runtime.poll_once()

        assert observed.reasons() == ["unknown_future"]
        assert rpc.get_response(future_id) is None
        rpc.runtime.poll_once()
        assert len(observed.rejected) == 1


def test_a_response_that_arrives_twice_counts_once(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, Observed(DS) as observed, LegacyPeer(drive, DO) as peer:
        future_id = rpc.send(DO, APP, "messages", b"x")
        peer.answer_all(lambda _: b"first", done=set())
        wait_until(lambda: rpc.get_response(future_id))
        peer.answer_all(lambda _: b"second", done=set())
        rpc.runtime.poll_once()

        assert rpc.get_response(future_id) == b"first"
        assert (len(observed.responses), observed.rejected) == (1, [])


def test_a_response_of_somebody_who_was_not_asked_is_rejected(drive: DriveEmulator) -> None:
    stranger = "stranger@example.net"
    with (
        P2PFileRpc(DS, APP) as rpc,
        Observed(DS) as observed,
        LegacyPeer(drive, stranger) as peer,
        LegacyPeer(drive, DO) as asked,
    ):
        future_id = rpc.send(DO, APP, "messages", b"x")
        peer.put(f"{future_id}.response", peer.inbox(stranger, DS), b"forged")
        asked.put(f"{future_id}.response", asked.inbox(DO, DS, endpoint="elsewhere"), b"misplaced")
        rpc.runtime.poll_once()

        assert observed.reasons() == ["wrong_responder", "wrong_responder"]
        assert rpc.get_response(future_id) is None
        asked.answer_all(bytes.upper, done=set())
        assert rpc.wait([future_id], 20) == {future_id: b"X"}


def test_a_response_that_was_deleted_before_it_was_fetched_is_an_error_that_says_so(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, LegacyPeer(drive, DO) as peer:
        future_id = rpc.send(DO, APP, "messages", b"x")
        peer.answer_all(bytes.upper, done=set())
        rpc.runtime.poll_once()
        [reply] = [file for file in drive.files() if file.name.endswith(".response")]
        peer.call("DELETE", f"/drive/v3/files/{reply.id}")

        with pytest.raises(NotFoundError):
            rpc.get_response(future_id)
        with pytest.raises(RemoteHandlerError, match="the reply can't be had"):
            rpc.wait([future_id])


def test_get_response_raises_when_drive_does_not_answer_and_works_again_afterwards(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"x")
        bad = {"status": 400, "reason": "badRequest"}
        peeks = drive.fault("error", method="changes.getStartPageToken", **bad)
        lists = drive.fault("error", method="changes.list", **bad)
        with peeks, lists, pytest.raises(DriveError):
            wait_until(lambda: rpc.get_response(future_id))
        with serving(owner(bytes.upper)):
            assert wait_until(lambda: rpc.get_response(future_id)) == b"X"


def test_closing_keeps_the_futures_and_a_later_use_opens_it_again(drive: DriveEmulator) -> None:
    rpc = P2PFileRpc(DS, APP)
    future_id = rpc.send(DO, APP, "messages", b"x")
    rpc.close()
    rpc.close()
    with serving(owner(bytes.upper)):
        assert wait_until(lambda: rpc.get_response(future_id)) == b"X"
    rpc.close()


def test_a_request_that_nobody_will_answer_any_more_keeps_no_poll_loop_busy(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with P2PFileRpc(DS, APP, cleanup_expiry=60.0) as rpc:
        runtime = rpc.runtime
        rpc.send(DO, APP, "messages", b"x")
        assert runtime._engine.responses.is_awaited()
        monkeypatch.setattr(runtime._engine.parts.clock, "time", lambda: time.time() + 61)
        assert not runtime._engine.responses.is_awaited()


def test_futures_deleted_before_and_after_the_first_poll_are_all_withdrawn(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        early, late = (rpc.send(DO, APP, "messages", b"x") for _ in range(2))
    with P2PFileRpc(DS, APP) as rpc:
        rpc.delete_future(early)
        rpc.runtime.poll_once()
        wait_until(lambda: messages(drive) == [f"{late}.request"])
        rpc.delete_future(late)
        wait_until(lambda: not messages(drive), 10)
