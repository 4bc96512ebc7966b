"""Who may send requests to a handler."""

from __future__ import annotations

from collections.abc import Callable, Collection

from syft_flwr.settings import load_allowed_senders
from syft_flwr.wire import fold_address, same_address, validate_address

AllowedSenders = Collection[str] | Callable[[str], bool] | None
"""Addresses, or a predicate that tells of an address in lower case; ``None`` for those in the environment."""


class Senders:
    """The senders that one handler answers: those that were named, else those in ``SYFT_FLWR_ALLOWED_SENDERS``.

    Args:
        allowed: Whom the caller has named.

    Raises:
        InvalidNameError: One of them is no e-mail address.
    """

    def __init__(self, allowed: AllowedSenders) -> None:
        self._predicate = allowed if callable(allowed) else None
        self._is_named = allowed is not None
        self.addresses: list[str] = []
        """The addresses, if it is a list."""
        if allowed is not None and not callable(allowed):
            self.addresses = [validate_address(sender) for sender in allowed]

    def look_up(self) -> bool:
        """Take the list from the environment where none was named; return whether there is any.

        Raises:
            InvalidNameError: An address in the environment is none.
        """
        if not self._is_named:
            self.addresses = load_allowed_senders()
        return self._is_named or bool(self.addresses)

    def allow(self, sender: str) -> bool:
        """Tell whether an address may send requests."""
        if self._predicate is not None:
            return self._predicate(fold_address(sender))
        return any(same_address(sender, known) for known in self.addresses)
