"""Credentials: a token file, Application Default Credentials, a service account, Colab, or the emulator's convention.

Nothing is written: an authorized user's refresh token stays the same for as long as it lives, and an access token is
asked for anew in an hour anyway.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import google.oauth2.credentials
import google.oauth2.service_account

from syft_flwr.errors import CredentialsError
from syft_flwr.settings import TOKEN_VARIABLE, Endpoint
from syft_flwr.wire import same_address

_log = logging.getLogger(__name__)

DRIVE_SCOPE = "https://www.googleapis.com/auth/drive"
"""Needed whole: with ``drive.file``, messages that others wrote stay invisible."""

_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - a public address
_USER_KEYS = ("refresh_token", "client_id", "client_secret")


def load_credentials(endpoint: Endpoint, email: str) -> Any:
    """Return google-auth credentials for the account; no network traffic, except for Colab's own dialogue.

    In this order: the endpoint's token file (an authorized user's, or a service account's key); on the emulator, the
    address as bearer token, and never anything of the machine's own; in Colab, the notebook's user; Application
    Default Credentials. A service account whose address is not ``email`` acts for ``email`` by domain-wide delegation.

    Raises:
        CredentialsError: There are none, or the file can't be used; the message says what to do.
    """
    if endpoint.token_path is not None:
        return _from_file(endpoint.token_path, email)
    if endpoint.is_emulator:
        return google.oauth2.credentials.Credentials(token=email)  # type: ignore[no-untyped-call]
    if "google.colab" in sys.modules:
        _log_in_to_colab()
    return _from_environment(email)


def _from_file(path: Path, email: str) -> Any:
    info = _read_token_file(path)
    try:
        if info.get("type") == "service_account":
            factory: Any = google.oauth2.service_account.Credentials
            credentials = factory.from_service_account_info(info, scopes=[DRIVE_SCOPE])
            return _delegated(credentials, email)
        return _authorized_user(info)
    except (ValueError, TypeError, AttributeError) as error:
        raise CredentialsError(
            f"the token file {path} ({TOKEN_VARIABLE}) is malformed: {error}. It must be an authorized user's file as "
            f"google-auth writes it, with {', '.join(_USER_KEYS)}, or a service account's key."
        ) from error


def _read_token_file(path: Path) -> Mapping[str, Any]:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CredentialsError(
            f"can't read the token file {path}: {reason}. {TOKEN_VARIABLE} must name an authorized user's token file; "
            "log in to write one, or unset it to use Application Default Credentials."
        ) from error
    if mode & 0o077:
        _log.warning("the token file %s can be read by other users; run: chmod 600 %s", path, path)
    try:
        info = json.loads(text)
    except ValueError as error:
        # Without the decoder's own error, which holds the text, and with it the secrets.
        raise CredentialsError(
            f"the token file {path} ({TOKEN_VARIABLE}) is not JSON (line {getattr(error, 'lineno', 1)}). "
            "Log in again to write a new one."
        ) from None
    if not isinstance(info, dict):
        raise CredentialsError(f"the token file {path} ({TOKEN_VARIABLE}) must hold a JSON object")
    return info


def _authorized_user(info: Mapping[str, Any]) -> Any:
    missing = [key for key in _USER_KEYS if not isinstance(info.get(key), str) or not info[key]]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    scopes = info.get("scopes")
    factory: Any = google.oauth2.credentials.Credentials
    # Not from_authorized_user_info(), which overrides the token_uri of the file.
    return factory(
        token=info.get("token"),
        refresh_token=info["refresh_token"],
        token_uri=info.get("token_uri") or _TOKEN_URI,
        client_id=info["client_id"],
        client_secret=info["client_secret"],
        scopes=scopes.split() if isinstance(scopes, str) else scopes,
        quota_project_id=info.get("quota_project_id"),
        expiry=_read_expiry(info.get("expiry")),
    )


def _read_expiry(text: str | None) -> datetime:
    """Read an RFC 3339 time as google-auth wants it: UTC and naive; unknown counts as past, so that it is refreshed."""
    if not text:
        return datetime(1970, 1, 1)  # noqa: DTZ001 - see above
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo is None else parsed.astimezone(UTC).replace(tzinfo=None)


def _from_environment(email: str) -> Any:
    default: Any = google.auth.default
    try:
        credentials, _ = default(scopes=[DRIVE_SCOPE])
    except google.auth.exceptions.GoogleAuthError as error:
        raise CredentialsError(
            f"no credentials for Google Drive: set {TOKEN_VARIABLE} to an authorized user's token file, or log in with "
            f'"gcloud auth application-default login --scopes=openid,{DRIVE_SCOPE}". ({error})'
        ) from error
    return _delegated(credentials, email)


def _delegated(credentials: Any, email: str) -> Any:
    own_address = getattr(credentials, "service_account_email", None)
    if own_address and hasattr(credentials, "with_subject") and not same_address(own_address, email):
        return credentials.with_subject(email)
    return credentials


def _log_in_to_colab() -> None:
    colab_auth: Any = sys.modules["google.colab"].auth
    try:
        colab_auth.authenticate_user()
    except Exception as error:  # Colab's own errors have no common type
        raise CredentialsError(f"Colab did not log in: {error}. Run the cell again and allow the access.") from error
