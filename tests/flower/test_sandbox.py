from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flower_federation import zoo_project

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower._compat import Context, Message, RecordDict, context_to_bytes, set_task_identity
from syft_flwr.flower.app_host import ForkedApps
from syft_flwr.flower.codec import decode, encode
from syft_flwr.flower.job import AppSpec, JobFiles, Outcome, Task
from syft_flwr.flower.sandbox import Sandbox

NODE = 42

PRYING_APP = """
import os, socket
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

def tried(what):
    try:
        return str(what())
    except OSError as error:
        return type(error).__name__

@app.train()
def train(message, context):
    here, places = Path(__file__).parents[1], message.content["config"]
    found = {
        "data": tried((Path(os.environ["DATA_DIR"]) / "rows.csv").read_text),
        "named": tried(Path(places["named"]).read_text),
        "home": tried(Path(places["home"], "diary").read_text),
        "state": tried(Path(places["state"], "cursor").read_text),
        "token": tried(Path(os.environ.get("HIDDEN", places["token"])).read_text),
        "variables": " ".join(name for name in os.environ if "TOKEN" in name or "SECRET" in name),
        "network": tried(lambda: socket.create_connection(("127.0.0.1", places["port"]), 5)),
        "code": tried(lambda: (here / "zoo" / "clients.py").write_text("planted")),
        "data written": tried(lambda: (Path(os.environ["DATA_DIR"]) / "rows.csv").write_text("planted")),
        "cache": tried(lambda: (here / "cache" / "model").write_text("kept")),
        "scratch": tried(lambda: Path("/tmp/scratch").write_text("gone")),
        "others": " ".join(name for name in os.listdir("/proc") if name == str(places["pid"])),
    }
    return Message(RecordDict({"found": ConfigRecord(found)}), reply_to=message)
"""

STAND_IN = """#!{python}
# Runs the command, and closes nothing in.
import os, sys
command = sys.argv[sys.argv.index("--") + 1 :]
os.execvp(command[0], command)
"""


def message(config: dict[str, str | int] | None = None) -> bytes:
    from flwr.app import ConfigRecord

    set_task_identity(7, 1)
    return encode(Message(RecordDict({"config": ConfigRecord(dict(config or {}))}), NODE, "train"))


def context() -> bytes:
    return context_to_bytes(Context(7, NODE, {"partition-id": 0}, RecordDict(), {}))


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("home", "state", "data", "named")}
    for path in found.values():
        path.mkdir(mode=0o700)
    (found["home"] / "diary").write_text("dear diary")
    (found["state"] / "cursor").write_text("1234")
    (found["data"] / "rows.csv").write_text("1,2")
    (found["named"] / "more.csv").write_text("3,4")
    monkeypatch.setenv("HOME", str(found["home"]))
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(found["state"]))
    monkeypatch.setenv("DATA_DIR", str(found["data"]))
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return zoo_project(tmp_path, "fedavg", "plain")


def program(directory: Path, text: str) -> None:
    """Put a program in place of bubblewrap."""
    directory.mkdir()
    (directory / "bwrap").write_text(text.format(python=sys.executable))
    (directory / "bwrap").chmod(0o755)


def job_of(directory: Path) -> JobFiles:
    directory.mkdir(exist_ok=True)
    return JobFiles.make(directory)


def mounts(command: list[str]) -> dict[str, str]:
    """Return what is done with each path, the last word on it."""
    found = {}
    for place, word in enumerate(command[: command.index("--")]):
        if word in ("--tmpfs", "--proc", "--dev"):
            found[command[place + 1]] = word
        elif word.endswith(("bind", "bind-try")):
            assert command[place + 1] in (command[place + 2], os.devnull)
            found[command[place + 2]] = word if command[place + 1] != os.devnull else "hidden"
    return found


def test_the_command_line_gives_the_app_its_project_and_a_place_for_the_reply_and_nothing_else(
    tmp_path: Path, project: Path, places: dict[str, Path]
) -> None:
    job = job_of(places["state"] / "jobs")
    sandbox = Sandbox("/usr/bin/bwrap", project, (places["data"],), (project / "cache",))
    command = sandbox.command(job.directory, job.results, ["python", "-m", "app"])
    assert command[0] == "/usr/bin/bwrap"
    assert command[-4:] == ["--", "python", "-m", "app"]
    assert {"--unshare-all", "--die-with-parent", "--new-session"} <= set(command)
    assert "--share-net" not in command
    found = mounts(command)
    assert {path: kind for path, kind in found.items() if path.startswith(str(tmp_path))} == {
        str(project): "--ro-bind",
        str(project / "cache"): "--bind",
        str(places["data"]): "--ro-bind",
        str(places["state"]): "--tmpfs",
        str(job.directory): "--ro-bind",
        str(job.results): "--bind",
    }
    assert not [path for path, kind in found.items() if kind == "--bind" and not path.startswith(str(tmp_path))]
    assert not {"/", "/etc", "/home", "/root", "/var"} & set(found)
    # What is deeper comes later, or a directory would hide what is in it.
    order = list(found)
    assert order.index(str(places["state"])) < order.index(str(job.directory)) < order.index(str(job.results))


def test_tokens_are_hidden_where_the_app_can_read_and_no_variable_tells_of_them(
    project: Path, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = project / "token.json"
    token.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(token))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    sandbox = Sandbox("bwrap", project)
    job = job_of(places["state"] / "jobs")
    assert mounts(sandbox.command(job.directory, job.results, ["python"]))[str(token)] == "hidden"
    assert not {"GOOGLE_APPLICATION_CREDENTIALS", "AWS_SECRET_ACCESS_KEY", "SYFT_FLWR_STATE_DIR"} & set(
        sandbox.environment()
    )


def test_without_bubblewrap_it_says_what_to_install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="apt install bubblewrap"):
        Sandbox.of(project)


def test_a_bubblewrap_that_refuses_is_quoted_before_anything_is_served(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ConfigurationError, match=r"here: No permissions to create new namespace\. .*user namespaces"):
        ForkedApps(AppSpec(str(project), "zoo.clients:app"), tmp_path / "jobs", Sandbox.of(project))


def test_what_is_named_must_be_there_and_what_is_written_lie_in_the_project(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", STAND_IN)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ConfigurationError, match=r"nothing to read at .*/lost"):
        Sandbox.of(project, [tmp_path / "lost"])
    (project / "out").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="leads out of the project"):
        Sandbox.of(project, written=["out"])
    assert Sandbox.of(project, written=["cache"]).written[0].is_dir()


def pry(project: Path, work: Path, sandbox: Sandbox, config: dict[str, str | int]) -> Outcome:
    with ForkedApps(AppSpec(str(project), "zoo.clients:app"), work, sandbox) as apps:
        return apps.run(Task([message(config)], context()), 60.0)


def test_an_app_in_a_sandbox_reads_what_it_is_given_and_reaches_nothing_else(
    tmp_path: Path,
    project: Path,
    places: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "zoo" / "clients.py").write_text(PRYING_APP)
    (project / "token.json").write_text("secret")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(project / "token.json"))
    named = places["named"] / "more.csv"
    try:
        sandbox = Sandbox.of(project, [named], ["cache"])
        sandbox.check(job_of(tmp_path / "try").directory)
    except ConfigurationError as refusal:
        assert "bubblewrap" in str(refusal)  # noqa: PT017 - what it says is all there is to see on such a machine
        with capsys.disabled():
            sys.stdout.write(f"\nthe sandbox itself was not tried: {refusal}\n")
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        config: dict[str, str | int] = {
            "named": str(named),
            "home": str(places["home"]),
            "state": str(places["state"]),
            "token": str(project / "token.json"),
            "port": server.getsockname()[1],
            "pid": os.getpid(),
        }
        outcome = pry(project, places["state"] / "jobs", sandbox, config)
    assert not outcome.crash
    assert dict(decode(outcome.reply)[0].content["found"]) == {
        "data": "1,2",
        "named": "3,4",
        "home": "FileNotFoundError",
        "state": "FileNotFoundError",
        "token": "PermissionError",
        "variables": "",
        "network": "ConnectionRefusedError",
        "code": "OSError",
        "data written": "OSError",
        "cache": "4",
        "scratch": "4",
        "others": "",
    }
    assert (project / "cache" / "model").read_text() == "kept"
    assert not Path("/tmp/scratch").exists()


@pytest.mark.parametrize(
    "plant",
    [
        lambda reply: reply.symlink_to(reply.parents[2] / "diary"),
        os.mkfifo,
        lambda reply: os.truncate(os.open(reply, os.O_RDWR | os.O_CREAT), 2**40),
        Path.mkdir,
    ],
    ids=["a link to what it can't read itself", "a pipe", "a file without an end", "a directory"],
)
def test_whatever_an_app_leaves_in_place_of_its_reply_is_no_reply(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    (tmp_path / "diary").write_text("dear diary")
    job = JobFiles.make(tmp_path)
    for name in ("context", "error"):
        (job.results / name).touch()
    plant(job.results / "reply")
    outcome = job.outcome()
    assert outcome is not None
    assert not outcome.reply
    assert "can't be read" in outcome.crash


def test_the_host_speaks_with_a_process_of_any_program_that_stands_in(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program(tmp_path / "bin", STAND_IN)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert shutil.which("bwrap") == str(tmp_path / "bin" / "bwrap")
    (project / "zoo" / "clients.py").write_text(
        "print('look\\x1b[2J')\nfrom flwr.app import Message, RecordDict\n"
        "from flwr.clientapp import ClientApp\napp = ClientApp()\n"
        "app.train()(lambda message, context: Message(RecordDict(), reply_to=message))\n"
        "app.evaluate()(lambda message, context: __import__('os')._exit(3))\n"
    )
    with ForkedApps(AppSpec(str(project), "zoo.clients:app"), tmp_path / "jobs", Sandbox.of(project)) as apps:
        done = apps.run(Task([message()], context()), 60.0)
        assert (done.error, done.crash) == ("", "")
        set_task_identity(7, 1)
        dying = encode(Message(RecordDict(), NODE, "evaluate"))
        assert apps.run(Task([dying], context()), 60.0).crash.endswith("without a reply, exit code 3")
    assert not (tmp_path / "jobs").exists()
    assert r"look\x1b[2J" in capfd.readouterr().err
