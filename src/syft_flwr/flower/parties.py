"""Who takes part in a federation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from syft_flwr.addresses import fold_address, same_address
from syft_flwr.errors import ConfigurationError
from syft_flwr.wire import validate_address

if TYPE_CHECKING:  # importing it imports Flower
    from syft_flwr.flower.project import FlowerProject

Role = Literal["aggregator", "owner"]


@dataclass(frozen=True, slots=True)
class Parties:
    """The aggregator's address, and those of the data owners."""

    aggregator: str
    datasites: tuple[str, ...]

    @classmethod
    def checked(cls, aggregator: str, datasites: Sequence[str]) -> Parties:
        """Return the parties of these addresses.

        Raises:
            ConfigurationError: There is no data owner, or somebody is named twice.
            InvalidNameError: One is no e-mail address.
        """
        parties = cls(validate_address(aggregator), tuple(validate_address(email) for email in datasites))
        if not parties.datasites:
            raise ConfigurationError(
                "no data owners: name them with --datasite, or in [tool.syft_flwr] with 'syft-flwr bootstrap'"
            )
        if any(same_address(aggregator, email) for email in parties.datasites):
            raise ConfigurationError(f"{aggregator} can't be the aggregator and a data owner at once")
        if len({fold_address(email) for email in parties.datasites}) != len(parties.datasites):
            raise ConfigurationError(f"a data owner is named twice: {', '.join(parties.datasites)}")
        return parties

    @classmethod
    def of(cls, project: FlowerProject, aggregator: str | None, datasites: Sequence[str]) -> Parties:
        """Return the parties: those given, else those in the project's ``[tool.syft_flwr]``.

        Raises:
            ConfigurationError: Nobody is named, or somebody twice.
            InvalidNameError: One is no e-mail address.
        """
        leader = aggregator or project.aggregator
        if not leader:
            raise ConfigurationError(
                f"the project {project.name} names no aggregator: pass --aggregator, or write it into the project with "
                "'syft-flwr bootstrap'"
            )
        return cls.checked(leader, datasites or project.datasites)

    def role_of(self, email: str) -> Role:
        """Return what an account is in this federation.

        Raises:
            ConfigurationError: It does not take part.
        """
        if same_address(email, self.aggregator):
            return "aggregator"
        if any(same_address(email, owner) for owner in self.datasites):
            return "owner"
        raise ConfigurationError(
            f"{email} takes no part in this project: its aggregator is {self.aggregator}, its data owners are "
            f"{', '.join(self.datasites)}"
        )
