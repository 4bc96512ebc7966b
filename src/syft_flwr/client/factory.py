"""Choose the transport and the account from what the caller, the project and the environment say."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from syft_flwr.client.base import SyftFlwrClient
from syft_flwr.client.p2p import SyftP2PClient
from syft_flwr.errors import ConfigurationError
from syft_flwr.project_table import load_project
from syft_flwr.settings import EMAIL_VARIABLE, load_email

_log = logging.getLogger(__name__)


def create_client(
    transport: str | None = None,
    project_dir: str | Path | None = None,
    email: str | None = None,
    **kwargs: Any,
) -> SyftFlwrClient:
    """Create the client of this participant.

    The transport is ``transport``, else ``[tool.syft_flwr].transport`` of the project, else "p2p" when
    ``SYFTBOX_EMAIL`` is set. The address is ``email``, else ``SYFTBOX_EMAIL``.

    Args:
        transport: Only ``"p2p"`` can be served by this package.
        project_dir: Directory of a project's ``pyproject.toml``.
        email: The account's address.
        **kwargs: Options of other transports; p2p ignores them with a warning.

    Raises:
        ConfigurationError: The transport is not ``"p2p"``.
        RuntimeError: Nothing says which transport to use.
        ValueError: The transport is p2p, but no address is known.
    """
    if transport is None and project_dir is not None:
        transport = load_project(Path(project_dir)).get("transport")
    address = load_email(email)
    if transport is None and load_email() is not None:
        transport = "p2p"
    if transport is None:
        raise RuntimeError(
            "can't tell which transport to use: pass transport='p2p', put transport = \"p2p\" under "
            f"[tool.syft_flwr] in the project's pyproject.toml, or set {EMAIL_VARIABLE}"
        )
    if transport != "p2p":
        raise ConfigurationError(
            f"transport {transport!r} is not part of this package, which serves 'p2p' over Google Drive only"
            + ("; the 'syftbox' transport needs a local SyftBox installation" if transport == "syftbox" else "")
        )
    if kwargs:
        _log.warning("the p2p transport ignores the options %s", ", ".join(sorted(kwargs)))
    if address is None:
        raise ValueError(f"the p2p transport needs an account: pass email='you@example.com' or set {EMAIL_VARIABLE}")
    return SyftP2PClient(address)
