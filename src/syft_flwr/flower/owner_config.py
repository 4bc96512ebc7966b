"""What a data owner's app gets, and what of it the aggregator may change: pure decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from syft_flwr.flower.project import Config, ConfigValue


@dataclass(frozen=True, slots=True)
class OwnerConfig:
    """Who this data owner is and what its app gets.

    ``node_config`` is this owner's own, ``run_config`` the project's. ``run_overrides`` are this owner's changes of
    it; they win over the aggregator's, of which only those take effect that ``lets_override`` lets pass. ``stays`` is
    whether it is there all the time, and not now and then only.
    """

    email: str
    node_config: Config = field(default_factory=dict)
    run_config: Config = field(default_factory=dict)
    run_overrides: Config = field(default_factory=dict)
    project_hash: str = ""
    stays: bool = True
    lets_override: Callable[[Config], bool] = lambda _: True

    def merged(self, asked: Config) -> dict[str, ConfigValue]:
        """Return what the app gets as its run config, where the aggregator asks for these values."""
        known = {key: value for key, value in asked.items() if key in self.run_config}
        return {**self.run_config, **known, **self.run_overrides}

    def changes(self, asked: Config) -> dict[str, ConfigValue]:
        """Return those of the values the aggregator asks for that would take effect, and are not the project's."""
        ours, merged = self.run_config, self.merged(asked)
        changed = {key: value for key, value in merged.items() if key not in self.run_overrides}
        return {key: value for key, value in changed.items() if (type(value), value) != (type(ours[key]), ours[key])}
