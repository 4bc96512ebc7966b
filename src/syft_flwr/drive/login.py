"""Log-in and log-out: an OAuth client and a person's consent make a token, which is kept for the account."""

from __future__ import annotations

import json
import os
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import google.auth.exceptions
import google.auth.transport.requests

from syft_flwr.addresses import same_address
from syft_flwr.drive.auth import DRIVE_SCOPE, check_addresses, credentials_of, load_credentials, read_credentials
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.drive.mapping import login_advice, oauth_code
from syft_flwr.drive.tokens import save_token, token_file
from syft_flwr.errors import CredentialsError
from syft_flwr.settings import Endpoint

_INSECURE = "OAUTHLIB_INSECURE_TRANSPORT"
_NOWHERE = "http://localhost:1/"
"""Where the browser ends when no program waits for it: its address bar then shows the code."""


def log_in(file: Path, endpoint: Endpoint, email: str | None, *, ask: Callable[[str], str] | None = None) -> str:
    """Log an account in with an OAuth client file, or keep a service account's key; return the account's address.

    Args:
        file: The OAuth client as downloaded from the Cloud console, or a service account's key.
        endpoint: The Drive to log in to.
        email: The account that it must be; a service account acts for it. ``None`` takes any.
        ask: Shown an address to open, returns the code, or the address at which the browser ended. Without it, a
            browser of this machine is opened.

    Raises:
        CredentialsError: The file is of another sort, the access was refused, or it is another account's.
        DriveError: Drive did not answer as it should.
    """
    info = read_credentials(file)
    if info.get("type") == "service_account":
        email = email or info.get("client_email", "")
    else:
        info = _consent(file, _client(file, info), endpoint, email, ask)
    address = _ask_drive(endpoint, credentials_of(info, email or "", file, endpoint))
    if email is not None and not same_address(address, email):
        raise CredentialsError(f"you logged in as {address}, not as {email}; log in again and choose that account")
    save_token(endpoint, address, info)
    return address


def check(endpoint: Endpoint, email: str) -> None:
    """Ask Drive whether the account's credentials work, and are its own.

    Raises:
        CredentialsError: They are missing, dead, or another account's.
        DriveError: Drive did not answer as it should.
    """
    address = _ask_drive(endpoint, load_credentials(endpoint, email))
    if not same_address(address, email):
        raise CredentialsError(f"these credentials are {address}'s, not {email}'s")


def log_out(endpoint: Endpoint, email: str) -> None:
    """Revoke the account's token, if it is a person's, and remove it. All that is revoked stays so at Drive.

    Raises:
        CredentialsError: The account is not logged in, or the token can't be revoked now; it is then still there.
    """
    path = token_file(endpoint, email)
    if not path.exists():
        raise CredentialsError(f"{email} is not logged in; login --check shows who is")
    info = read_credentials(path)
    if "refresh_token" in info:
        credentials = credentials_of(info, email, path, endpoint)
        _revoke(urljoin(credentials.token_uri, "revoke"), credentials.refresh_token, path)
    path.unlink()


def _client(file: Path, info: Mapping[str, Any]) -> Mapping[str, Any]:
    if "installed" in info:
        return info
    if "web" in info:
        raise CredentialsError(
            f"{file} is an OAuth client of the type Web application; make one of the type Desktop app"
        )
    if "refresh_token" in info:
        raise CredentialsError(f"{file} is a token already: use it with GDRIVE_TOKEN_PATH={file}")
    raise CredentialsError(f"{file} is no OAuth client file; download one of the type Desktop app in the Cloud console")


def _consent(
    file: Path, client: Mapping[str, Any], endpoint: Endpoint, email: str | None, ask: Callable[[str], str] | None
) -> Mapping[str, Any]:
    from google_auth_oauthlib.flow import InstalledAppFlow
    from oauthlib.oauth2 import OAuth2Error

    hint = {"prompt": "consent"} | ({"login_hint": email} if email else {})
    try:
        flow: Any = InstalledAppFlow.from_client_config(client, [DRIVE_SCOPE])
    except ValueError as error:
        raise CredentialsError(
            f"the OAuth client file is malformed: {str(error).rstrip('.')}; download it again"
        ) from error
    check_addresses(client["installed"], file, endpoint)
    try:
        with closing(flow.oauth2session), _plain_http(endpoint):
            if ask is None:
                flow.run_local_server(port=0, **hint)
            else:
                flow.redirect_uri = _NOWHERE
                address, _ = flow.authorization_url(**hint)
                _redeem(flow, ask(address).strip())
            document: Mapping[str, Any] = json.loads(flow.credentials.to_json())
    except webbrowser.Error as error:
        raise CredentialsError("there is no browser here; add --no-browser") from error
    except Warning as error:  # oauthlib's way to say that other scopes were granted than asked for
        raise CredentialsError("the access to Drive was not granted; log in again and tick its box") from error
    except OAuth2Error as error:
        code = error.error or ""
        told = "the address is of another log-in, or not whole" if code == "mismatching_state" else oauth_code(code)
        # A code is redeemed here, so that a dead grant is a mistyped code.
        advice = "Log in again" if code == "invalid_grant" else login_advice(code)
        raise CredentialsError(f"the log-in was refused: {told}. {advice}.") from None
    except OSError as error:
        raise CredentialsError(f"can't reach the log-in's server: {error}") from error
    return document


def _redeem(flow: Any, answer: str) -> None:
    if answer.startswith("http://"):
        # oauthlib takes no plain address, and this one never went over a network.
        flow.fetch_token(authorization_response=answer.replace("http://", "https://", 1))
    else:
        flow.fetch_token(code=answer)


@contextmanager
def _plain_http(endpoint: Endpoint) -> Iterator[None]:
    """Let oauthlib talk to an emulator, which has no TLS; which it allows by a variable alone."""
    if not endpoint.is_emulator or _INSECURE in os.environ:
        yield
        return
    os.environ[_INSECURE] = "1"
    try:
        yield
    finally:
        del os.environ[_INSECURE]


def _ask_drive(endpoint: Endpoint, credentials: Any) -> str:
    with closing(HttpDriveGateway(endpoint, credentials)) as gateway:
        return gateway.about().email


def _revoke(url: str, token: str, path: Path) -> None:
    transport: Any = google.auth.transport.requests.Request()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        status = transport(url, "POST", urlencode({"token": token}).encode(), headers).status
    except google.auth.exceptions.TransportError as error:
        raise CredentialsError(f"can't reach {url} to revoke the token, which is still in {path}") from error
    finally:
        transport.session.close()
    if status not in (200, 400):  # 400: it is dead already
        raise CredentialsError(f"{url} answered {status}; the token is still in {path}")
