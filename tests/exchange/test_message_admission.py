"""The decision alone, without any Drive."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace as altered

from syft_flwr.drive.folders import Location
from syft_flwr.drive.identities import Identities
from syft_flwr.exchange.admission import Admission
from syft_flwr.models import Message, Rejection
from syft_flwr.resources import FOLDER_MIME_TYPE, DriveFile
from syft_flwr.state.memory import MemoryStore
from syft_flwr.wire import Inbox

ME, SENDER, STRANGER = "me@example.com", "Sender@example.com", "stranger@example.com"
FUTURE = "6e1d3f7c-32ff-4a3b-9a0f-5e0c1f6f1b2a"

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

FILE = DriveFile(
    id="file",
    name=f"{FUTURE}.request",
    parents=("folder",),
    size=5,
    created_time="2026-01-01T00:00:00.000Z",
    owners=(SENDER.lower(),),
    last_modifying_user=SENDER.lower(),
)
ROOT = DriveFile(id="root", name="n", mime_type=FOLDER_MIME_TYPE, owners=(ME,), last_modifying_user=ME)
PLACE = Location(Inbox(SENDER, ME), "flwr/app", "messages", "folder", ROOT)


def judge(file: DriveFile = FILE, place: Location = PLACE, max_size: int = 5) -> Message | str | None:
    verdict = Admission(ME, Identities(MemoryStore()), max_size=max_size).judge(file, place, NOW)
    return verdict.reason if isinstance(verdict, Rejection) else verdict


def test_a_file_of_the_sender_in_an_inbox_of_either_party_is_a_message() -> None:
    for party in (ME, SENDER):
        root = altered(ROOT, owners=(party,), last_modifying_user=SENDER)
        message = judge(place=replace(PLACE, root=root))
        assert isinstance(message, Message)
        assert (message.kind, message.sender, message.future_id, message.size) == ("request", SENDER, FUTURE, 5)


def test_what_is_addressed_to_somebody_else_is_none_of_our_business() -> None:
    assert judge(place=replace(PLACE, inbox=Inbox(ME, SENDER))) is None


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ({"owners": (STRANGER,)}, "foreign_folder"),
        ({"owners": (ME, STRANGER)}, "foreign_folder"),
        ({"owners": (), "last_modifying_user": None}, "foreign_folder"),
        ({"last_modifying_user": STRANGER}, "foreign_folder"),
    ],
)
def test_an_inbox_that_a_third_party_owns_or_named_is_refused(root: dict, reason: str) -> None:
    assert judge(place=replace(PLACE, root=altered(ROOT, **root))) == reason


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ({"owners": (STRANGER,)}, "forged_sender"),
        ({"owners": (ME,)}, "forged_sender"),
        ({"owners": (SENDER, STRANGER)}, "forged_sender"),
        ({"owners": (), "last_modifying_user": None}, "forged_sender"),
        ({"last_modifying_user": STRANGER}, "forged_sender"),
        ({"name": "6E1D3F7C-32FF-4A3B-9A0F-5E0C1F6F1B2A.request"}, "bad_name"),
        ({"name": "../../etc/passwd.request"}, "bad_name"),
        ({"size": None}, "bad_name"),
        ({"size": 6}, "too_large"),
    ],
)
def test_a_file_that_is_not_the_senders_own_message_is_refused(file: dict, reason: str) -> None:
    assert judge(altered(FILE, **file)) == reason


def test_in_a_shared_drive_the_last_modifying_user_stands_for_the_owner() -> None:
    place = replace(PLACE, root=altered(ROOT, owners=(), last_modifying_user=SENDER, drive_id="shared"))
    file = altered(FILE, owners=(), drive_id="shared")

    assert isinstance(judge(file, place), Message)
    assert judge(altered(file, last_modifying_user=STRANGER), place) == "forged_sender"
    assert judge(altered(file, last_modifying_user=None), place) == "forged_sender"


def test_elsewhere_what_shows_no_owner_is_nobodys_whoever_changed_it_last() -> None:
    assert judge(altered(FILE, owners=())) == "forged_sender"
    assert judge(place=replace(PLACE, root=altered(ROOT, owners=()))) == "foreign_folder"


@pytest.mark.parametrize(
    ("made_at", "verdict"),
    [
        ("2026-01-01T00:05:00.000Z", None),
        ("2026-01-01T01:00:00.000Z", "bad_time"),
        ("2099-01-01T00:00:00.000Z", "bad_time"),
    ],
)
def test_a_file_that_claims_to_be_made_in_the_future_is_refused(made_at: str, verdict: str | None) -> None:
    judged = judge(altered(FILE, created_time=made_at))
    assert isinstance(judged, Message) if verdict is None else judged == verdict
