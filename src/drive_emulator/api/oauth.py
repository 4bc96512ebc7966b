"""OAuth's endpoints, as Google's client libraries expect them; every account consents at once, nobody is identified."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

from drive_emulator.accounts import is_address
from drive_emulator.api.call import ApiResponse, bearer_token, error_response, parse_json, read_bounded, unzipped
from drive_emulator.api.routing import Request, Route
from drive_emulator.drive import Drive
from drive_emulator.errors import ApiError, bad_body, unauthenticated
from drive_emulator.hosts import is_loopback
from drive_emulator.tokens import DRIVE, LIFETIME, Grant

_MAX_FORM = 65_536
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PAGE = """<!doctype html><meta charset="utf-8"><title>Drive emulator</title><h1>Choose an account</h1>
<form>{fields}<p>{accounts}<p><input name="login_hint" type="email" placeholder="somebody@example.com">
<button>Continue</button></form>
"""


def oauth_routes(drive: Drive) -> list[Route]:
    """Return the routes, under the paths that they have at each of Google's hosts."""
    endpoints = (
        ("GET", _consent, ("/o/oauth2/auth", "/o/oauth2/v2/auth")),
        ("POST", _token, ("/token", "/oauth2/v4/token", "/o/oauth2/token")),
        ("POST", _revoke, ("/revoke", "/o/oauth2/revoke")),
        ("GET", _userinfo, ("/v1/userinfo", "/oauth2/v1/userinfo", "/oauth2/v2/userinfo", "/oauth2/v3/userinfo")),
    )
    return [(verb, path, partial(endpoint, drive)) for verb, endpoint, paths in endpoints for path in paths]


async def _consent(drive: Drive, request: Request) -> Response:
    """Show the page that a browser is sent to; it consents at once as ``login_hint``, or asks for an account."""
    if drive.tokens.are_secret:
        return _refused("access_denied", "Only who has a token file may call this Drive.")
    query = request.query_params
    email, redirect = query.get("login_hint", ""), query.get("redirect_uri", "")
    if not _leads_here(redirect):
        return _refused("invalid_request", "redirect_uri must be one of this machine.")
    if not email:
        fields = [_field("hidden", n, v) for n, v in query.multi_items() if n != "login_hint"]
        known = [_field("submit", "login_hint", account.email) for account in drive.accounts.all()]
        return HTMLResponse(_PAGE.format(fields="".join(fields), accounts=" ".join(known)))
    if not is_address(email):
        return _refused("invalid_request", "login_hint must be an address.")
    grant = Grant(email, query.get("client_id", ""), query.get("scope", "") or DRIVE)
    challenge = f"{query.get('code_challenge_method', 'plain')} {query.get('code_challenge', '')}".removesuffix(
        "plain "
    )
    code = drive.tokens.issue_code(grant, challenge)
    answer = {"state": query.get("state", ""), "code": code, "scope": grant.scopes}
    return RedirectResponse(f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(answer)}", 302)


def _leads_here(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")


def _field(kind: str, name: str, value: str) -> str:
    return f'<input type="{kind}" name="{escape(name)}" value="{escape(value)}">'


async def _token(drive: Drive, request: Request) -> Response:
    """Trade a code, a refresh token or a service account's assertion for an access token."""
    form = await _form(request)
    match form.get("grant_type"):
        case "authorization_code":
            grant = _by_code(drive, form)
        case "refresh_token":
            grant = drive.tokens.grant(form.get("refresh_token", ""), kind="refresh")
        case kind if kind == _JWT_BEARER and not drive.tokens.are_secret:
            grant = _by_assertion(drive, form.get("assertion", ""))
        case kind:
            return _refused("unsupported_grant_type", f"Invalid grant_type: {(kind or '')[:100]}")
    if grant is None:
        return _refused("invalid_grant", _REASONS[form["grant_type"]])
    access = drive.tokens.issue_access_token(grant)
    answer = {"access_token": access, "expires_in": LIFETIME, "scope": grant.scopes, "token_type": "Bearer"}
    if form["grant_type"] == "authorization_code":
        answer["refresh_token"] = drive.tokens.issue_refresh_token(grant)
    return ApiResponse(answer)


_REASONS = {
    "authorization_code": "Malformed auth code.",
    "refresh_token": "Token has been expired or revoked.",
    _JWT_BEARER: "Invalid JWT: Token must be a short-lived token (60 minutes) of an account.",
}


def _by_code(drive: Drive, form: dict[str, str]) -> Grant | None:
    grant, challenge = drive.tokens.redeem_code(form.get("code", "")) or (None, "")
    method, _, wanted = challenge.partition(" ")
    verifier = form.get("code_verifier", "")
    if method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return grant if not wanted or verifier == wanted else None


def _by_assertion(drive: Drive, assertion: str) -> Grant | None:
    """Read a drive account's JWT, whose signature nobody checks; ``sub`` is whom it acts for."""
    claims = _claims(assertion)
    email, expires = claims.get("sub") or claims.get("iss"), claims.get("exp")
    now = drive.clock.time()
    if not isinstance(email, str) or not is_address(email) or not isinstance(expires, int | float):
        return None
    scopes = claims.get("scope")
    return Grant(email, str(claims.get("iss")), scopes or DRIVE) if now < expires <= now + 3900 else None


def _claims(assertion: str) -> dict[str, Any]:
    try:
        payload = assertion.split(".")[1]
        claims = parse_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, ApiError):
        return {}
    return claims if isinstance(claims, dict) and isinstance(claims.get("scope", ""), str) else {}


async def _revoke(drive: Drive, request: Request) -> Response:
    """End a token, and with it all that the account granted to the same client."""
    token = request.query_params.get("token") or (await _form(request)).get("token", "")
    grant = drive.tokens.grant(token, kind="refresh") or drive.tokens.grant(token)
    if grant is None:
        return _refused("invalid_token", "Token expired or revoked")
    drive.tokens.revoke(grant.email, grant.client)
    return ApiResponse({})


async def _userinfo(drive: Drive, request: Request) -> Response:
    """Tell whose token it is."""
    try:
        token = bearer_token(request)
        grant = Grant(token) if is_address(token) else drive.tokens.grant(token)
        if grant is None:
            raise unauthenticated()
    except ApiError as error:
        return error_response(error)
    account = drive.tokens.account(grant.email)
    about = {"id": account.permission_id, "sub": account.permission_id, "email": account.email}
    return ApiResponse({**about, "name": account.display_name, "email_verified": True, "verified_email": True})


async def _form(request: Request) -> dict[str, str]:
    try:
        received = unzipped(request, request.stream())
        body = await read_bounded(received, _MAX_FORM, bad_body("The request body is too large."))
    except ApiError:
        return {}
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _refused(error: str, description: str) -> Response:
    return ApiResponse({"error": error, "error_description": description}, 400)
