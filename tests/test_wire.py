from __future__ import annotations

import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syft_flwr.addresses import fold_address, same_address
from syft_flwr.errors import InvalidNameError
from syft_flwr.wire import (
    Inbox,
    inbox_path,
    inbox_root_name,
    is_future_id,
    message_file_name,
    message_kind,
    new_future_id,
    parse_inbox_root,
    parse_message_name,
    validate_address,
    validate_app,
    validate_endpoint,
)

ADDRESSES = st.from_regex(r"[a-z_.+A-Z0-9'!/@-]{1,12}@[a-z0-9.-]{1,8}", fullmatch=True) | st.sampled_from(
    ["a_to_b@y", "a@x_to_b@y", "_to_@x", "me@x", "x_to_me@x", "me@x_to_x@y", "ä@exämple.de"]
)
NAMES = st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30).filter(str.strip)
KINDS = st.sampled_from(["request", "response"])


def test_the_folders_of_an_endpoint_are_those_of_existing_participants():
    assert inbox_path("do@x.org", "ds@y.org", "flwr/diabetes", "/messages") == (
        "syft_outbox_inbox_do@x.org_to_ds@y.org",
        "flwr/diabetes",
        "rpc",
        "messages",
    )


def test_an_endpoint_loses_only_its_leading_slashes():
    assert validate_endpoint("//a/b/") == "a/b/"


@given(ADDRESSES, ADDRESSES)
@example("a_to_b@x", "c@x")
@example("a@x", "a@x")
def test_the_recipient_reads_the_sender_from_the_name_of_its_inbox(sender, me):
    assert parse_inbox_root(inbox_root_name(sender, me), me) == Inbox(sender, me)


@given(ADDRESSES, ADDRESSES)
def test_the_sender_reads_the_recipient_unless_the_name_may_also_be_an_inbox_of_its_own(me, recipient):
    inbox = parse_inbox_root(inbox_root_name(me, recipient), me)

    if f"{me}_to_{recipient}".lower().endswith(f"_to_{me}".lower()):
        assert same_address(inbox.recipient, me)
    else:
        assert inbox == Inbox(me, recipient)


@given(ADDRESSES, ADDRESSES)
def test_an_inbox_is_recognised_in_any_spelling_and_keeps_the_names(sender, me):
    inbox = parse_inbox_root(inbox_root_name(sender, ascii_upper(me)), fold_address(me))

    assert inbox == Inbox(sender, ascii_upper(me))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "SyftBox",
        "syft_outbox_inbox_",
        "syft_outbox_inbox__to_me@x",
        "syft_outbox_inbox_me@x_to_",
        "syft_outbox_inbox_a@x_to_b@x",
        "syft_outbox_inbox_a@x_to_me@x2",
        "Syft_outbox_inbox_a@x_to_me@x",
        "syft_outbox_inbox_a@x_to_some@x",
    ],
)
def test_a_folder_that_is_no_inbox_of_mine_is_none(name):
    assert parse_inbox_root(name, "me@x") is None


@given(st.text(max_size=40), ADDRESSES)
def test_no_folder_name_is_too_odd_to_look_at(name, me):
    parse_inbox_root(name, me)
    parse_inbox_root(f"syft_outbox_inbox_{name}", me)


@given(KINDS, st.uuids())
def test_a_messages_name_is_read_as_it_was_written(kind, future_id):
    name = message_file_name(kind, str(future_id))

    assert name == f"{future_id}.{kind}"
    assert message_kind(name) == kind
    assert parse_message_name(name) == (kind, str(future_id))


@given(st.text(max_size=50) | st.builds(message_file_name, KINDS, st.text(max_size=40)))
@example("request")
@example(".request")
@example("../../etc/passwd.request")
@example("6ff4f5f2-1a2b-4c3d-8e9f-0123456789ab.request.bak")
@example("6FF4F5F2-1A2B-4C3D-8E9F-0123456789AB.request")
@example("{6ff4f5f2-1a2b-4c3d-8e9f-0123456789ab}.response")
@example("urn:uuid:6ff4f5f2-1a2b-4c3d-8e9f-0123456789ab.response")
def test_any_other_name_is_refused_in_one_way(name):
    with pytest.raises(InvalidNameError):
        parse_message_name(name)


def test_a_name_that_may_be_a_message_is_told_by_its_end():
    assert message_kind("anything.request") == "request"
    assert message_kind("anything.response") == "response"
    assert message_kind("request") is None
    assert message_kind("x.request.tmp") is None


def test_a_fresh_future_id_is_a_uuid4_and_no_two_are_one():
    ids = {new_future_id() for _ in range(100)}

    assert len(ids) == 100
    assert all(is_future_id(future_id) and uuid.UUID(future_id).version == 4 for future_id in ids)


@given(NAMES)
def test_a_name_goes_on_the_wire_as_it_is(name):
    assert validate_app(name) == name


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a\nb", "\x7f", "\x85", "\ud800", "ä" * 2049])
def test_a_name_that_drive_or_a_log_can_not_show_is_refused(name):
    for validate in (validate_app, validate_endpoint):
        with pytest.raises(InvalidNameError):
            validate(name)
    with pytest.raises(ValueError, match="endpoint"):
        validate_endpoint("///")


def test_a_name_may_have_4096_bytes():
    assert validate_app("ä" * 2048)


@given(ADDRESSES)
def test_an_address_loses_only_the_space_around_it(address):
    assert validate_address(f" {address}\n") == address


@pytest.mark.parametrize(
    "address", ["", "@", "a", "a@", "@x", "a b@x", "a@x y", "a@x/y", "a\x00@x", "a\n@x", "\ud800@x", "a" * 319 + "@x"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidNameError, match="not an e-mail address"):
        validate_address(address)


@pytest.mark.parametrize(
    "arguments", [("a", "b@x", "app", "e"), ("a@x", "b", "app", "e"), ("a@x", "b@x", "", "e"), ("a@x", "b@x", "a", "/")]
)
def test_an_inbox_is_named_only_for_valid_parties_and_places(arguments):
    with pytest.raises(InvalidNameError):
        inbox_path(*arguments)


@given(ADDRESSES)
def test_addresses_are_one_in_any_case(address):
    assert same_address(ascii_upper(address), fold_address(address))
    assert not same_address(address, f"x{address}")


def test_only_ascii_letters_have_a_case():
    assert not same_address("\u212a@example.com", "k@example.com")
    assert parse_inbox_root(inbox_root_name("a@x", "\u212a@x"), "k@x") is None


def ascii_upper(text):
    return text.encode().upper().decode()
