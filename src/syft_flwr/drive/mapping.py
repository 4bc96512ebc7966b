"""What Drive's answers and a broken connection mean: the one place where foreign errors become ours.

Error bodies: https://developers.google.com/workspace/drive/api/guides/handle-errors
"""

from __future__ import annotations

import email.utils
import http.client
import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple

import google.auth.exceptions
import requests
import urllib3.exceptions

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
from syft_flwr.printable import printable

LONGEST_WAIT = 86_400.0
"""Seconds to leave Drive alone at most, whatever it asks for."""
LONGEST_WAIT_FOR_OTHERS = 300.0
"""The same for a page that comes in Drive's place: whoever wrote it does not know how long it will stand in the way."""
PARKED = 3_600.0
"""Seconds to leave a limit alone that lasts for hours: shares per day, calls per day."""
TIMED_OUT = "timedOut"
"""The reason, none of Drive's, of a call that hung until its time-out."""
_TIMEOUTS = (TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)

_RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"})
_PARKED_REASONS = frozenset(
    {"sharingRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded", "downloadQuotaExceeded"}
)
_BARE = frozenset({"uploads.put"})
"""What Google answers without the envelope of its APIs."""
_STORAGE_REASONS = frozenset({"storageQuotaExceeded", "teamDriveFileLimitExceeded"})
_TOO_MANY = "rate_limit_exceeded"
_OAUTH_CODES = frozenset(
    {
        *("invalid_request", "invalid_client", "invalid_grant", "invalid_scope", "invalid_token"),
        *("unauthorized_client", "unsupported_grant_type", "unsupported_response_type", "access_denied"),
        *("server_error", "temporarily_unavailable", "slow_down", "internal_failure", "deleted_client"),
        *("disabled_client", "org_internal", "admin_policy_enforced", "redirect_uri_mismatch", _TOO_MANY),
    }
)
"""https://www.rfc-editor.org/rfc/rfc6749#section-5.2, and Google's own."""
_PASSING_CODES = frozenset({"server_error", "temporarily_unavailable", "slow_down", "internal_failure", _TOO_MANY})

_ENABLE = (
    "The Google Drive API is not enabled in the Cloud project of this OAuth client: enable it at "
    "https://console.cloud.google.com/apis/library/drive.googleapis.com and wait some minutes"
)
_WIDEN = (
    "The token is not for the whole of Drive (scope https://www.googleapis.com/auth/drive): log in again, and tick the "
    "box for Drive"
)
_ASK_ADMINISTRATOR = "A rule of the account's Workspace domain forbids it: its administrator can allow it"
_ADVICE = {
    "accessNotConfigured": _ENABLE,
    "SERVICE_DISABLED": _ENABLE,
    "insufficientPermissions": _WIDEN,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": _WIDEN,
    "domainPolicy": _ASK_ADMINISTRATOR,
    "appNotAuthorizedToFile": _WIDEN,
    "insufficientFilePermissions": "The folder's owner must share it with this account, as an editor",
}

_LOGIN_ADVICE = {
    "Invalid JWT Signature": "The service account's key was deleted: make a new one in the Cloud console",
    "short-lived token": "The clock here is wrong: set this machine's clock, by NTP for example",
    "Invalid email or User ID": "The service account acts for an address: is there an account of this address?",
    "unauthorized_client": (
        "The Workspace administrator must allow the service account's client ID the scope "
        "https://www.googleapis.com/auth/drive (domain-wide delegation, in the Admin console under API controls)"
    ),
    "deleted_client": "The OAuth client is gone: make a new one in the Cloud console, and log in with it",
    "invalid_client": "The OAuth client is gone: make a new one in the Cloud console, and log in with it",
    "disabled_client": "The OAuth client is disabled: enable it in the Cloud console",
    "admin_policy_enforced": _ASK_ADMINISTRATOR,
    "org_internal": "The OAuth client serves its own Workspace domain only: its audience must be External",
    "access_denied": (
        "Log in again and allow the access. Is the account a test user of the app? In the Cloud console, see Audience"
    ),
    "invalid_grant": (
        'Log in again: syft-flwr login CLIENT_FILE. An OAuth app whose publishing status is "Testing" gets logins that '
        "last 7 days; publish the app to end that"
    ),
}
"""What to do about a refusal in which these words occur; the first that fits."""


class _Details(NamedTuple):
    is_googles: bool = False
    """Whether the answer has the envelope of a Google API; a proxy's, a portal's or a router's page has none."""
    reason: str = ""
    location: str = ""
    text: str = ""


def drive_error(
    method: str, status: int, content: bytes, headers: Mapping[str, str], *, storage_advice: str = ""
) -> DriveError:
    """Turn an answer with an error status into the error that its callers can act on.

    Args:
        method: The API method that was called, such as ``"files.list"``.
        status: HTTP status, 300 or above.
        content: The answer's body, JSON or not.
        headers: The answer's headers, with lower-case names.
        storage_advice: What to add when the account has no room.
    """
    details = _read_details(content)
    kind, retry_after = _classify(method, status, details)
    if retry_after is None:
        retry_after = parse_retry_after(headers.get("retry-after"), headers.get("date"))
        if retry_after is not None and not (details.is_googles or status == 429):
            retry_after = min(retry_after, LONGEST_WAIT_FOR_OTHERS)
    text = f"{method}: Drive answered {status}"
    if details.reason or details.text:
        text += f" {details.reason}: {details.text}"
    if kind is PermissionDeniedError and details.reason in _ADVICE:
        text += f". {_ADVICE[details.reason]}"
    if kind is StorageQuotaError:
        text += f". {storage_advice or 'The account has no room left in Drive: delete files or buy storage.'}"
    return kind(text, status=status, reason=details.reason, retry_after=retry_after)


class TransportErrors:
    """Turns what requests, sockets and google-auth raise within the block into our errors.

    A class, since a generator's frame would tie the caught exception into a reference cycle with all frames that
    called it; the body of an upload would stay in memory until the next full garbage collection.
    """

    def __init__(self, method: str) -> None:
        self._method = method

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reason = TIMED_OUT if isinstance(error and (error.__cause__ or error), _TIMEOUTS) else ""
        if isinstance(error, google.auth.exceptions.TransportError):
            text = f"{self._method}: can't reach Google's login: {printable(error)}"
            raise DriveUnavailableError(text, reason=reason) from error
        if isinstance(error, google.auth.exceptions.GoogleAuthError):
            raise _auth_error(self._method, error) from None  # its text may hold what the token endpoint answered
        if isinstance(error, urllib3.exceptions.HTTPError | http.client.HTTPException | OSError):
            text = f"{self._method}: no answer from Drive: {_in_words(error)}"
            raise DriveUnavailableError(text, reason=reason) from error


def was_sent(error: DriveError) -> bool:
    """Tell whether a call that failed may have come to Drive: not so where no connection was made."""
    cause = error.__cause__
    return not (isinstance(cause, google.auth.exceptions.TransportError) or _refused_connection(cause) is not None)


def parse_retry_after(value: str | None, date: str | None) -> float | None:
    """Read a ``Retry-After`` header as seconds, a day at most; a date in it counts from the answer's own ``Date``."""
    if not value:
        return None
    if value.isdecimal():
        return min(float(value), LONGEST_WAIT)
    until, now = parse_date(value), parse_date(date)
    return None if until is None or now is None else min(max(0.0, until - now), LONGEST_WAIT)


def parse_date(value: str | None) -> float | None:
    """Read an HTTP date as Unix time in seconds; ``None`` when it is none."""
    try:
        return None if not value else email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _classify(method: str, status: int, details: _Details) -> tuple[type[DriveError], float | None]:
    if status < 400 or status >= 500 or status == 408:  # a redirect is none of Drive's, for any of these methods
        return DriveUnavailableError, None
    if not (details.is_googles or status == 429 or method in _BARE):
        return DriveUnavailableError, None
    if method == "changes.list" and _rejects_token(status, details):
        return PageTokenRejectedError, None
    if status in (403, 429):
        return _classify_limit(status, details.reason)
    return {404: NotFoundError, 409: ConflictError}.get(status, DriveError), None


def _classify_limit(status: int, reason: str) -> tuple[type[DriveError], float | None]:
    if reason in _PARKED_REASONS:
        return RateLimitedError, PARKED
    if reason in _STORAGE_REASONS:
        return StorageQuotaError, None
    if status == 429 or reason in _RATE_REASONS:
        return RateLimitedError, None
    return PermissionDeniedError, None


def _rejects_token(status: int, details: _Details) -> bool:
    if status in (404, 410):
        return True
    return status == 400 and (details.location == "pageToken" or "page token" in details.text.lower())


def _read_details(content: bytes) -> _Details:
    try:
        error: Any = json.loads(content)["error"]
        if not isinstance(error, dict):
            return _Details(text=printable(error))
        first: Any = next(iter(error.get("errors") or error.get("details") or ()), {})
        if not (isinstance(error.get("code"), int) or first.get("reason")):  # others have one of the name, not the form
            return _Details(text=printable(error.get("message") or ""))
        return _Details(
            is_googles=True,
            reason=printable(first.get("reason") or error.get("status") or ""),
            location=str(first.get("location") or ""),
            text=printable(error.get("message") or first.get("message") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Details()


def is_googles(content: bytes) -> bool:
    """Tell whether an answer with an error status is one of a Google API."""
    return _read_details(content).is_googles


def login_advice(refusal: str) -> str:
    """Return what to do about what an OAuth endpoint has refused."""
    return next((advice for words, advice in _LOGIN_ADVICE.items() if words in refusal), "Log in again")


def _in_words(error: BaseException) -> str:
    """Tell what a connection failed at: in short where none was made, else as the error says it."""
    failure = _refused_connection(error)
    if failure is None:
        return f"{type(error).__name__}: {error}"
    cause: BaseException | None = failure.reason
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        cause = cause.__cause__ or cause.__context__
    reason = cause.strerror if isinstance(cause, OSError) else failure.reason
    return f"can't connect to {failure.pool.host}:{failure.pool.port}: {reason}"


def _refused_connection(error: BaseException | None) -> urllib3.exceptions.MaxRetryError | None:
    """Return what requests wraps where no connection was made; one that breaks later is told as such."""
    failure = error.args[0] if error is not None and error.args else None
    return failure if isinstance(failure, urllib3.exceptions.MaxRetryError) else None


def oauth_code(*texts: object) -> str:
    """Return the error code of OAuth's that begins one of these texts; nothing else of them is worth repeating.

    What a token endpoint answers may hold secrets, and is never quoted.
    """
    for text in texts:
        code = re.match("[a-z_]+", str(text))
        if code is not None and code[0] in _OAUTH_CODES:
            return code[0]
    return "an answer that has no error code of OAuth's"


def _auth_error(method: str, error: google.auth.exceptions.GoogleAuthError) -> Exception:
    told = [arg.get("error") if isinstance(arg, Mapping) else arg for arg in reversed(error.args)]
    code = oauth_code(*told)
    if error.retryable or code in _PASSING_CODES:
        return DriveUnavailableError(f"{method}: Google's login does not work at the moment: {code}")
    return CredentialsError(f"Google does not accept the credentials ({code}). {login_advice(str(error))}.")
