"""One authorised HTTP exchange with Drive: token, answer, our errors, Drive's clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from typing import Any

from syft_flwr.clock import CONTRADICTION
from syft_flwr.drive.mapping import TransportErrors, drive_error, is_googles, parse_date
from syft_flwr.drive.token_request import TokenRequest
from syft_flwr.drive.transport import Head, Sink, Transport
from syft_flwr.errors import CredentialsError
from syft_flwr.ports import Clock

_log = logging.getLogger(__name__)

_SERVICE_ACCOUNT_ADVICE = (
    "Service accounts made since April 2025 have no storage of their own. Use a user's OAuth login "
    "(GDRIVE_TOKEN_PATH), domain-wide delegation to a user, or a shared drive."
)

_WITNESSES = 5
_AGREEMENT = 60.0
"""Seconds over which so many answers must agree on a time that deviates, as it does after a suspension."""


class DriveSession:
    """Sends one request at a time per thread, with a token, and raises our errors. Retries nothing. Thread-safe."""

    def __init__(self, transport: Transport, credentials: Any, clock: Clock) -> None:
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._token_lock = threading.Lock()
        self._token_request = TokenRequest(transport)
        self.ahead: float | None = None
        """What Drive's Unix time is ahead of the monotonic clock; ``None`` before Drive's first answer."""
        self._doubted: list[tuple[float, float]] = []
        """Of answers that agree on another time than what we have: when they came, and what they say it is ahead."""
        delegated = getattr(credentials, "_subject", None)
        self._can_refresh = getattr(credentials, "refresh_token", True) is not None
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
    ) -> tuple[Head, bytes]:
        """Send a request, with one token refresh if Drive answers 401; return the answer's head and body.

        Args:
            api_method: Name of the API method, for errors.
            uri: Absolute URL.
            http_method: HTTP verb.
            body: Bytes in memory.
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
                response, content = self._transport.send(
                    uri, http_method, body, {**(headers or {}), **token_headers}, sink=sink
                )
            self._note_date(response.get("date"))
            if response.status != 401:
                break
            if not is_googles(content) and (refused is not None or not self._can_refresh):
                break  # a proxy asks for a log-in of its own
            if refused is not None:
                raise CredentialsError(f"{api_method}: Drive refuses the account's token (401). Log in again.")
            refused = token
        if response.status >= 300 and response.status not in accept:
            advice = _SERVICE_ACCOUNT_ADVICE if self._is_service_account else ""
            raise drive_error(api_method, response.status, content, response, storage_advice=advice)
        return response, content

    def server_time(self) -> float:
        """Return Drive's clock in Unix seconds: its last ``Date`` and the time since; before that, the local clock."""
        if self.ahead is None:
            return self._clock.time()
        return self.ahead + self._clock.monotonic()

    def _authorise(self, refused: str | None) -> tuple[str, dict[str, str]]:
        """Return a token that is valid and not the one that Drive refused, and the headers that carry it."""
        credentials = self._credentials
        with self._token_lock:
            # Another thread may have replaced the refused token already.
            if not credentials.valid or credentials.token == refused:
                _log.info("asking for a new access token")
                self._transport.raise_if_stopped()
                credentials.refresh(self._token_request)
            headers: dict[str, str] = {}
            credentials.apply(headers)
            return credentials.token, headers

    def _note_date(self, value: str | None) -> None:
        """Learn Drive's time; what jumps is believed once several answers agree, since it may be a proxy's clock."""
        if (date := parse_date(value)) is None:
            return
        now = self._clock.monotonic()
        offset = date - now
        if self.ahead is not None and abs(offset - self.ahead) > CONTRADICTION:
            if abs(now + self.ahead - self._clock.time()) <= CONTRADICTION:
                return  # the machine's clock says that nothing has jumped
            agreeing = [(at, ahead) for at, ahead in self._doubted if abs(ahead - offset) <= CONTRADICTION]
            self._doubted = [*agreeing[: _WITNESSES - 1], (now, offset)]
            if len(self._doubted) < _WITNESSES or now - self._doubted[0][0] < _AGREEMENT:
                return
        self.ahead, self._doubted = offset, []
