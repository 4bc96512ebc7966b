"""Who may send requests to a handler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from syft_flwr.addresses import fold_address, same_address
from syft_flwr.settings import ALLOWED_VARIABLE, load_allowed_senders
from syft_flwr.wire import validate_address

_log = logging.getLogger(__name__)

AllowedSenders = Collection[str] | Callable[[str], bool] | None
"""Addresses, or a predicate that tells of an address in lower case; ``None`` for those in the environment."""


class Senders:
    """The senders that one handler answers: those that were named, else those in ``SYFT_FLWR_ALLOWED_SENDERS``.

    Without either it answers every account that shares an inbox with its own, and says so once.

    Args:
        allowed: Whom the caller has named.
        who: Whose senders they are, for that word.

    Raises:
        InvalidNameError: One of them is no e-mail address.
    """

    def __init__(self, allowed: AllowedSenders, who: str) -> None:
        self._who = who
        self._is_open = False
        self._predicate = allowed if callable(allowed) else None
        self._is_named = allowed is not None
        self.addresses: list[str] = []
        """The addresses, if it is a list."""
        if allowed is not None and not callable(allowed):
            self.addresses = [validate_address(sender) for sender in allowed]

    def look_up(self) -> None:
        """Take the list from the environment where none was named; with nobody there, say that all are answered.

        Raises:
            InvalidNameError: An address in the environment is none.
        """
        if self._is_named:
            return
        self.addresses = load_allowed_senders()
        was_open, self._is_open = self._is_open, not self.addresses
        if self._is_open and not was_open:
            _log.warning(
                "%s answers every account that shares an inbox with this one: pass allowed_senders=[...], or set %s, "
                "to name those who may send requests",
                self._who,
                ALLOWED_VARIABLE,
            )

    def allow(self, sender: str) -> bool:
        """Tell whether an address may send requests."""
        if self._predicate is not None:
            return self._predicate(fold_address(sender))
        return self._is_open or any(same_address(sender, known) for known in self.addresses)
