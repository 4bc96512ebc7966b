"""A Flower project on disk: an ordinary ``[tool.flwr.app]`` project, with or without ``[tool.syft_flwr]``."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower._compat import check_reference, get_fused_config_from_dir, get_project_config, parse_config_args
from syft_flwr.flower.project_files import hash_of, read_files, uncovered
from syft_flwr.project_table import load_project
from syft_flwr.suggestions import near_match

ROUNDS_KEY = "num-server-rounds"
"""The run-config key for the number of rounds, as Flower's own templates name it."""

_SETTING = re.compile(r"""(\S+?)=('[^']*'|"(?:[^"\\]|\\.)*"|\S+)""")  # as in flwr.common.config, and escaped quotes

ConfigValue = bool | float | int | str
Config = Mapping[str, ConfigValue]
"""A run config or a node config, flat."""


@dataclass(frozen=True, slots=True)
class FlowerProject:
    """What is known of a project without importing anything of it.

    ``run_config`` is the project's own, flat, with dots between the names of nested tables.
    ``app_name``, ``aggregator``, ``datasites`` and ``written``, the directories that the app writes into, are from
    ``[tool.syft_flwr]``.
    """

    directory: Path
    name: str
    version: str
    server_app: str
    client_app: str
    run_config: Config = field(default_factory=dict)
    app_name: str = ""
    aggregator: str = ""
    datasites: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @classmethod
    def load(cls, directory: Path) -> FlowerProject:
        """Read ``pyproject.toml``.

        Raises:
            FlowerError: The directory is no Flower project; the message says what is missing.
            ConfigurationError: ``[tool.syft_flwr]`` can't be read.
        """
        directory = directory.expanduser().absolute()
        document = load_document(directory)
        with _naming(directory):
            run_config = get_fused_config_from_dir(directory, {})
        components = document["tool"]["flwr"]["app"]["components"]
        if missing := {"serverapp", "clientapp"} - set(components):
            raise FlowerError(
                f"{directory} can't run here: [tool.flwr.app.components] has no {' and no '.join(sorted(missing))}"
            )
        own = load_project(directory)
        return cls(
            directory=directory,
            name=str(document["project"]["name"]),
            version=str(document["project"]["version"]),
            server_app=str(components["serverapp"]),
            client_app=str(components["clientapp"]),
            run_config=run_config,
            app_name=str(own.get("app_name") or document["project"]["name"]),
            aggregator=str(own.get("aggregator", "")),
            datasites=tuple(str(email) for email in own.get("datasites", ())),
            written=_directories(own.get("written", []), directory),
        )

    def overrides(self, arguments: Sequence[str], rounds: int | None = None) -> dict[str, ConfigValue]:
        """Read overrides of the run config, in Flower's own syntax (``'lr=0.1 name="x"'`` or a TOML file).

        Args:
            arguments: Values of ``--run-config``.
            rounds: Sets ``num-server-rounds``.

        Raises:
            FlowerError: The syntax is wrong, or the project has no such key.
        """
        overrides = parse_config(arguments, "--run-config")
        if rounds is not None:
            if ROUNDS_KEY not in self.run_config:
                raise FlowerError(
                    f"the project {self.name} has no {ROUNDS_KEY} in [tool.flwr.app.config], so the number of rounds "
                    "can't be set from outside; change it in the project, or set the key it uses with --run-config"
                )
            overrides[ROUNDS_KEY] = rounds
        if unknown := sorted(set(overrides) - set(self.run_config)):
            known = ", ".join(sorted(self.run_config)) or "none"
            raise FlowerError(
                f"unknown run-config key{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
                f"{near_match(unknown[0], self.run_config)}; the project {self.name} has: {known}"
            )
        return overrides

    def code_hash(self) -> str:
        """Return the SHA-256 of the project's files, names and contents: what a data owner consents to.

        Every file counts but those of :meth:`uncovered`.
        """
        return hash_of(read_files(self.directory, self.written).hashes)

    def uncovered(self) -> list[str]:
        """Name the directories here whose files, other than code, the consent does not cover."""
        return uncovered(self.directory, self.written)


def load_document(directory: Path, *, check_module: bool = False) -> dict[str, Any]:
    """Return the content of a project's ``pyproject.toml``, validated by Flower.

    Args:
        directory: The project's.
        check_module: Whether the modules that hold the apps must exist; nothing is imported.

    Raises:
        FlowerError: It is no Flower project; the message says what is missing.
    """
    if not directory.is_dir():
        raise FlowerError(f"{directory} is no directory; name the one that has the project's pyproject.toml")
    if not (directory / "pyproject.toml").is_file():
        raise FlowerError(f"{directory} is no Flower project: it has no pyproject.toml ('flwr new' makes one)")
    with _naming(directory):
        document = get_project_config(directory)
        for reference in document["tool"]["flwr"]["app"]["components"].values():
            valid, problem = check_reference(reference, check_module=check_module, project_dir=directory)
            if not valid:
                raise ValueError(problem)
    return document


@contextmanager
def _naming(directory: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, TypeError, AttributeError) as error:
        raise FlowerError(f"{directory} is no Flower project: {_one_line(error)}") from error


def parse_config(arguments: Sequence[str], option: str) -> dict[str, ConfigValue]:
    """Read settings in Flower's own syntax: ``'lr=0.1 name="x"'``, or the name of a TOML file.

    Raises:
        FlowerError: The syntax is wrong; the message names the option.
    """
    settings: dict[str, ConfigValue] = {}
    for text in arguments:
        if text.endswith(".toml"):
            settings |= _read_config(text, option)
            continue
        # Flower's own reader passes over what it can't read.
        if rest := _SETTING.sub("", text).strip():
            raise FlowerError(f"{option} can't be read at {rest!r}; write 'key=value key2=\"text\"'")
        for key, value in _SETTING.findall(text):
            settings[key] = _read_value(key, value, option)
    return settings


def _read_config(path: str, option: str) -> dict[str, ConfigValue]:
    try:
        return dict(parse_config_args([path]))
    except FileNotFoundError as error:
        raise FlowerError(f"{option} names {path}, and there is no such file") from error
    except (ValueError, OSError) as error:
        raise FlowerError(f"{option} can't be read: {_one_line(error)}") from error


def _read_value(key: str, text: str, option: str) -> ConfigValue:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise FlowerError(
            f"{option} can't be read at {key}={text}: a text needs quotes, within those of the shell ({error})"
        ) from error
    if not isinstance(value, ConfigValue):
        raise FlowerError(f"{option} can't be read: {key} must be a boolean, a number or a text")
    return value


def _directories(names: object, directory: Path) -> tuple[str, ...]:
    """Return the directories that a project names as written.

    Raises:
        ConfigurationError: They are no list of names of directories in it.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip("./") for name in names):
        raise ConfigurationError(f"written in [tool.syft_flwr] of {directory} must list directories in the project")
    return tuple(os.path.normpath(name) for name in names)


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
