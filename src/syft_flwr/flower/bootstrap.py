"""Makes a Flower project a federation over Drive: writes ``[tool.syft_flwr]`` into its ``pyproject.toml``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower.parties import Parties
from syft_flwr.wire import validate_app


def bootstrap(
    flwr_project_dir: str | os.PathLike[str],
    aggregator: str,
    datasites: Sequence[str],
    transport: str = "p2p",
    *,
    app_name: str | None = None,
) -> Path:
    """Write who takes part into a Flower project; everything else in the file stays as it was, comments too.

    Repeating it with the same arguments changes nothing; with others, it replaces what was written before.

    Args:
        flwr_project_dir: Directory of the project.
        aggregator: The aggregator's address.
        datasites: The data owners' addresses.
        transport: Only ``"p2p"`` can be served by this package.
        app_name: The app's name on the wire; by default the one that is there, else the project's name.

    Returns:
        The file that was written.

    Raises:
        FlowerError: The directory is no Flower project.
        ConfigurationError: The aggregator is a data owner, too, one is named twice, or the transport is another.
        InvalidNameError: An address or the app name can't go on the wire.
    """
    if transport != "p2p":
        raise ConfigurationError(f"transport {transport!r} is not part of this package, which serves 'p2p' only")
    path = Path(flwr_project_dir) / "pyproject.toml"
    try:
        text = path.read_bytes().decode()
        document: Any = tomlkit.parse(text)
    except FileNotFoundError as error:
        raise FlowerError(
            f"{path.parent} is no Flower project: it has no pyproject.toml ('flwr new' makes one)"
        ) from error
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise FlowerError(f"can't read {path}: {error}") from error
    plain = document.unwrap()
    tools = plain.get("tool")
    flower = tools.get("flwr") if isinstance(tools, dict) else None
    if not isinstance(flower, dict) or not isinstance(flower.get("app"), dict):
        raise FlowerError(f"{path.parent} is no Flower project: its pyproject.toml has no [tool.flwr.app]")
    before = tools.get("syft_flwr", {})
    if not isinstance(before, dict):
        raise FlowerError(f"[tool.syft_flwr] in {path} must be a table")
    name = app_name or before.get("app_name") or plain.get("project", {}).get("name") or path.absolute().parent.name
    parties = Parties.checked(aggregator, datasites)
    wanted = {
        "app_name": validate_app(str(name)),
        "aggregator": parties.aggregator,
        "datasites": list(parties.datasites),
        "transport": "p2p",
    }
    if all(before.get(key) == value for key, value in wanted.items()):
        return path
    table = document["tool"].get("syft_flwr")
    if table is None:
        table = tomlkit.table()
        document["tool"]["syft_flwr"] = table
    for key, value in wanted.items():
        if table.get(key) != value:
            table[key] = _array(value) if isinstance(value, list) else value
    temporary = path.with_name(".pyproject.toml.new")
    temporary.write_bytes(tomlkit.dumps(document).encode())
    temporary.chmod(path.stat().st_mode & 0o777)
    temporary.replace(path)
    return path


def _array(values: Sequence[str]) -> Any:
    array = tomlkit.array()
    array.extend(values)
    return array.multiline(len(values) > 1)
