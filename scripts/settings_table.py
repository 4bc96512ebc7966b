"""Regenerate the table in the page of settings from the code.

python scripts/settings_table.py > docs/reference/settings.md
"""

# ruff: noqa: INP001, S101 - a script, not a package
import ast
import inspect
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import click
import typer.main

from syft_flwr import project_table, settings
from syft_flwr.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"
BEGIN, END = "<!-- settings: begin, written by scripts/settings_table.py -->", "<!-- settings: end -->"
HEADS = ("setting, option, variable, key of the project", "default", "meaning")
COUNTED = {"--min-available": "data owners", "--datasites": "data owners", "--rounds": "rounds", "--count": "lines"}
COUNTED |= {"--speed": "times", "--port": "", "--until": "messages"}


def described(body: Sequence[ast.stmt]) -> dict[str, str]:
    """Return what the code says of each name that it assigns, as one line."""
    found: dict[str, str] = {}
    for statement, after in itertools.pairwise(body):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[target.id] = one_line(after.value.value)
    return found


def one_line(text: str) -> str:
    return " ".join(inspect.cleandoc(text).replace("``", "`").replace("|", "\\|").split())


def options() -> dict[str, dict[str, click.Option]]:
    """Return each option and the commands that have it, in the commands' order."""
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    found: dict[str, dict[str, click.Option]] = {}
    for command in (group, *group.commands.values()):
        parts = command.commands.values() if isinstance(command, click.Group) and command is not group else ()
        for each in [option for part in (command, *parts) for option in part.params]:
            if isinstance(each, click.Option) and not each.hidden:
                for flag in each.opts:
                    found.setdefault(flag, {})[str(command.name)] = each
    return found


OPTIONS = options()


def flag_of(name: str) -> str:
    """Return the option that sets what a field, a key or a variable sets; ``""`` if none does."""
    words = name.replace("_units", "").replace("_", "-")
    return next((flag for flag in (f"--{words.removesuffix('s')}", f"--{words}") if flag in OPTIONS), "")


def commands(flag: str) -> str:
    if not flag:
        return ""
    names = [name for name in OPTIONS[flag] if name != "syft-flwr"]
    return f"`{flag}` of {', '.join(f'`{name}`' for name in names)}" if names else f"`{flag}` before a command"


def unit(name: str, kind: str) -> str:
    """Return what a setting is counted in."""
    if "units" in name:
        return "quota units"
    if name == "max_message_size":
        return "bytes"
    return {"float": "seconds", "float | None": "seconds"}.get(kind, "")


def shown(value: object) -> str:
    """Return a default as people write it."""
    if value is None:
        return "none"
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def rows() -> Iterator[Sequence[str]]:
    """Yield the settings, then the other variables, the other keys, and the other numbers that commands take."""
    module = ast.parse(inspect.getsource(settings)).body
    body = ast.parse(inspect.getsource(settings.Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    texts, variables, defaults = described(body.body), described(module), settings.Settings()
    told = set()
    for field in fields(settings.Settings):
        variable, flag = settings.VARIABLES.get(field.name, ""), flag_of(field.name)
        key = field.name if field.name in project_table.PROJECT_KEYS else ""
        default, text = shown(getattr(defaults, field.name)), texts[field.name]
        yield field.name, commands(flag), variable, key, default, unit(field.name, str(field.type)), text
        told.add(flag)
    for name, text in variables.items():
        if name.endswith("_VARIABLE"):
            variable = getattr(settings, name)
            # Others that are called alike set something else: the data of the emulator, the output of a recording.
            flag = {"EMAIL_VARIABLE": "--email", "LOG_FORMAT_VARIABLE": "--log-format"}.get(name, "")
            default = "text" if flag == "--log-format" else "none"
            yield "", commands(flag), variable, "", default, "", text
            told.add(flag)
    for key, text in project_table.PROJECT_KEYS.items():
        if text:
            flag = "" if key == "transport" else flag_of(key)
            yield "", commands(flag), "", key, "none", "", one_line(text)
            told.add(flag)
    for flag, places in OPTIONS.items():
        option = next(iter(places.values()))
        kind = option.type.name
        if flag not in told and not option.count and kind.partition(" ")[0] in ("float", "integer"):
            default = shown(option.default)
            yield "", commands(flag), "", "", default, COUNTED.get(flag, "seconds"), one_line(str(option.help))


def table() -> str:
    """Return one table of everything that can be set."""
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for setting, option, variable, key, default, unit_of_it, meaning in rows():
        quoted = [f"`{name}`" if name else "" for name in (setting, variable, key)]
        ways = "<br>".join(filter(None, [quoted[0], option, quoted[1], quoted[2] and f"key {quoted[2]}"]))
        value = f"none ({unit_of_it})" if unit_of_it and default == "none" else f"{default} {unit_of_it}".strip()
        lines.append(f"| {ways} | {value} | {meaning} |")
    return "\n".join(lines)


def page() -> str:
    """Return the page with its table as the code has it now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.stdout.write(page())
