"""What people do wrong, what they are told, and the exit code. Nothing is begun, and no traceback is shown."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from syft_flwr.cli import account
from syft_flwr.cli.main import app
from syft_flwr.runtime import sharing

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
RECORDING = Path(__file__).parents[1] / "recordings" / "complete.jsonl"
PARTIES = "--aggregator agg@example.com --datasite do1@example.com"
NO_EMULATOR = {"DRIVE_EMULATOR_HOST": "127.0.0.1:9"}
WATCH = "watch --email me@example.com"
RECORD = "record --email me@example.com"
SEND = "send you@example.com messages --email me@example.com"


class Mistake(NamedTuple):
    """A command line, what it is told with which exit code, and the environment."""

    call: str
    code: int
    words: str
    environment: Mapping[str, str] = MappingProxyType({})


MISTAKES = [
    # a wrong call
    Mistake("", 2, "Usage: syft-flwr"),
    Mistake("simulat digits", 2, "No such command 'simulat'. (Did you mean one of: 'emulator', 'simulate'?)"),
    Mistake("peers ad you@example.com", 2, "No such command 'ad'. Did you mean 'add'?"),
    Mistake("watch --emial me@example.com", 2, "No such option '--emial'. (Did you mean one of: '--email'"),
    Mistake("watch --email", 2, "Option '--email' requires an argument"),
    Mistake(f"{WATCH} --kind reqest", 2, "'reqest' is not one of 'polled', 'seen'"),
    Mistake(f"{WATCH} --count 0", 2, "0 is not in the range x>=1"),
    Mistake(f"{WATCH} --poll-interval 0", 2, "'--poll-interval': 0.0 is not in the range x>=0.01"),
    Mistake("simulate", 2, "Missing argument 'PROJECT'"),
    Mistake("simulate digits --datasites 0", 2, "'--datasites': 0 is not in the range"),
    Mistake("simulate digits --datasites three", 2, "'three' is not a valid int"),
    Mistake("simulate digits --min-available 9", 2, "there are only 3 data owners; see --datasites"),
    Mistake("simulate digits --port 99999", 2, "99999 is not in the range 0<=x<=65535"),
    Mistake("emulator --port abc", 2, "a port is between 0 and 65535, not abc"),
    Mistake("replay feed.jsonl --speed 0", 2, "--speed: must be positive"),
    Mistake("login", 2, "name the OAuth client file that the Cloud console let you download"),
    Mistake("bootstrap digits --aggregator agg@example.com", 2, "Missing option '--datasite'"),
    Mistake(RECORD, 2, "Missing option '--out'"),
    Mistake(SEND, 2, "Missing option '--app'"),
    Mistake("peers --email me@example.com list", 2, "put it behind list"),
    Mistake("doctor --email me@example.com --with you@example.com", 2, "--with: it goes with --probe"),
    Mistake("doctor --email me@example.com --probe --read-only", 2, "--read-only: a probe writes into Drive"),
    Mistake("peers add me@example.com --app x --email me@example.com", 1, "is this account itself; name the other one"),
    # a file that is not what it should be
    Mistake("simulate nowhere", 1, "nowhere is no directory; name the one that has the project's pyproject.toml"),
    Mistake("simulate file", 1, "file is no directory; name the one that has the project's pyproject.toml"),
    Mistake("simulate empty", 1, "empty is no Flower project: it has no pyproject.toml ('flwr new' makes one)"),
    Mistake("simulate broken", 1, "broken is no Flower project: Expected ']'"),
    Mistake("simulate plain", 1, "plain is no Flower project: Invalid pyproject.toml"),
    Mistake("simulate digits --out file", 2, "'--out': Directory 'file' is a file"),
    Mistake("simulate digits --data file", 2, "'--data': Directory 'file' is a file"),
    Mistake("simulate digits --report empty", 2, "'--report': File 'empty' is a directory"),
    Mistake(f"{RECORD} --out empty", 2, "'--out': File 'empty' is a directory"),
    Mistake(f"{RECORD} --out no/where.jsonl", 1, "can't write no/where.jsonl: No such file or directory", NO_EMULATOR),
    Mistake(f"{RECORD} --out file", 1, "file: line 1 is not JSON", NO_EMULATOR),
    Mistake("replay nowhere.jsonl", 2, "File 'nowhere.jsonl' does not exist"),
    Mistake("replay file", 1, "file: line 1 is not JSON"),
    Mistake("bootstrap empty " + PARTIES, 1, "it has no pyproject.toml ('flwr new' makes one)"),
    Mistake("login nowhere.json", 2, "File 'nowhere.json' does not exist"),
    Mistake("login file", 1, "file is not JSON (line 1). Log in again, or download it again"),
    Mistake("login client.json", 1, "the OAuth client file is malformed"),
    Mistake(f"{SEND} --app x --file nowhere", 2, "File 'nowhere' does not exist"),
    # settings
    Mistake("watch", 1, "no account: pass --email, or set SYFTBOX_EMAIL"),
    Mistake("run digits", 1, "no account: pass --email, or set SYFTBOX_EMAIL"),
    Mistake("status", 1, "no account: pass --email, or set SYFTBOX_EMAIL"),
    Mistake("logout", 1, "no account: pass --email, or set SYFTBOX_EMAIL"),
    Mistake("watch --email me", 1, "not an e-mail address: 'me'"),
    Mistake("send you messages --app x --email me@example.com", 1, "not an e-mail address: 'you'"),
    Mistake("watch", 1, "SYFTBOX_EMAIL: not an e-mail address: 'me'", {"SYFTBOX_EMAIL": "me"}),
    Mistake(WATCH, 1, "SYFT_FLWR_STATE_DIR names a file", {"SYFT_FLWR_STATE_DIR": "file"}),
    Mistake(WATCH, 1, "DRIVE_EMULATOR_HOST must be host:port, for", {"DRIVE_EMULATOR_HOST": "localhost"}),
    Mistake(WATCH, 1, "SYFT_FLWR_POLL_INTERVAL must be a positive", {"SYFT_FLWR_POLL_INTERVAL": "fast", **NO_EMULATOR}),
    Mistake(WATCH, 2, "it must be at least that", {"SYFT_FLWR_QUOTA_PER_MINUTE": "5", **NO_EMULATOR}),
    Mistake("clean --older-than yesterday", 1, "--older-than must be a number with a unit s, m, h, d or w"),
    # credentials
    Mistake(
        WATCH, 1, "no credentials for Google Drive. Log in: syft-flwr login CLIENT_FILE; or try without an account"
    ),
    Mistake(WATCH, 1, "can't read .*nowhere.json: No such file", {"GDRIVE_TOKEN_PATH": "nowhere.json"}),
    Mistake(WATCH, 1, "is the OAuth client, not a token; unset", {"GDRIVE_TOKEN_PATH": "client.json"}),
    Mistake("login --check", 1, "no account is logged in; log in with: syft-flwr login CLIENT_FILE"),
    Mistake("logout --email me@example.com", 1, "me@example.com is not logged in; login --check shows who is"),
    # Drive
    Mistake(WATCH, 1, "can't connect to 127.0.0.1:9: .*; is the emulator running? Start it with: syft", NO_EMULATOR),
    Mistake("peers --email me@example.com", 1, "is the emulator running?", NO_EMULATOR),
    # a run
    Mistake("run digits --email do1@example.com", 1, "names no aggregator: pass --aggregator, or write it"),
    Mistake(f"run digits {PARTIES} --email do9@example.com", 1, "do9@example.com takes no part in this project: its"),
    Mistake(
        f"run digits {PARTIES} --email agg@example.com --min-available 2",
        1,
        "1 data owner; name more",
    ),
    Mistake(f"run digits {PARTIES} --email agg@example.com --out file", 2, "Directory 'file' is a file"),
    Mistake(f"run digits {PARTIES} --email do1@example.com", 1, "not approved. Look at it, then add --approve"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --approve 00", 1, "name the whole hash"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --auto-approve --node-config x=", 1, "--node-config can't"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --poll-interval -1", 2, "'--poll-interval': -1.0 is not in"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --sandbox", 1, "no program 'bwrap' on PATH", {"PATH": ""}),
    Mistake(f"run digits {PARTIES} --email do1@example.com --sandbox --in-process", 1, "choose one"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --sandbox-read empty", 1, "of use with --sandbox only"),
    Mistake(
        f"run digits {PARTIES} --email agg@example.com --sandbox",
        1,
        "--sandbox is for data owners, and agg@example.com is",
    ),
    Mistake("simulate digits -c x=", 1, "--run-config can't be read at 'x='; write 'key=value key2=\"text\"'"),
    Mistake("simulate digits -c num-server-round=2", 1, "num-server-round; did you mean num-server-rounds?"),
    Mistake("bootstrap digits --aggregator agg --datasite do@example.com", 1, "not an e-mail address: 'agg'"),
    Mistake("simulate misspelt", 1, "has no key writen; did you mean written?"),
    Mistake("simulate clientless", 1, "clientless is no Flower project: Invalid pyproject.toml"),
    Mistake(
        f"run digits {PARTIES} --email agg@example.com --once", 1, "--once is for data owners, and agg@example.com is"
    ),
    Mistake(
        f"run digits {PARTIES} --email do1@example.com --out x --resume",
        1,
        "--out and --resume are for the aggregator, and do1@example.com is a data owner",
    ),
    Mistake(f"run digits {PARTIES} --email agg@example.com --auto-approve", 1, "--auto-approve is for data owners"),
    Mistake(f"run digits {PARTIES} --email agg@example.com --resume --out x", 1, "leave --out out"),
    Mistake("runs show", 1, "no run at all in runs; name its directory, or --dir"),
    Mistake("runs stop 123", 1, "no run 123 in runs; name its directory, or --dir"),
    Mistake("bootstrap digits --aggregator a@b.c --datasite d@b.c --datasite D@b.c", 1, "a data owner is named twice"),
    Mistake("bootstrap digits --aggregator a@b.c --datasite a@b.c", 1, "can't be the aggregator and a data"),
    # more calls that can't be meant
    Mistake("simulate digits extra", 2, "Got unexpected extra argument (extra)"),
    Mistake("simulate digits/pyproject.toml", 1, "pyproject.toml is no directory; name the one that has the project's"),
    Mistake("simulate https://example.com/digits", 1, "example.com/digits is no directory; name the one"),
    Mistake("simulate digits --data digits/drive", 1, "--data digits/drive is in the project, whose code would change"),
    Mistake("simulate digits --out no/where --rounds 0", 2, "'--rounds': 0 is not in the range x>=1"),
    Mistake("run digits --email do1@example.com --max-runtime 0", 2, "'--max-runtime': 0.0 is not in the range x>=1"),
    Mistake("version extra", 2, "Got unexpected extra argument (extra)"),
    Mistake("runs show --dir file", 2, "'--dir': Directory 'file' is a file"),
    Mistake("clean --runs nowhere", 2, "'--runs': Directory 'nowhere' does not exist"),
    Mistake("clean --older-than 0d", 1, "--older-than must be a positive number; it is 0.0"),
    Mistake("clean --drive", 1, "no account: pass --email, or set SYFTBOX_EMAIL"),
    Mistake(f"{WATCH} --since yesterday", 1, "it is 'yesterday'. A time looks like 2026-05-01T12:30"),
    Mistake(f"{WATCH} --since 2999-01-01", 1, "--since 2999-01-01 is yet to come", NO_EMULATOR),
    Mistake(f"{RECORD} --out new --for soon", 1, "--for must be a number with a unit s, m, h, d or w", NO_EMULATOR),
    Mistake(f"{RECORD} --out new --message 1", 1, "'1' is no message's ID, which looks like 3f1c8e52-", NO_EMULATOR),
    Mistake(f"{RECORD} --out nowhere --repair", 1, "nowhere: can't read it: No such file", NO_EMULATOR),
    Mistake("doctor --email me@example.com --probe --with ME@example.com", 1, "is this account itself; --with names"),
    Mistake("peers remove ME@example.com --email me@example.com", 1, "is this account itself; name the other one"),
    Mistake("peers remove you --email me@example.com", 1, "not an e-mail address: 'you'"),
    Mistake(f"{SEND} --app x --timeout -1", 2, "'--timeout': -1.0 is not in the range x>=0"),
    # more files that are not what they should be
    Mistake("login binary", 1, "can't read binary: it is not text"),
    Mistake("replay binary", 1, "binary: it is not UTF-8"),
    Mistake("replay bodiless.jsonl --only x --out y", 1, "bodiless.jsonl.bodies/.* is missing; copy the bodies beside"),
    Mistake("replay good.jsonl --only x --out y", 1, "has no exchange 'x'; it has .*, .*, .* and 7 more"),
    Mistake("replay good.jsonl --only x", 2, "--only ID and --out FILE go together"),
    Mistake("replay good.jsonl --compare --json", 2, "--json: what --compare and --only do is told in words"),
    Mistake("replay good.jsonl --handler handlers:f", 2, "--handler: it goes with --compare"),
    Mistake("replay good.jsonl --compare --handler handlers", 2, "handlers is not MODULE:NAME"),
    Mistake("replay good.jsonl --compare --handler nowhere:f", 1, "ModuleNotFoundError: No module named 'nowhere'"),
    Mistake("replay good.jsonl --compare --handler handlers:f", 1, "import the handler handlers:f: RuntimeError: boom"),
    Mistake("replay good.jsonl --compare --handler string:digits", 1, "string:digits is a str; name a function"),
    Mistake("edit-recording good.jsonl --body x=file --out y", 1, "no body of x was recorded; there are those of"),
    Mistake("edit-recording good.jsonl --body x --out y", 2, "x is not NAME=FILE"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --node-config no.toml", 1, "no.toml, and there is no such"),
    Mistake(f"run digits {PARTIES} --email do1@example.com --sandbox-read empty --once", 1, "with --sandbox only"),
    # more settings
    Mistake("status --email me@example.com", 2, "'xml' is not one of 'text', 'json'", {"SYFT_FLWR_LOG_FORMAT": "xml"}),
    Mistake(WATCH, 2, "'lots' is not a valid int", {"SYFT_FLWR_QUOTA_PER_DAY": "lots", **NO_EMULATOR}),
    Mistake(WATCH, 1, "SYFT_FLWR_MSG_TIMEOUT must be a positive", {"SYFT_FLWR_MSG_TIMEOUT": "0", **NO_EMULATOR}),
    Mistake(WATCH, 1, "example.com:80, which is not this machine", {"DRIVE_EMULATOR_HOST": "example.com:80"}),
    Mistake(WATCH, 1, "can't read .*empty: Is a directory", {"GDRIVE_TOKEN_PATH": "empty"}),
    # the emulator
    Mistake("emulator --port 0 --data file", 1, "can't use file: it is no directory"),
    Mistake("emulator --port 0 --load nowhere", 1, "The snapshot nowhere can't be read"),
    Mistake("emulator --port 0 --host 203.0.113.7", 1, "can't serve on 203.0.113.7:0: Cannot assign requested address"),
    Mistake("emulator --port 0 --token-file me=token", 2, "me=token is not ADDRESS=FILE, such as do@example.com="),
    Mistake("emulator save", 2, "the following arguments are required: file"),
    Mistake("emulator save file", 1, "no emulator answers on 127.0.0.1:9: ", NO_EMULATOR),
]


@pytest.fixture
def desk(plain_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a project, and with files of the wrong sorts."""
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for patience in (account, sharing):
        monkeypatch.setattr(patience, "_PATIENCE", 0.0)
    shutil.copytree(DIGITS, "digits", ignore=shutil.ignore_patterns("runs", "__pycache__"))
    Path("empty").mkdir()
    good = Path("digits", "pyproject.toml").read_text()
    projects = {
        "broken": "[tool",
        "plain": "[project]\nname = 'x'\n",
        "misspelt": f"{good}\n[tool.syft_flwr]\nwriten = ['cache']\n",
        "clientless": re.sub("^clientapp.*$", "", good, flags=re.MULTILINE),
    }
    for project, text in projects.items():
        Path(project).mkdir()
        Path(project, "pyproject.toml").write_text(text)
    texts = {"file": "x\n", "feed.jsonl": "", "client.json": '{"installed": {}}'}
    texts["handlers.py"] = "raise RuntimeError('boom')"
    for file, text in texts.items():
        Path(file).write_text(text)
        Path(file).chmod(0o600)
    Path("binary").write_bytes(b"\xd7\x00")
    shutil.copy(RECORDING, "bodiless.jsonl")
    shutil.copy(RECORDING, "good.jsonl")
    shutil.copytree(f"{RECORDING}.bodies", "good.jsonl.bodies")
    return desk


def what_lies_on(desk: Path) -> list[Path]:
    """Return all files and directories, but for what the interpreter keeps of a module that it imports."""
    return sorted(path for path in desk.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.call} {' '.join(m.environment)}".strip())
def test_a_mistake_is_told_in_words_before_anything_begins(
    desk: Path, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mistake.environment.items():
        monkeypatch.setenv(name, value)
    before = what_lies_on(desk)
    done = CliRunner().invoke(app, mistake.call.split())
    said = re.sub(r"[\s│╭╮╰╯─]+", " ", done.output)
    assert done.exit_code == mistake.code, said
    assert mistake.words in said or re.search(mistake.words.replace("?", r"\?"), said), said
    assert "Traceback" not in said
    assert "please report" not in said
    if mistake.code == 1:
        assert sum(line.startswith("error: ") for line in done.output.splitlines()) == 1
    assert what_lies_on(desk) == before
