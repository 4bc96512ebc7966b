"""A function at work for a pipeline: it answers the requests that are handed over to it."""

from __future__ import annotations

from syft_flwr.exchange.intake import Intake, Route
from syft_flwr.models import Message


class RouteDesk:
    """A :class:`~syft_flwr.feed.replies.Desk` over a route of its own.

    Args:
        intake: Serves the route.
        route: The function, already open for requests.
        stop_timeout: Seconds that :meth:`close` waits for what the function is doing.
    """

    def __init__(self, intake: Intake, route: Route, *, stop_timeout: float) -> None:
        self._intake = intake
        self._route = route
        self._stop_timeout = stop_timeout

    def take(self, message: Message) -> bool:
        return self._intake.take(self._route, message)

    def close(self) -> None:
        self._intake.remove_routes([self._route], self._stop_timeout)
