from __future__ import annotations

import json
import re

from accounts import APP, DO, DS, PlainAccount, calls, messages, owner, serving, wait_until
from syft_flwr.inline import split
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

ROOT = "My Drive/SyftBox"
REQUESTS = f"syft_outbox_inbox_{DS}_to_{DO}"
REPLIES = f"syft_outbox_inbox_{DO}_to_{DS}"


def test_a_request_and_its_reply_lie_where_existing_participants_look_for_them(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "/messages", b"question")

        with serving(owner(lambda body: body.upper())):
            assert rpc.wait([future_id], 20) == {future_id: b"QUESTION"}

        stored = {(file.path, file.owner): file for file in drive.files()}
        request = stored[f"{ROOT}/{REQUESTS}/{APP}/rpc/messages/{future_id}.request", DS]
        reply = stored[f"{ROOT}/{REPLIES}/{APP}/rpc/messages/{future_id}.response", DO]
        assert (request.content, reply.content) == (b"question", b"QUESTION")
        assert not split(request.properties)[1]
        assert not split(reply.properties)[1]
        assert set(stored) - {(request.path, DS), (reply.path, DO)} == {
            (path, DS)
            for root in (REQUESTS, REPLIES)
            for path in (
                ROOT,
                f"{ROOT}/{root}",
                f"{ROOT}/{root}/{APP}",
                f"{ROOT}/{root}/{APP}/rpc",
                f"{ROOT}/{root}/{APP}/rpc/messages",
            )
        }
        for root in (REQUESTS, REPLIES):
            assert stored[f"{ROOT}/{root}", DS].roles == {DS: "owner", DO: "writer"}
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", future_id)


def test_an_error_reply_carries_its_status_as_a_property(drive: DriveEmulator) -> None:
    def fail(body: bytes) -> bytes:
        raise ValueError("no such column: âge")

    with P2PFileRpc(DS, APP) as rpc, serving(owner(fail)):
        future_id = rpc.send(DO, APP, "messages", b"")
        reply = wait_until(lambda: [f for f in drive.files() if f.name == f"{future_id}.response"])[0]

        assert reply.properties["status"] == "error"
        assert json.loads(reply.content or b"")["error"] == "ValueError: no such column: âge"


def test_folders_are_shared_without_a_notice_by_mail(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper)):
        rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)

    shares = [request for request in drive.requests() if request["method"] == "permissions.create"]
    assert len(shares) == 2
    assert all("sendNotificationEmail=false" in request["query"] for request in shares)


def test_an_owner_that_knows_its_senders_makes_and_shares_their_inboxes_before_it_polls(drive: DriveEmulator) -> None:
    others = ["ana@example.com", "ben_to_x@example.com"]
    with serving(owner(bytes.upper, allowed_senders=[DS, *others])):
        wait_until(lambda: "changes.getStartPageToken" in calls(drive, DO)[2:])
        roots = {file.name: file for file in drive.files() if file.path.count("/") == 2}

        assert set(roots) == {f"syft_outbox_inbox_{sender}_to_{DO}" for sender in (DS, *others)}
        for sender in (DS, *others):
            root = roots[f"syft_outbox_inbox_{sender}_to_{DO}"]
            assert root.roles == {DO: "owner", sender: "writer"}
        methods = calls(drive, DO)
        assert methods.index("permissions.create") < methods.index("changes.list")

        with P2PFileRpc(DS, APP) as rpc:
            assert rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)
        inboxes = [file for file in drive.files() if file.name == REQUESTS]
        assert [inbox.owner for inbox in inboxes] == [DO], "the sender uses the recipient's folder"


def test_a_finished_exchange_leaves_no_message_behind(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "messages", b"%d" % number) for number in range(5)])
        assert len(rpc.wait(futures, 20)) == 5
        for future_id in futures:
            rpc.delete_future(future_id)

        wait_until(lambda: not messages(drive))


def test_of_two_roots_of_one_name_both_are_read(drive: DriveEmulator) -> None:
    """Each side may have made one, at the same moment."""
    with PlainAccount(drive, DS) as ds, PlainAccount(drive, DO) as do:
        theirs, ours = ds.inbox(DS, DO), do.inbox(DS, DO)
        bodies: list[bytes] = []
        with serving(owner(bodies.append)):
            for number, folder in enumerate((theirs, ours)):
                ds.put(f"00000000-0000-4000-8000-00000000000{number}.request", folder, b"%d" % number)
            wait_until(lambda: sorted(bodies) == [b"0", b"1"])
