"""Node IDs: how Flower's numbers and Drive's addresses belong together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from syft_flwr.addresses import fold_address
from syft_flwr.errors import ConfigurationError

_MASK = 2**63 - 1
_RESERVED = (0, 1)  # "unset" and the SuperLink


def node_id(email: str) -> int:
    """Return the node ID of an address: 63 bits of the SHA-256 of its lower-cased form, never 0 or 1."""
    seed = fold_address(email).encode()
    while True:
        digest = hashlib.sha256(seed).digest()
        number = int.from_bytes(digest[:8], "big") & _MASK
        if number not in _RESERVED:
            return number
        seed = digest


class Nodes:
    """The data owners of a federation, in the order in which they were named."""

    def __init__(self, datasites: Sequence[str]) -> None:
        self._emails = {node_id(email): email for email in datasites}
        if len(self._emails) != len(datasites):
            raise ConfigurationError(f"a data owner is named twice: {', '.join(datasites)}")
        self._abilities: dict[int, frozenset[str]] = {}
        self._positions = {node: position for position, node in enumerate(self._emails)}

    def __iter__(self) -> Iterator[int]:
        return iter(self._emails)

    def __len__(self) -> int:
        return len(self._emails)

    def __contains__(self, node: object) -> bool:
        return node in self._emails

    def email(self, node: int) -> str:
        """Return a node's address.

        Raises:
            KeyError: No data owner has this ID.
        """
        return self._emails[node]

    def learn(self, node: int, abilities: Iterable[str]) -> None:
        """Note what a node can do beyond the wire of existing participants."""
        self._abilities[node] = frozenset(abilities)

    def can(self, node: int, ability: str) -> bool:
        """Tell whether a node has said that it can do something."""
        return ability in self._abilities.get(node, ())

    def position(self, node: int) -> int:
        """Return the place of a node in the list of data owners, counted from 0; unknown nodes come last."""
        return self._positions.get(node, len(self._positions))
