"""Names that clients of Drive know by heart, and loopback's."""

from __future__ import annotations

from ipaddress import ip_address

GOOGLES_HOSTS = ("www.googleapis.com", "oauth2.googleapis.com", "accounts.google.com", "openidconnect.googleapis.com")


def is_loopback(name: str) -> bool:
    """Tell whether a name or an address leads to this machine and nowhere else."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def address_of(host: str, port: int) -> str:
    """Return what stands in a URL: ``127.0.0.1:8085``, ``[::1]:8085``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
