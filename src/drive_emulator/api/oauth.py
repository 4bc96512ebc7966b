"""OAuth's endpoints, as google-auth and google-auth-oauthlib expect them; every account consents at once."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from drive_emulator.accounts import is_address
from drive_emulator.api.call import ApiResponse
from drive_emulator.api.routing import Endpoint
from drive_emulator.service import Service
from drive_emulator.tokens import LIFETIME

_MAX_FORM = 65_536
_SCOPE = "https://www.googleapis.com/auth/drive"


def consent_endpoint(service: Service) -> Endpoint:
    """Return the endpoint that a browser is sent to; it consents at once, as the account of ``login_hint``."""

    async def endpoint(request: Request) -> Response:
        query = request.query_params
        email, redirect = query.get("login_hint", ""), query.get("redirect_uri", "")
        if not is_address(email) or urlsplit(redirect).hostname not in ("localhost", "127.0.0.1"):
            return _refused("invalid_request", "login_hint must be an address, redirect_uri one of this machine.")
        answer = {"state": query.get("state", ""), "code": service.tokens.issue_code(email), "scope": _SCOPE}
        return RedirectResponse(f"{redirect}?{urlencode(answer)}", 302)

    return endpoint


def token_endpoint(service: Service) -> Endpoint:
    """Return the endpoint that trades an authorization code or a refresh token for an access token."""

    async def endpoint(request: Request) -> Response:
        form = await _form(request)
        if form.get("grant_type") not in ("authorization_code", "refresh_token"):
            return _refused("unsupported_grant_type", "Invalid grant_type: " + form.get("grant_type", "")[:100])
        by_code = form["grant_type"] == "authorization_code"
        refresh = service.tokens.redeem_code(form.get("code", "")) if by_code else form.get("refresh_token", "")
        access = service.tokens.refresh(refresh or "")
        if access is None:
            return _refused(
                "invalid_grant", "Malformed auth code." if by_code else "Token has been expired or revoked."
            )
        answer = {"access_token": access, "expires_in": LIFETIME, "scope": _SCOPE, "token_type": "Bearer"}
        return ApiResponse(answer | ({"refresh_token": refresh} if by_code else {}))

    return endpoint


def revoke_endpoint(service: Service) -> Endpoint:
    """Return the endpoint that ends a token, and with it all that the account granted."""

    async def endpoint(request: Request) -> Response:
        token = request.query_params.get("token") or (await _form(request)).get("token", "")
        if (email := service.tokens.account_of(token)) is None:
            return _refused("invalid_token", "Token expired or revoked")
        service.tokens.revoke(email)
        return ApiResponse({})

    return endpoint


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM:
            return {}
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _refused(error: str, description: str) -> Response:
    return ApiResponse({"error": error, "error_description": description}, 400)
