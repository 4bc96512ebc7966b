"""Routes as Google's: a path with a verb that it does not know is not there at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from drive_emulator.errors import ApiError


class Request(StarletteRequest):
    """A request whose headers are a plain dict, names in lower case; of one that comes twice, the last counts."""

    _named: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str]:  # type: ignore[override]
        if self._named is None:
            self._named = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}
        return self._named


Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Route: TypeAlias = tuple[str, str, Endpoint]
"""A verb, a path (a part of it in braces stands for any), and what answers."""


class Router:
    """Finds a path by its text; one with parts in braces among those of as many parts."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._patterns: dict[tuple[str, int], list[tuple[list[str], Endpoint]]] = {}
        for verb, path, endpoint in routes:
            if "{" in path:
                parts = path.split("/")
                self._patterns.setdefault((verb, len(parts)), []).append((parts, endpoint))
            else:
                self._fixed[verb, path] = endpoint

    def find(self, verb: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint, and what stands for the parts in braces.

        Raises:
            ApiError: 404 where there is none.
        """
        if endpoint := self._fixed.get((verb, path)):
            return endpoint, {}
        parts = path.split("/")
        for pattern, endpoint in self._patterns.get((verb, len(parts)), ()):
            pairs = list(zip(pattern, parts, strict=True))
            if all(part if name[:1] == "{" else name == part for name, part in pairs):
                return endpoint, {name[1:-1]: part for name, part in pairs if name[:1] == "{"}
        raise ApiError(404, "notFound", f"Not Found: the emulator does not serve {verb[:20]} {path[:200]}")
