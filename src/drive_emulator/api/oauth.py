"""The OAuth token endpoint, as google-auth's refresh expects it."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from drive_emulator.api.call import ApiResponse
from drive_emulator.api.routing import Endpoint
from drive_emulator.service import Service
from drive_emulator.tokens import LIFETIME

_MAX_FORM = 65_536


def token_endpoint(service: Service) -> Endpoint:
    """Return the endpoint that trades a refresh token for an access token."""

    async def endpoint(request: Request) -> Response:
        form = await _form(request)
        if form.get("grant_type") != "refresh_token":
            return _refused("unsupported_grant_type", "Invalid grant_type: " + form.get("grant_type", "")[:100])
        access = service.tokens.refresh(form.get("refresh_token", ""))
        if access is None:
            return _refused("invalid_grant", "Token has been expired or revoked.")
        return ApiResponse(
            {
                "access_token": access,
                "expires_in": LIFETIME,
                "scope": "https://www.googleapis.com/auth/drive",
                "token_type": "Bearer",
            }
        )

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
