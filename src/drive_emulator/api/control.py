"""The control plane: statistics, the request log, faults and time. Not Drive's; on only when asked for."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from starlette.responses import Response

from drive_emulator import snapshots
from drive_emulator.accounts import is_address
from drive_emulator.alterations import Alteration, alter
from drive_emulator.api.call import MAX_JSON, ApiResponse, bearer_token, error_response, parse_json, to_number
from drive_emulator.api.routing import Endpoint, Request, Route
from drive_emulator.clock import to_timestamp
from drive_emulator.drive import Drive
from drive_emulator.errors import ApiError, forbidden, invalid, not_found
from drive_emulator.faults import End, Fault, FaultKind
from drive_emulator.feed_behaviour import FeedBehaviour
from drive_emulator.model import File
from drive_emulator.records import FILE_COLUMNS, load_file, to_file
from drive_emulator.tokens import DRIVE, Grant

Action = Callable[[Drive, Request, Any], Any]


def control_routes(drive: Drive, token: str) -> list[Route]:
    """Return the routes under ``/emulator``; each takes and answers JSON, and wants the bearer token."""
    actions: list[tuple[str, str, Action]] = [
        ("GET", "/stats", lambda s, _r, _b: s.meter.stats()),
        ("GET", "/requests", lambda s, _r, _b: s.meter.requests()),
        ("DELETE", "/requests", _clear_log),
        ("POST", "/reset", _reset),
        ("GET", "/files", _files),
        ("GET", "/accounts", lambda s, _r, _b: [asdict(account) for account in s.accounts.all()]),
        ("GET", "/faults", lambda s, _r, _b: s.faults.list()),
        ("POST", "/faults", lambda s, _r, b: {"id": s.faults.add(_parse_fault(b))}),
        ("DELETE", "/faults", lambda s, _r, _b: s.faults.clear()),
        ("DELETE", "/faults/{number}", _remove_fault),
        ("POST", "/seed", _seed),
        ("GET", "/behaviour", lambda s, _r, _b: asdict(s.behaviour)),
        ("PATCH", "/behaviour", _set_behaviour),
        ("POST", "/advance", _advance),
        ("POST", "/save", lambda s, _r, b: snapshots.save(s, _path_of(b))),
        ("POST", "/load", lambda s, _r, b: snapshots.load(s, _path_of(b))),
        ("POST", "/touch", _touch),
        ("PATCH", "/files/{file_id}", _alter),
        ("POST", "/tokens", _issue_tokens),
        ("POST", "/opened", _open),
        ("POST", "/tokens/expire", lambda s, _r, b: s.tokens.expire(_email(b))),
        ("POST", "/tokens/revoke", lambda s, _r, b: s.tokens.revoke(_email(b))),
    ]
    return [(verb, f"/emulator{path}", _endpoint(drive, token, action)) for verb, path, action in actions]


def _endpoint(drive: Drive, token: str, action: Action) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            if not secrets.compare_digest(bearer_token(request).encode(), token.encode()):
                raise forbidden("forbidden", "The control plane takes the token that the emulator printed.")
            body = await request.body()
            if len(body) > MAX_JSON:
                raise invalid("body")
            return ApiResponse(action(drive, request, parse_json(body)))
        except ApiError as error:
            return error_response(error)

    return endpoint


def _clear_log(drive: Drive, _request: Request, _body: Any) -> None:
    drive.meter.clear()


def _remove_fault(drive: Drive, request: Request, _body: Any) -> None:
    drive.faults.remove(to_number(request.path_params["number"], 2**31) or 0)


def _reset(drive: Drive, _request: Request, _body: Any) -> None:
    drive.reset()
    drive.meter.clear()
    drive.faults.clear()
    for field in fields(FeedBehaviour):
        setattr(drive.behaviour, field.name, field.default)


def _files(drive: Drive, request: Request, _body: Any) -> list[dict[str, Any]]:
    with_content = request.query_params.get("content") == "true"
    sql = (
        f"SELECT {FILE_COLUMNS} FROM file f WHERE id NOT IN (SELECT root_id FROM account)"  # noqa: S608 - constants
        " AND (parent IS NOT NULL OR id NOT IN (SELECT file_id FROM view WHERE app IS NOT NULL)) ORDER BY n"
    )
    rows = drive.database.rows(sql)
    return [_describe(drive, to_file(row), with_content=with_content) for row in rows]


def _describe(drive: Drive, file: File, *, with_content: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": file.id,
        "name": file.name,
        "path": "/".join(_path(drive, file)),
        "mime_type": file.mime_type,
        "parent": file.parent,
        "owner": drive.accounts.show(file.owner).email,
        "trashed": file.trashed,
        "created_time": to_timestamp(file.created),
        "size": None if file.content is None else file.content.size,
        "roles": {p.grantee or p.id: p.role for p in drive.access.effective_permissions(file)},
        "properties": dict(file.properties),
        "content": None,
    }
    if with_content and file.content is not None:
        content = b"".join(drive.blobs.read(file.content.blob, 0, file.content.size))
        described["content"] = base64.b64encode(content).decode()
    return described


def _path(drive: Drive, file: File) -> list[str]:
    names = [file.name]
    while file.parent is not None and (folder := load_file(drive.database, file.parent)) is not None:
        names.insert(0, folder.name)
        file = folder
    return names


def _seed(drive: Drive, _request: Request, body: Any) -> None:
    drive.faults.seed(int(_number(body, "seed")))


def _advance(drive: Drive, _request: Request, body: Any) -> dict[str, float]:
    seconds = _number(body, "seconds")
    if not 0 <= seconds < 1e9:
        raise invalid("seconds", "The clock only goes forward.")
    drive.clock.advance(seconds)
    return {"time": drive.clock.time()}


def _set_behaviour(drive: Drive, _request: Request, body: Any) -> dict[str, Any]:
    for name, value in _conform(FeedBehaviour, body).items():
        setattr(drive.behaviour, name, value)
    return asdict(drive.behaviour)


def _issue_tokens(drive: Drive, _request: Request, body: Any) -> dict[str, str]:
    grant = Grant(_email(body), _text(body, "client", "emulator"), _text(body, "scopes", DRIVE))
    tokens = drive.tokens
    return {"access_token": tokens.issue_access_token(grant), "refresh_token": tokens.issue_refresh_token(grant)}


def _open(drive: Drive, _request: Request, body: Any) -> None:
    """Let an OAuth client with the scope ``drive.file`` see a file, as a file picker does."""
    account = replace(drive.tokens.account(_email(body)), client=_text(body, "client", "emulator"))
    file = drive.access.find(account, _text(body, "file_id", ""))
    with drive.database.transaction():
        drive.access.open(account, file.id)


def _alter(drive: Drive, request: Request, body: Any) -> None:
    alter(drive, request.path_params["file_id"], Alteration(**_conform(Alteration, body)))


def _touch(drive: Drive, _request: Request, body: Any) -> None:
    """Put a file into an account's feed although nothing changed."""
    email, file_id = _email(body), body.get("file_id")
    sql = "SELECT role FROM view WHERE account = ? AND file_id = ?"
    if (row := drive.database.row(sql, email.lower(), str(file_id))) is None:
        raise not_found(str(file_id))
    with drive.database.transaction():
        drive.changes.append(str(file_id), {email.lower(): row[0]})


def _email(body: Any) -> str:
    email = body.get("email") if isinstance(body, dict) else None
    if not isinstance(email, str) or not is_address(email):
        raise invalid("email", "An e-mail address is needed.")
    return email


def _path_of(body: Any) -> Path:
    path = Path(_text(body, "path", "") if isinstance(body, dict) else "")
    if not path.is_absolute() or "\0" in str(path):
        raise invalid("path", "The path of a snapshot is absolute.")
    return path


def _text(body: Any, name: str, default: str) -> str:
    text = body.get(name, default)
    if not isinstance(text, str):
        raise invalid(name, f"{name} is a text.")
    return text


def _number(body: Any, name: str) -> float:
    value = body.get(name) if isinstance(body, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:  # nor infinite, nor NaN
        raise invalid(name, f"{name} must be a number.")
    return value


def _parse_fault(body: Any) -> Fault:
    """Read a fault from JSON."""
    values = _conform(Fault, body)
    if "kind" not in values:
        raise invalid("kind", f"A fault's kind is one of {', '.join(get_args(FaultKind))}.")
    fault = Fault(**values)
    if fault.when == "during" and fault.kind not in get_args(End):
        raise invalid("when", "Only a reset or a close can strike during a transfer.")
    if fault.status is not None and not 400 <= fault.status <= 599:
        raise invalid("status", "The status of an error is from 400 to 599.")
    if fault.kind == "bandwidth" and fault.bytes_per_second < 1:
        raise invalid("bytes_per_second", "A bandwidth is at least one byte a second.")
    fault.alteration().check()
    return fault


def _conform(kind: type, body: Any) -> dict[str, Any]:
    """Return the values that a JSON object gives for fields of a dataclass; refuse what does not fit its types."""
    if not isinstance(body, dict):
        raise invalid("body", f"A {kind.__name__} is a JSON object.")
    hints = get_type_hints(kind)
    for name, value in body.items():
        if name not in hints or not _fits(value, hints[name]):
            raise invalid(str(name), f"{name} can't be {value!r}.")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(_fits(value, each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool) and 0 <= value < 1e9
    return isinstance(value, get_origin(hint) or hint)
