"""When two e-mail addresses are one."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(1_000)
def fold_address(address: str) -> str:
    """Return an e-mail address without regard to case, for comparisons; only ASCII letters have one here."""
    return address.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def same_address(a: str, b: str) -> bool:
    """Compare two e-mail addresses as Drive does, without regard to case."""
    return fold_address(a) == fold_address(b)
