"""Routes as Google's: a path with a verb that it does not know is not there at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

Endpoint = Callable[[Request], Awaitable[Response]]


class StrictRoute(Route):
    """A route for one verb; with any other it does not match, where Starlette's would answer 405."""

    def __init__(self, path: str, endpoint: Endpoint, verb: str) -> None:
        super().__init__(path, endpoint, methods=[verb])
        self.methods = {verb}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return (Match.NONE, {}) if match is Match.PARTIAL else (match, child)
