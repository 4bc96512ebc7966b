"""Asks a data owner what may run."""

from __future__ import annotations

import sys
from urllib.parse import quote

from syft_flwr.cli.output import confirm, say
from syft_flwr.errors import ConfigurationError
from syft_flwr.flower.consent import Approvals, ConsentRequest, matches, override_lines
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.project import Config, ConfigValue, FlowerProject
from syft_flwr.flower.roles import account_directory
from syft_flwr.flower.transport import ENDPOINT, wire_app_name
from syft_flwr.printable import printable


class Consent:
    """One owner's consent to one project: asked for on the terminal, or given on the command line."""

    def __init__(
        self, project: FlowerProject, parties: Parties, email: str, *, auto_approve: bool, sandboxed: bool = False
    ) -> None:
        """Look at the project; nothing of it is executed.

        Raises:
            FlowerError, OSError: It can't be read.
        """
        endpoint = f"{wire_app_name(project.app_name)}/{ENDPOINT}"
        self._request = ConsentRequest(project, project.code_hash(), parties.aggregator, endpoint, sandboxed)
        name = quote(project.app_name, safe="")
        self._approvals = Approvals(account_directory(email) / "approvals" / f"{name}.json")
        self._auto_approve = auto_approve

    @property
    def code_hash(self) -> str:
        """The state of the project that may run; empty for any, which needs no approval in a rehearsal."""
        return "" if self._auto_approve else self._request.code_hash

    def ask(self, given: str | None, overrides: Config) -> None:
        """Show what would run, and return if that is approved.

        Args:
            given: The hash that the command line approves.
            overrides: The aggregator's changes of the run config that it approves.

        Raises:
            ConfigurationError: It is not approved.
            StateError: What was approved before can't be trusted.
        """
        for line in self._request.lines():
            say(line, err=True, indent=12)
        if self._auto_approve:
            return
        if not self._approvals.covers(self._request):
            self._approve(given)
        if overrides:
            self._approvals.approve_overrides(self._request, overrides)

    def lets_override(self, config: Config) -> bool:
        """Tell whether the aggregator may change the run config so; on a terminal, ask."""
        if self._auto_approve or self._approvals.covers_overrides(self._request, config):
            return True
        for line in override_lines(self._request.project, config):
            say(line, err=True, indent=12)
        if not sys.stdin.isatty():
            wanted = " ".join(f"{key}={_toml(value)}" for key, value in sorted(config.items()))
            say(f"not approved; to let it pass, add --approve-config {printable(wanted, 1_000)!r}", err=True)
            return False
        if not confirm(f"Let {printable(self._request.aggregator)} change the run config so?"):
            return False
        self._approvals.approve_overrides(self._request, config)
        return True

    def _approve(self, given: str | None) -> None:
        request = self._request
        if given is not None:
            if not matches(request, given):
                raise ConfigurationError(f"the files here have another hash than {given}: {request.code_hash}")
        elif not sys.stdin.isatty():
            raise ConfigurationError(
                f"this state of the project is not approved. Look at it, then add --approve {request.code_hash}; "
                "for rehearsals there is --auto-approve"
            )
        elif not confirm("Let this code run on this data?"):
            raise ConfigurationError("not approved; nothing of the project was run")
        self._approvals.approve(request)


def _toml(value: ConfigValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
