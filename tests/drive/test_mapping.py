from __future__ import annotations

import gc
import http.client
import json
import weakref
from typing import Any

import google.auth.exceptions
import pytest
import requests

from syft_flwr.drive.mapping import TransportErrors, drive_error, parse_retry_after
from syft_flwr.errors import (
    ConflictError,
    CredentialsError,
    DriveError,
    DriveUnavailableError,
    NotFoundError,
    PageTokenRejectedError,
    PermissionDeniedError,
    RateLimitedError,
    StorageQuotaError,
)


def envelope(reason: str, message: str = "text", location: str = "") -> bytes:
    errors = [{"reason": reason, "message": message, "location": location}]
    return json.dumps({"error": {"code": 400, "message": message, "errors": errors}}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "invalid", DriveError),
        (403, "userRateLimitExceeded", RateLimitedError),
        (403, "rateLimitExceeded", RateLimitedError),
        (403, "sharingRateLimitExceeded", RateLimitedError),
        (403, "dailyLimitExceeded", RateLimitedError),
        (403, "storageQuotaExceeded", StorageQuotaError),
        (403, "insufficientFilePermissions", PermissionDeniedError),
        (403, "cannotShareTeamDriveWithNonGoogleAccounts", PermissionDeniedError),
        (404, "notFound", NotFoundError),
        (408, "", DriveUnavailableError),
        (409, "fileIdInUse", ConflictError),
        (410, "gone", DriveError),
        (429, "rateLimitExceeded", RateLimitedError),
        (429, "", RateLimitedError),
        (500, "internalError", DriveUnavailableError),
        (502, "", DriveUnavailableError),
        (503, "backendError", DriveUnavailableError),
        (504, "", DriveUnavailableError),
        (302, "", DriveUnavailableError),
    ],
)
def test_every_status_and_reason_has_its_error(status: int, reason: str, expected: type[DriveError]) -> None:
    error = drive_error("files.get", status, envelope(reason), {})
    assert type(error) is expected
    assert (error.status, error.reason) == (status, reason)
    assert str(error).startswith(f"files.get: Drive answered {status}")


@pytest.mark.parametrize(
    ("status", "content", "rejected"),
    [
        (400, envelope("invalid", "Invalid Value", "pageToken"), True),
        (400, envelope("badRequest", "Invalid page token."), True),
        (404, envelope("notFound"), True),
        (410, envelope("gone"), True),
        (400, envelope("invalidParameter", "Invalid field selection xyz", "fields"), False),
        (400, b"", False),
        (403, envelope("rateLimitExceeded"), False),
        (500, envelope("internalError", "page token"), False),
    ],
)
def test_only_an_answer_about_the_page_token_counts_against_it(status: int, content: bytes, rejected: bool) -> None:
    assert isinstance(drive_error("changes.list", status, content, {}), PageTokenRejectedError) is rejected


def test_a_page_token_is_rejected_by_the_change_feed_only() -> None:
    error = drive_error("files.list", 400, envelope("invalid", "Invalid Value", "pageToken"), {})
    assert type(error) is DriveError


@pytest.mark.parametrize("reason", ["sharingRateLimitExceeded", "dailyLimitExceeded", "downloadQuotaExceeded"])
def test_a_limit_that_lasts_for_hours_is_parked_for_an_hour(reason: str) -> None:
    error = drive_error("files.get_media", 403, envelope(reason), {})
    assert (type(error), error.retry_after) == (RateLimitedError, 3600)


def test_the_newer_form_of_errors_is_understood() -> None:
    body = {"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}}
    assert isinstance(drive_error("files.list", 403, json.dumps(body).encode(), {}), RateLimitedError)
    body = {"error": {"code": 403, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}}
    assert isinstance(drive_error("files.list", 403, json.dumps(body).encode(), {}), RateLimitedError)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Forbidden</html>", b"\xff\xfe", b"[]", b"null", b'{"error": null}', b'{"error": "text"}',
     b'{"error": []}', b'{"error": {"errors": [7]}}', b'{"error": {"errors": 7}}',
     b'{"error": {}}', b'{"error": {"message": "blocked"}}', b'{"error": {"code": "E17", "message": "blocked"}}'],
)  # fmt: skip
def test_what_is_no_error_envelope_of_googles_says_nothing_about_drive(content: bytes) -> None:
    for status in (400, 401, 403, 404, 409, 410):
        assert type(drive_error("files.get", status, content, {})) is DriveUnavailableError
        assert type(drive_error("changes.list", status, content, {})) is DriveUnavailableError
    assert type(drive_error("files.get", 429, content, {})) is RateLimitedError


def test_a_full_account_is_told_what_to_do() -> None:
    assert "delete files" in str(drive_error("files.create", 403, envelope("storageQuotaExceeded"), {}))
    advised = drive_error("files.create", 403, envelope("storageQuotaExceeded"), {}, storage_advice="Use delegation.")
    assert str(advised).endswith("Use delegation.")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("1.5", None),
        ("-3", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, "Thu, 01 Jan 1970 00:01:00 GMT") == expected


def test_retry_after_reaches_the_error() -> None:
    assert drive_error("files.get", 503, b"", {"retry-after": "12"}).retry_after == 12


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (503, b"<html>maintenance</html>", 300),
        (403, b"<html>blocked</html>", 300),
        (302, b"", 300),
        (429, b"", 86_400),
        (503, envelope("backendError"), 86_400),
    ],
)
def test_a_page_in_drives_place_does_not_say_for_how_long_to_leave_drive_alone(
    status: int, content: bytes, expected: float
) -> None:
    assert drive_error("files.get", status, content, {"retry-after": "999999"}).retry_after == expected


@pytest.mark.parametrize(
    "raised",
    [
        ConnectionResetError("reset"),
        TimeoutError("timed out"),
        http.client.IncompleteRead(b"ab", 3),
        http.client.RemoteDisconnected("gone"),
        requests.ConnectionError("no such host"),
        google.auth.exceptions.TransportError("no way to the token endpoint"),
    ],
)
def test_a_broken_connection_is_an_outage(raised: Exception) -> None:
    with pytest.raises(DriveUnavailableError) as caught, TransportErrors("files.get"):
        raise raised
    assert caught.value.status is None
    assert caught.value.__cause__ is raised


def test_a_token_endpoint_that_fails_for_a_while_is_an_outage() -> None:
    with pytest.raises(DriveUnavailableError, match="does not work at the moment"), TransportErrors("files.get"):
        raise google.auth.exceptions.RefreshError("temporary", retryable=True)


def test_invalid_grant_says_to_log_in_again() -> None:
    response: Any = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    text = "invalid_grant: Token has been expired or revoked."
    with pytest.raises(CredentialsError, match=r"invalid_grant.*Log in again.*7 days"), TransportErrors("x"):
        raise google.auth.exceptions.RefreshError(text, response)


def test_our_own_errors_pass() -> None:
    with pytest.raises(CredentialsError), TransportErrors("files.get"):
        raise CredentialsError("as it was")


def test_a_mapped_error_that_was_handled_keeps_nothing_of_its_callers_in_memory() -> None:
    class Body:
        """Stands for 300 MB."""

    def upload(body: Body) -> None:
        with pytest.raises(DriveUnavailableError), TransportErrors("files.create"):
            raise ConnectionResetError(str(body))

    body = Body()
    left = weakref.ref(body)
    gc.disable()
    try:
        upload(body)
        del body
        assert left() is None
    finally:
        gc.enable()
