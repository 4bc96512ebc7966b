"""Together with a participant that behaves on the wire as the existing implementation does."""

from __future__ import annotations

from accounts import APP, DO, DS, LegacyPeer, Observed, calls, messages, owner, serving, wait_until
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator


def test_its_requests_are_answered_where_it_looks_and_once_although_it_never_deletes_them(drive: DriveEmulator) -> None:
    bodies: list[bytes] = []

    def answer(body: bytes) -> bytes:
        bodies.append(body)
        return body.upper()

    with LegacyPeer(drive, DS) as legacy:
        early = legacy.send(DO, b"early")
        for _ in range(2):
            with serving(owner(answer, max_processed_requests=1)):
                late = legacy.send(DO, b"late")
                assert wait_until(lambda: legacy.get_response(DO, early)) == b"EARLY"
                assert wait_until(lambda wanted=late: legacy.get_response(DO, wanted)) == b"LATE"

        with serving(owner(answer)), Observed(DO) as observed:
            wait_until(lambda: calls(drive, DO)[-1].startswith("changes."))
            assert observed.messages == []
    assert bodies == [b"early", b"late", b"late"]
    assert len(messages(drive)) == 6, "its requests stand, and so do our replies until they expire"


def test_it_answers_our_requests(drive: DriveEmulator) -> None:
    done: set[str] = set()
    with LegacyPeer(drive, DO) as legacy, P2PFileRpc(DS, APP) as rpc:
        for body in (b"one", b"two"):
            future_id = rpc.send(DO, APP, "messages", body)
            assert rpc.get_response(future_id) is None
            legacy.answer_all(bytes.upper, done=done)
            assert rpc.wait([future_id], 20) == {future_id: body.upper()}
            rpc.delete_future(future_id)

        wait_until(lambda: not any(name.endswith(".request") for name in messages(drive)))
    roots = [(file.name, file.owner) for file in drive.files() if file.name.startswith("syft_outbox")]
    ours = [(f"syft_outbox_inbox_{DS}_to_{DO}", DS), (f"syft_outbox_inbox_{DO}_to_{DS}", DS)]
    assert sorted(roots) == sorted([*ours, (f"syft_outbox_inbox_{DO}_to_{DS}", DO)])


def test_an_error_reply_is_a_body_like_any_other_to_it(drive: DriveEmulator) -> None:
    def fail(body: bytes) -> bytes:
        raise ValueError("broken")

    with LegacyPeer(drive, DS) as legacy, serving(owner(fail)):
        future_id = legacy.send(DO, b"x")
        assert wait_until(lambda: legacy.get_response(DO, future_id)).startswith(b'{"error": "ValueError: broken"')
