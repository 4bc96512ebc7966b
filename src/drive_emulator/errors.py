"""The emulator's own error, and those that Drive reports: a status, a reason, and what part of the request is wrong."""

from __future__ import annotations

from typing import Any


class EmulatorError(RuntimeError):
    """The emulator can't start or can't use its directory; the message says what to do."""


class ApiError(Exception):
    """An answer other than 2xx, in Google's envelope, with a ``reason`` such as ``"notFound"``.

    The ``location`` is the parameter or header at fault; the ``summary`` is what the envelope says, where its one entry
    says something else; ``details`` are for newer clients.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        location: str | None = None,
        location_type: str = "parameter",
        domain: str = "global",
        headers: dict[str, str] | None = None,
        summary: str | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.location = location
        self.location_type = location_type
        self.domain = domain
        self.headers = headers or {}
        self.summary = summary or message
        self.details = details or []

    def body(self) -> dict[str, Any]:
        """Return Google's error envelope (https://developers.google.com/workspace/drive/api/guides/handle-errors)."""
        entry: dict[str, Any] = {"message": self.message, "domain": self.domain, "reason": self.reason}
        if self.location is not None:
            entry |= {"location": self.location, "locationType": self.location_type}
        error: dict[str, Any] = {"code": self.status, "message": self.summary, "errors": [entry]}
        if self.summary != self.message:  # the newer form, of what stands before Drive itself
            error["status"] = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}[self.status]
        if self.details:
            error["details"] = self.details
        return {"error": error}


def not_found(file_id: str) -> ApiError:
    """What the caller can't see does not exist: 404, never 403."""
    return ApiError(404, "notFound", f"File not found: {file_id}.", location="fileId")


def no_shared_drive(drive_id: str) -> ApiError:
    """The accounts are personal ones."""
    return ApiError(404, "notFound", f"Shared drive not found: {drive_id}", location="driveId")


def invalid(parameter: str, message: str = "Invalid Value") -> ApiError:
    return ApiError(400, "invalid", message, location=parameter)


def required(parameter: str, message: str) -> ApiError:
    return ApiError(400, "required", message, location=parameter)


def bad_body(message: str) -> ApiError:
    return ApiError(400, "parseError", message)


def forbidden(reason: str, message: str) -> ApiError:
    return ApiError(403, reason, message)


def insufficient_file_permissions(file_id: str) -> ApiError:
    message = f"The user does not have sufficient permissions for file {file_id}."
    return forbidden("insufficientFilePermissions", message)


_EXPECTED = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


def unauthenticated() -> ApiError:
    """A token that is unknown or has expired."""
    summary = f"Request had invalid authentication credentials. {_EXPECTED}"
    return _about_token(401, "authError", "Invalid Credentials", summary, challenge="invalid_token")


def login_required() -> ApiError:
    """A request without any token."""
    summary = f"Request is missing required authentication credential. {_EXPECTED}"
    return _about_token(401, "required", "Login Required.", summary, info="CREDENTIALS_MISSING")


def insufficient_scope(method: str) -> ApiError:
    """A token whose scopes do not cover the method."""
    summary = "Request had insufficient authentication scopes."
    return _about_token(
        403,
        "insufficientPermissions",
        "Insufficient Permission",
        summary,
        challenge="insufficient_scope",
        info="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        method=method,
    )


def _about_token(
    status: int, reason: str, message: str, summary: str, *, challenge: str = "", info: str = "", method: str = ""
) -> ApiError:
    realm = 'Bearer realm="https://accounts.google.com/"'
    metadata = {"service": "drive.googleapis.com"} | ({"method": method} if method else {})
    details = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": info, "domain": "googleapis.com"}
    return ApiError(
        status,
        reason,
        message,
        location="Authorization" if status == 401 else None,
        location_type="header",
        headers={"WWW-Authenticate": f'{realm}, error="{challenge}"' if challenge else realm},
        summary=summary,
        details=[{**details, "metadata": metadata}] if info else [],
    )
