"""Regenerate the doctor's outputs in the page "Find what is wrong", from runs against the emulator.

python scripts/doctor_outputs.py > page.md && mv page.md docs/how-to/find-what-is-wrong.md
"""

# ruff: noqa: INP001 - a script, not a package
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner

from drive_emulator import DriveEmulator
from syft_flwr import settings
from syft_flwr.cli import account
from syft_flwr.cli.main import app
from syft_flwr.drive.auth import DRIVE_SCOPE
from syft_flwr.drive.tokens import save_token

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "find-what-is-wrong.md"
EMAIL = "you@example.com"
Situation = Callable[[DriveEmulator, Path], None]


def log_in(drive: DriveEmulator, home: Path, email: str = EMAIL) -> None:
    """Let the account have a token, which ``email`` has consented to."""
    document = json.loads(drive.write_token_file(email, home / "token.json").read_text())
    save_token(settings.load_endpoint(), EMAIL, {**document, "scopes": [DRIVE_SCOPE]})


def revoked(drive: DriveEmulator, home: Path) -> None:
    log_in(drive, home)
    drive.revoke_tokens(EMAIL)


def not_enabled(drive: DriveEmulator, home: Path) -> None:
    log_in(drive, home)
    drive.add_fault("error", method="about.get", status=403, reason="accessNotConfigured")


SITUATIONS: dict[str, Situation] = {
    "well": log_in,
    "logged-out": lambda _drive, _home: None,
    "revoked": revoked,
    "not-enabled": not_enabled,
    "another": lambda drive, home: log_in(drive, home, "colleague@example.com"),
}


@contextmanager
def fresh_machine(drive: DriveEmulator) -> Iterator[Path]:
    """Take the emulator for Google's Drive, with a home that is empty."""
    environment, url, patience = dict(os.environ), settings.GOOGLE_URL, account._PATIENCE  # noqa: SLF001 - see above
    with tempfile.TemporaryDirectory() as home:
        for name in [name for name in os.environ if name.startswith(("SYFT", "GDRIVE", "DRIVE_", "GOOGLE_", "XDG_"))]:
            del os.environ[name]
        os.environ |= {"HOME": home, "CLOUDSDK_CONFIG": f"{home}/gcloud", "NO_GCE_CHECK": "true"}
        settings.GOOGLE_URL, account._PATIENCE = drive.url, 0.0  # noqa: SLF001
        try:
            yield Path(home)
        finally:
            os.environ.clear()
            os.environ.update(environment)
            settings.GOOGLE_URL, account._PATIENCE = url, patience  # noqa: SLF001


def output(situation: Situation) -> str:
    """Return what the doctor says in a situation, without what differs from run to run."""
    with DriveEmulator() as drive, fresh_machine(drive) as home:
        situation(drive, home)
        said = CliRunner().invoke(app, ["doctor", "--email", EMAIL]).stdout
        for text, shown in ((drive.url, "https://www.googleapis.com"), (str(home), "/home/you")):
            said = said.replace(text, shown)
        house = f"127.0.0.1%3A{drive.port}"
        said = said.replace(f"emulators/{house}/", "").replace(house, "www.googleapis.com")
    said = re.sub(r"(Python|syft-flwr-drive|flwr|google-api-python-client|google-auth|diskcache) [\d.]+", r"\1 …", said)
    said = re.sub(r"example\.com-[0-9a-f]{12}, \d+ GB", "example.com-…, … GB", said)
    return re.sub(r"\d+(?:\.\d)? s\b|\d+ units(?= *$)", "…", said, flags=re.MULTILINE)


def page() -> str:
    """Return the page with its outputs as the code has them now."""
    text = PAGE.read_text(encoding="utf-8")
    for name, situation in SITUATIONS.items():
        block = re.compile(rf"(<!-- doctor: {name} -->\n+```text\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
        said = output(situation)
        text, count = block.subn(lambda match, said=said: match[1] + said + match[3], text)
        if count != 1:
            sys.exit(f"{PAGE}: there must be one block after <!-- doctor: {name} -->")
    return text


if __name__ == "__main__":
    sys.stdout.write(page())
