"""Credentials: a token file, a log-in, a service account, Colab, Application Default Credentials, the emulator's way.

Nothing is written here: an authorized user's refresh token stays the same for as long as it lives, and an access token
is asked for anew in an hour anyway.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import google.oauth2.credentials
import google.oauth2.service_account
from google.auth import environment_vars

from syft_flwr.addresses import same_address
from syft_flwr.drive.tokens import token_file
from syft_flwr.errors import CredentialsError
from syft_flwr.settings import EMULATOR_VARIABLE, TOKEN_VARIABLE, Endpoint, is_loopback

_log = logging.getLogger(__name__)

DRIVE_SCOPE = "https://www.googleapis.com/auth/drive"
"""Needed whole: with ``drive.file``, messages that others wrote stay invisible."""

_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - a public address
_USER_KEYS = ("refresh_token", "client_id", "client_secret")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an account's credentials come from, in words, and the file if they are in one of ours."""

    words: str
    path: Path | None = None


EMULATORS_WAY = Source("the address itself, which is a token for the emulator")
COLABS_WAY = Source("the user of this Colab notebook")
DEFAULT = Source("Application Default Credentials")


def find_source(endpoint: Endpoint, email: str) -> Source:
    """Return which of the account's credentials are used: the first of these that there are.

    The endpoint's token file (an authorized user's, or a service account's key); what ``syft-flwr login`` wrote for
    the account; on the emulator, the address as bearer token, and never anything of the machine's own; in Colab, the
    notebook's user; Application Default Credentials.
    """
    if endpoint.token_path is not None:
        return Source(f"the file {endpoint.token_path}, which {TOKEN_VARIABLE} names", endpoint.token_path)
    if (path := token_file(endpoint, email)).exists():
        return Source(f"the log-in of {email}, {path}", path)
    if endpoint.is_emulator:
        return EMULATORS_WAY
    return COLABS_WAY if "google.colab" in sys.modules else DEFAULT


def load_credentials(endpoint: Endpoint, email: str) -> Any:
    """Return google-auth credentials for the account; no network traffic, except for Colab's own dialogue.

    They are those of :func:`find_source`. A service account whose address is not ``email`` acts for ``email`` by
    domain-wide delegation.

    Raises:
        CredentialsError: There are none, or the file can't be used; the message says what to do.
    """
    source = find_source(endpoint, email)
    if source.path is not None:
        return credentials_of(read_credentials(source.path), email, source.path, endpoint)
    if source is EMULATORS_WAY:
        return google.oauth2.credentials.Credentials(token=email)  # type: ignore[no-untyped-call]
    if source is COLABS_WAY:
        _log_in_to_colab()
    return _from_environment(email)


def credentials_of(info: Mapping[str, Any], email: str, path: Path, endpoint: Endpoint) -> Any:
    """Return google-auth credentials made of a token file's content.

    Raises:
        CredentialsError: It is neither an authorized user's nor a service account's, or not for this Drive; ``path``
            is named.
    """
    _refuse_client(info, path, TOKEN_VARIABLE)
    check_addresses({"token_uri": _TOKEN_URI, **info}, path, endpoint)
    try:
        if info.get("type") == "service_account":
            factory: Any = google.oauth2.service_account.Credentials
            credentials = factory.from_service_account_info(info, scopes=[DRIVE_SCOPE])
            return _delegated(credentials, email)
        return _authorized_user(info)
    except (ValueError, TypeError, AttributeError) as error:
        raise CredentialsError(
            f"the token file {path} is malformed: {error}. It must be an authorized user's file as "
            f"google-auth writes it, with {', '.join(_USER_KEYS)}, or a service account's key."
        ) from error


def check_addresses(info: Mapping[str, Any], path: Path, endpoint: Endpoint) -> None:
    """Check where a file of credentials sends its secrets: to Google encrypted, or to an emulator on this machine.

    Raises:
        CredentialsError: An address of it is neither, or an emulator would get a token that is good elsewhere.
    """
    for name in ("token_uri", "auth_uri"):
        if (address := info.get(name)) is None:
            continue
        is_local = isinstance(address, str) and is_loopback(address)
        if not is_local and not str(address).startswith("https://"):
            raise CredentialsError(f"the {name} in {path} must begin with https://, or be this machine's own")
        if endpoint.is_emulator and not is_local:
            raise CredentialsError(
                f"{path} is for a Drive that is no emulator, and is not sent to the one at {endpoint.url}; unset "
                f"{TOKEN_VARIABLE}, or unset DRIVE_EMULATOR_HOST"
            )


def read_credentials(path: Path) -> Mapping[str, Any]:
    """Return what a file of credentials holds, whatever their sort.

    Raises:
        CredentialsError: It can't be read, or holds no JSON object; never with any of its text.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CredentialsError(
            f"can't read {path}: {reason}. Log in to have a token for the account: syft-flwr login CLIENT_FILE; or "
            f"name an authorized user's token file in {TOKEN_VARIABLE}."
        ) from error
    if mode & 0o077:
        _log.warning("%s holds secrets and can be read by other users; run: chmod 600 %s", path, path)
    try:
        info = json.loads(text)
    except ValueError as error:
        # Without the decoder's own error, which holds the text, and with it the secrets.
        raise CredentialsError(
            f"{path} is not JSON (line {getattr(error, 'lineno', 1)}). Log in again, or download it again."
        ) from None
    if not isinstance(info, dict):
        raise CredentialsError(f"{path} must hold a JSON object")
    return info


def _authorized_user(info: Mapping[str, Any]) -> Any:
    missing = [key for key in _USER_KEYS if not isinstance(info.get(key), str) or not info[key]]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    scopes, token = info.get("scopes"), info.get("token")
    factory: Any = google.oauth2.credentials.Credentials
    # Not from_authorized_user_info(), which overrides the token_uri of the file.
    return factory(
        token=token if isinstance(token, str) and token and token.isascii() and token.isprintable() else None,
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


def _refuse_client(info: Mapping[str, Any], path: Path, variable: str) -> None:
    if "installed" in info or "web" in info:
        raise CredentialsError(
            f"{path} is the OAuth client, not a token; unset {variable}, and log in with it: syft-flwr login {path}"
        )


def _from_environment(email: str) -> Any:
    default: Any = google.auth.default
    if named := os.environ.get(environment_vars.CREDENTIALS):
        _refuse_client(read_credentials(Path(named)), Path(named), environment_vars.CREDENTIALS)
    try:
        credentials, _ = default(scopes=[DRIVE_SCOPE])
    except google.auth.exceptions.GoogleAuthError as error:
        # Of what was looked for nothing was there, or else what was there can't be used.
        reason = "" if "were not found" in str(error) else f" ({error})"
        raise CredentialsError(
            f"no credentials for Google Drive{reason}. Log in: syft-flwr login CLIENT_FILE; or try without an account: "
            f"run syft-flwr emulator, and set {EMULATOR_VARIABLE} as it says; or set {TOKEN_VARIABLE} to a token file; "
            f"or run: gcloud auth application-default login --client-id-file=CLIENT_FILE --scopes={DRIVE_SCOPE},"
            "https://www.googleapis.com/auth/cloud-platform"
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
