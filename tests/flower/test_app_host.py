from __future__ import annotations

import os
import py_compile
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
from flower_fakes import until
from flower_federation import zoo_project
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.flower._compat import Context, context_from_bytes, context_to_bytes, set_task_identity
from syft_flwr.flower.app_host import ForkedApps, InProcessApps
from syft_flwr.flower.app_process import libraries
from syft_flwr.flower.codec import decode, encode
from syft_flwr.flower.job import AppSpec, Outcome, Task
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.project_files import read_files

NODE = 42


def message(server_round: int = 1) -> bytes:
    set_task_identity(7, 1)
    content = RecordDict(
        {
            "arrays": ArrayRecord({"mean": Array(np.zeros(4))}),
            "config": ConfigRecord({"server-round": server_round}),
        }
    )
    return encode(Message(content, NODE, "train"))


def context() -> bytes:
    return context_to_bytes(Context(7, NODE, {"partition-id": 0}, RecordDict(), {}))


def spec(directory: Path, client: str, **fields: object) -> AppSpec:
    project = FlowerProject.load(zoo_project(directory, "fedavg", client))
    return AppSpec(str(project.directory), project.client_app, **fields)  # type: ignore[arg-type]


def count(outcome: Outcome) -> tuple[int, int]:
    assert outcome.reply, outcome
    reply, _ = decode(outcome.reply)
    metrics = reply.content["metrics"]
    return int(metrics["count"]), int(metrics["calls"])  # type: ignore[call-overload,arg-type]


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[ForkedApps]:
    with ForkedApps(spec(tmp_path, "counting"), tmp_path / "jobs") as apps:
        yield apps


def test_every_message_runs_in_a_fresh_process_and_gets_the_context_of_the_one_before(counting: ForkedApps) -> None:
    counting.warm_up()
    first = counting.run(Task([message()], context()), 60.0)
    second = counting.run(Task([message()], first.context), 60.0)
    assert count(first) == (1, 1)
    assert count(second) == (2, 1)
    assert context_from_bytes(second.context).state["counter"]["count"] == 2  # type: ignore[index]


def test_a_process_that_was_killed_while_it_waited_is_replaced(counting: ForkedApps) -> None:
    counting.warm_up()
    app = counting._next.result()
    app.kill()
    until(lambda: not app.is_running)
    assert count(counting.run(Task([message()], context()), 60.0)) == (1, 1)


def test_a_fork_server_that_was_killed_is_replaced(counting: ForkedApps) -> None:
    counting.warm_up()
    (server,) = {psutil.Process(app._process._process.pid).ppid() for app in counting._apps}
    os.kill(server, signal.SIGKILL)
    # Not when its first thread has ended, which makes it a zombie: the others may still hold its pipes.
    until(lambda: os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    for _ in range(2):
        assert count(counting.run(Task([message()], context()), 60.0)) == (1, 1)


def test_nothing_is_left_when_the_host_closes(counting: ForkedApps, tmp_path: Path) -> None:
    counting.run(Task([message()], context()), 60.0)
    counting.warm_up()
    apps = [psutil.Process(counting._next.result()._process._process.pid)]
    counting.close()
    counting.close()
    assert not any(app.is_running() for app in apps)
    assert not (tmp_path / "jobs").exists()
    with pytest.raises(RuntimeClosedError):
        counting.run(Task([message()], context()), 60.0)


def test_an_app_that_hangs_is_ended_when_the_ttl_is_over(tmp_path: Path) -> None:
    with ForkedApps(spec(tmp_path, "hanging"), tmp_path / "jobs") as apps:
        apps.warm_up()
        outcome = apps.run(Task([message()], context()), 0.2)
        assert outcome.crash == "the ClientApp was stopped after 0.2 s, when the message's ttl was over"


def test_closing_in_mid_message_leaves_no_reply(tmp_path: Path) -> None:
    apps = ForkedApps(spec(tmp_path, "hanging"), tmp_path / "jobs")
    apps.warm_up()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            apps.run(Task([message()], context()), 60.0)
        except RuntimeClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: any((tmp_path / "jobs").glob("*/message")))
    apps.close()
    thread.join(10)
    assert len(errors) == 1


OWNER = """
import sys
from pathlib import Path
from syft_flwr.flower.app_host import ForkedApps
from syft_flwr.flower.job import AppSpec, Task

apps = ForkedApps(AppSpec(sys.argv[1], "zoo.clients:hanging"), Path(sys.argv[2]))
apps.run(Task([Path(sys.argv[3])], Path(sys.argv[4]).read_bytes()), 60.0)
"""


def test_an_owner_that_is_killed_takes_its_apps_along(tmp_path: Path) -> None:
    project = zoo_project(tmp_path, "fedavg", "hanging")
    paths = [tmp_path / name for name in ("message", "context")]
    for path, data in zip(paths, (message(), context()), strict=True):
        path.write_bytes(data)
    # The script has no `if __name__ == "__main__"`: its processes must not run it again.
    (tmp_path / "owner.py").write_text(OWNER)
    command = [sys.executable, str(tmp_path / "owner.py"), str(project), str(tmp_path / "jobs"), *map(str, paths)]
    with subprocess.Popen(command) as owner:
        try:
            until(lambda: any((tmp_path / "jobs").glob("*/message")), 60.0)
            # The fork server, its resource tracker, and the app.
            children = psutil.Process(owner.pid).children
            family = until(lambda: found if len(found := children(recursive=True)) == 3 else None)
        finally:
            owner.kill()
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


HALF_INSTALLED = """
import sys
from pathlib import Path
from syft_flwr.flower.app_host import ForkedApps
from syft_flwr.flower.job import AppSpec, Task

with ForkedApps(AppSpec(sys.argv[1], "zoo.clients:app"), Path(sys.argv[2])) as apps:
    outcome = apps.run(Task([Path(sys.argv[3])], Path(sys.argv[4]).read_bytes()), 60.0)
print([outcome.error, outcome.crash])
"""


@pytest.mark.parametrize("failure", ["RuntimeError('numpy is too new')", "SystemExit(3)"])
def test_a_library_that_fails_when_imported_keeps_no_app_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sklearn.py").write_text(f"raise {failure}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    project = zoo_project(tmp_path, "fedavg", "plain")
    optional = "try:\n    import sklearn\nexcept (RuntimeError, SystemExit):\n    sklearn = None\n"
    code = BUSY_APP.format(imports=optional, body="assert sklearn is None")
    (project / "zoo" / "clients.py").write_text(code)
    paths = [tmp_path / name for name in ("message", "context")]
    for path, data in zip(paths, (message(), context()), strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-c", HALF_INSTALLED, str(project), str(tmp_path / "jobs"), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "['', '']\n", done.stderr


LEFT_OPEN = {
    "a bare thread": "threading.Thread(target=threading.Event().wait).start()",
    "an executor of threads": "pool = ThreadPoolExecutor(2); list(pool.map(abs, [-1, -2]))",
    "an executor of processes": "pool = ProcessPoolExecutor(2); list(pool.map(abs, [-1, -2]))",
    "joblib": "joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in range(4))",
    "a grid search": "GridSearchCV(Ridge(), {'alpha': [0.1, 1.0]}, n_jobs=2, cv=2).fit(np.eye(8), np.arange(8.0))",
    "a process by fork": "start('fork')",
    "a process by spawn": "start('spawn')",
    "a process by forkserver": "start('forkserver')",
    "a program": "import subprocess; subprocess.Popen(['sleep', '3600'])",
    "an exit hook that hangs": "import atexit; atexit.register(threading.Event().wait)",
    "threads in great number": "[threading.Thread(target=threading.Event().wait).start() for _ in range(100)]",
    "a program of two": "import os; os.fork()",
    "ten megabytes of output": "print('x' * 10_000_000)",
    "no output any more": "import sys, os; sys.stdout.close(); os.close(1); os.close(2)",
    "a handler that keeps it from ending": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "threading.Thread(target=time.sleep, args=(3600,)).start()"
    ),
}
if find_spec("torch"):
    LEFT_OPEN["torch's workers"] = (
        "it = iter(DataLoader(list(range(8)), num_workers=2, persistent_workers=True)); next(it)"
    )
IMPORTS = {
    "joblib": "import joblib",
    "a grid search": "from sklearn.linear_model import Ridge; from sklearn.model_selection import GridSearchCV",
    "torch's workers": "from torch.utils.data import DataLoader",
}
BUSY_APP = """
import multiprocessing, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import numpy as np
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
{imports}

def start(method):
    process = multiprocessing.get_context(method).Process(target=time.sleep, args=(3600,))
    process.start()

app = ClientApp()

@app.train()
def train(message, context):
    global pool, it
    {body}
    return Message(RecordDict(), reply_to=message)
"""


LONG = 110.0
"""Seconds: some import a large library, beside whatever else the machine does."""


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[pytest.mark.slow] if what == "a grid search" else []) for what in LEFT_OPEN]
)
def test_the_reply_is_there_whatever_the_app_leaves_open_and_nothing_stays(tmp_path: Path, what: str) -> None:
    project = zoo_project(tmp_path, "fedavg", "plain")
    code = BUSY_APP.format(imports=IMPORTS.get(what, ""), body=LEFT_OPEN[what])
    (project / "zoo" / "clients.py").write_text(code)
    with ForkedApps(AppSpec(str(project), "zoo.clients:app"), tmp_path / "jobs") as apps:
        outcome = apps.run(Task([message()], context()), LONG)
        assert (outcome.error, outcome.crash) == ("", "")
        if what == "a bare thread":  # the next message need not wait for that either
            assert not apps.run(Task([message()], context()), LONG).crash
        family = psutil.Process().children(recursive=True)
    servers = [p for p in psutil.Process().children() if p.is_running()]
    until(lambda: not any(p.is_running() for p in family if p not in servers))


ODD_ENDS = {
    "returns nothing": ("return None", "returned a NoneType instead of a Message"),
    "returns two": ("return [message, message]", "returned a list instead of a Message"),
    "exits": ("raise SystemExit", "SystemExit"),
    "an exception without a text": ("raise type('Odd', (Exception,), {'__str__': None})()", "Odd"),
    "an exception of megabytes": ("raise ValueError('z' * 5_000_000)", "ValueError"),
    "a context that is none": ("context.state = None", "the reply can't be sent"),
    "ends the process": ("import os; os._exit(0)", "ended without a reply, exit code 0"),
    "raises what is no Exception": ("raise KeyboardInterrupt", "ended without a reply"),
    "kills its group": ("import os, signal; os.killpg(0, signal.SIGKILL)", "killed by SIGKILL"),
    "closes all files": ("import os; os.closerange(3, 256)", "ended without a reply"),
}


@pytest.mark.parametrize("what", ODD_ENDS)
def test_however_an_app_ends_its_owner_learns_why_and_the_next_message_is_taken(tmp_path: Path, what: str) -> None:
    body, told = ODD_ENDS[what]
    project = zoo_project(tmp_path, "fedavg", "plain")
    (project / "zoo" / "clients.py").write_text(BUSY_APP.format(imports="", body=body))
    with ForkedApps(AppSpec(str(project), "zoo.clients:app"), tmp_path / "jobs") as apps:
        for _ in range(2):
            outcome = apps.run(Task([message()], context()), 30.0)
            assert told in outcome.error + outcome.crash


def test_code_that_changed_since_it_was_approved_is_not_run(tmp_path: Path) -> None:
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "counting"))
    approved = AppSpec(
        str(project.directory), project.client_app, project.code_hash(), read_files(project.directory).hashes
    )
    with ForkedApps(approved, tmp_path / "jobs") as apps:
        assert count(apps.run(Task([message()], context()), 60.0)) == (1, 1)
        proof = tmp_path / "proof"
        with (project.directory / "zoo" / "clients.py").open("a") as file:
            file.write(f"\nPath({str(proof)!r}).touch()\n")
        apps.run(Task([message()], context()), 60.0)  # its process had the approved code already
        outcome = apps.run(Task([message()], context()), 60.0)
        assert "changed since the data owner started with the project: zoo/clients.py" in outcome.error
        assert not proof.exists()


def test_the_projects_own_bytecode_is_not_trusted(tmp_path: Path) -> None:
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "counting"))
    module = project.directory / "zoo" / "clients.py"
    source, stamp = module.read_text(), module.stat()
    module.write_text("raise RuntimeError('planted')".ljust(len(source)))
    os.utime(module, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    py_compile.compile(str(module), doraise=True)
    module.write_text(source)
    os.utime(module, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the bytecode looks fresh now
    with ForkedApps(AppSpec(str(project.directory), project.client_app), tmp_path / "jobs") as apps:
        assert count(apps.run(Task([message()], context()), 60.0)) == (1, 1)


def test_tracebacks_stay_here_unless_they_are_to_be_shared(tmp_path: Path) -> None:
    quiet = InProcessApps(spec(tmp_path / "a", "raising")).run(Task([message()], context()), 60.0)
    assert quiet.error == "<class 'ValueError'>:<'no data in partition 0'>"
    told = InProcessApps(spec(tmp_path / "b", "raising", share_errors=True)).run(Task([message()], context()), 60.0)
    assert "Traceback" in told.error
    assert "and a second line" in told.error


def test_slow_libraries_are_found_in_the_files_without_running_them(tmp_path: Path) -> None:
    lines = ["import numpy.linalg as la, os", "from sklearn import svm", "def f():", "    from scipy.stats import norm"]
    (tmp_path / "app.py").write_text("\n".join([*lines, "raise SystemExit"]))
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "lib.py").write_text("import torch\n")
    assert libraries(tmp_path) == ["numpy.linalg", "sklearn", "scipy.stats"]
