"""Regenerate the tables in the page of settings from the code.

python scripts/settings_table.py > docs/reference/settings.md
"""

# ruff: noqa: INP001, S101 - a script, not a package
import ast
import inspect
import sys
from dataclasses import fields
from pathlib import Path

import click
import typer.main

from syft_flwr import settings
from syft_flwr.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"
BEGIN, END = "<!-- settings: begin, written by scripts/settings_table.py -->", "<!-- settings: end -->"


def described() -> dict[str, str]:
    """Return what the class says of each setting, as one line."""
    body = ast.parse(inspect.getsource(settings.Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
            assert isinstance(statement.target, ast.Name)
            text = ast.literal_eval(after.value)
            found[statement.target.id] = " ".join(inspect.cleandoc(text).replace("``", "`").split())
    return found


def flags(name: str) -> list[str]:
    """Return the commands that have a setting as an option."""
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group)
    flag = f"--{name.replace('_units', '').replace('_', '-')}"
    found = [
        command.name
        for command in group.commands.values()
        for each in command.params
        if flag in getattr(each, "opts", ())
    ]
    return [f"`{flag}` of {', '.join(f'`{command}`' for command in sorted(map(str, found)))}"] if found else []


def unit(name: str, kind: str) -> str:
    """Return what a setting is counted in."""
    if "units" in name:
        return "quota units"
    if name == "max_message_size":
        return "bytes"
    return {"float": "seconds", "float | None": "seconds", "bool": ""}.get(kind, "")


def shown(value: object) -> str:
    """Return a default as people write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value)
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def table() -> str:
    """Return a table with a row for each setting."""
    texts, defaults = described(), settings.Settings()
    lines = ["| setting | default | unit | elsewhere | meaning |", "|---|---|---|---|---|"]
    for field in fields(settings.Settings):
        variable = settings.VARIABLES.get(field.name)
        elsewhere = "; ".join([*([f"`{variable}`"] if variable else []), *flags(field.name)])
        default, text = shown(getattr(defaults, field.name)), texts[field.name].replace("|", "\\|")
        lines.append(f"| `{field.name}` | {default} | {unit(field.name, str(field.type))} | {elsewhere} | {text} |")
    return "\n".join(lines)


def page() -> str:
    """Return the page with its table as the code has it now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.stdout.write(page())
