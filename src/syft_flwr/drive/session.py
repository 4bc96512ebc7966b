"""One authorised HTTP exchange with Drive: token, answer, our errors, Drive's clock."""

from __future__ import annotations

import email.utils
import logging
import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import google_auth_httplib2
import httplib2

from syft_flwr.drive.connections import HttpPool, Sink
from syft_flwr.drive.mapping import TransportErrors, drive_error
from syft_flwr.errors import CredentialsError
from syft_flwr.ports import Clock

_log = logging.getLogger(__name__)

_SERVICE_ACCOUNT_ADVICE = (
    "Service accounts made since April 2025 have no storage of their own. Use a user's OAuth login "
    "(GDRIVE_TOKEN_PATH), domain-wide delegation to a user, or a shared drive."
)


class DriveSession:
    """Sends one request at a time per thread, with a token, and raises our errors. Retries nothing. Thread-safe."""

    def __init__(self, pool: HttpPool, credentials: Any, clock: Clock) -> None:
        self._pool = pool
        self._credentials = credentials
        self._clock = clock
        self._token_lock = threading.Lock()
        self._date: tuple[float, float] | None = None
        delegated = getattr(credentials, "_subject", None)
        self._is_service_account = hasattr(credentials, "service_account_email") and not delegated

    def request(
        self,
        api_method: str,
        uri: str,
        http_method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        sink: Sink | None = None,
        accept: Collection[int] = (),
    ) -> tuple[httplib2.Response, bytes]:
        """Send a request, with one token refresh if Drive answers 401; return the answer's head and body.

        Args:
            api_method: Name of the API method, for errors.
            uri: Absolute URL.
            http_method: HTTP verb.
            body: Bytes in memory, so that a resend by httplib2 is harmless.
            headers: Further headers.
            sink: Takes the body of a 200 or 206 answer, if given; what is returned is then empty.
            accept: Statuses of 300 and above that are no error here.

        Raises:
            CredentialsError: Drive refuses the token, and refreshing it did not help.
            DriveError: Any other failure, as :func:`~syft_flwr.drive.mapping.drive_error` maps it.
            RuntimeClosedError: The session was closed.
        """
        refused: str | None = None
        while True:
            with TransportErrors(api_method):
                token, token_headers = self._authorise(refused)
                with self._pool.lend(sink) as client:
                    response, content = client.request(
                        uri,
                        http_method,
                        body=body,
                        headers={**(headers or {}), **token_headers},
                    )
            self._note_date(response.get("date"))
            if response.status != 401:
                break
            if refused is not None:
                raise CredentialsError(f"{api_method}: Drive refuses the account's token (401). Log in again.")
            refused = token
        if response.status >= 300 and response.status not in accept:
            advice = _SERVICE_ACCOUNT_ADVICE if self._is_service_account else ""
            raise drive_error(api_method, response.status, content, response, storage_advice=advice)
        return response, content

    def server_time(self) -> float:
        """Return Drive's clock in Unix seconds: its last ``Date`` and the time since; before that, the local clock."""
        if self._date is None:
            return self._clock.time()
        date, noted = self._date
        return date + self._clock.monotonic() - noted

    def _authorise(self, refused: str | None) -> tuple[str, dict[str, str]]:
        """Return a token that is valid and not the one that Drive refused, and the headers that carry it."""
        credentials = self._credentials
        with self._token_lock:
            # Another thread may have replaced the refused token already.
            if not credentials.valid or credentials.token == refused:
                _log.info("asking for a new access token")
                with self._pool.lend() as client:
                    credentials.refresh(google_auth_httplib2.Request(client))
            headers: dict[str, str] = {}
            credentials.apply(headers)
            return credentials.token, headers

    def _note_date(self, value: str | None) -> None:
        if value:
            with suppress(ValueError):
                parsed = email.utils.parsedate_to_datetime(value).timestamp()
                self._date = (parsed, self._clock.monotonic())
