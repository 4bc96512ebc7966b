from __future__ import annotations

import os
import py_compile
import signal
import threading
from collections.abc import Iterator
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
from syft_flwr.flower.codec import decode, encode
from syft_flwr.flower.job import AppSpec, Outcome, Task
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.zygote import libraries

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
    reply, _ = decode(outcome.reply)
    metrics = reply.content["metrics"]
    return int(metrics["count"]), int(metrics["calls"])  # type: ignore[call-overload,arg-type]


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[ForkedApps]:
    with ForkedApps(spec(tmp_path, "counting"), tmp_path / "jobs") as apps:
        yield apps


def test_every_message_runs_in_a_fresh_process_and_gets_the_context_of_the_one_before(counting: ForkedApps) -> None:
    counting.warm_up()
    first = counting.run(Task(message(), context()), 60.0)
    second = counting.run(Task(message(), first.context), 60.0)
    assert count(first) == (1, 1)
    assert count(second) == (2, 1)
    assert context_from_bytes(second.context).state["counter"]["count"] == 2  # type: ignore[index]


def test_a_zygote_that_is_killed_is_replaced(counting: ForkedApps) -> None:
    counting.warm_up()
    counting._process.kill()
    assert count(counting.run(Task(message(), context()), 60.0)) == (1, 1)


def test_nothing_is_left_when_the_host_closes(counting: ForkedApps, tmp_path: Path) -> None:
    counting.run(Task(message(), context()), 60.0)
    family = [psutil.Process(counting._process.pid), *psutil.Process(counting._process.pid).children()]
    counting.close()
    counting.close()
    until(lambda: not any(p.is_running() for p in family))
    assert not (tmp_path / "jobs").exists()
    with pytest.raises(RuntimeClosedError):
        counting.run(Task(message(), context()), 60.0)


def test_an_app_that_hangs_is_ended_when_the_ttl_is_over(tmp_path: Path) -> None:
    with ForkedApps(spec(tmp_path, "hanging"), tmp_path / "jobs") as apps:
        apps.warm_up()
        outcome = apps.run(Task(message(), context()), 0.2)
        assert outcome.crash == "the ClientApp was stopped when the message's ttl was over, after 0 s"


def test_closing_in_mid_message_leaves_no_reply(tmp_path: Path) -> None:
    apps = ForkedApps(spec(tmp_path, "hanging"), tmp_path / "jobs")
    apps.warm_up()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            apps.run(Task(message(), context()), 60.0)
        except RuntimeClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    zygote = psutil.Process(apps._process.pid)
    until(lambda: any((tmp_path / "jobs").glob("*/message")))
    apps.close()
    thread.join(10)
    assert len(errors) == 1
    assert not zygote.is_running()


def test_an_owner_that_is_killed_takes_its_app_along(tmp_path: Path) -> None:
    apps = ForkedApps(spec(tmp_path, "hanging"), tmp_path / "jobs")
    apps.warm_up()
    zygote = psutil.Process(apps._process.pid)
    (child,) = until(zygote.children)
    os.kill(zygote.pid, signal.SIGKILL)  # as the kernel's memory killer might
    apps._process.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    apps.close()


def test_code_that_changed_since_it_was_approved_is_not_run(tmp_path: Path) -> None:
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "counting"))
    approved = AppSpec(str(project.directory), project.client_app, project.code_hash())
    with ForkedApps(approved, tmp_path / "jobs") as apps:
        assert count(apps.run(Task(message(), context()), 60.0)) == (1, 1)
        proof = tmp_path / "proof"
        with (project.directory / "zoo" / "clients.py").open("a") as file:
            file.write(f"\nPath({str(proof)!r}).touch()\n")
        apps.run(Task(message(), context()), 60.0)  # its process had the approved code already
        outcome = apps.run(Task(message(), context()), 60.0)
        assert "changed since the data owner started" in outcome.error
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
        assert count(apps.run(Task(message(), context()), 60.0)) == (1, 1)


def test_tracebacks_stay_here_unless_they_are_to_be_shared(tmp_path: Path) -> None:
    quiet = InProcessApps(spec(tmp_path / "a", "raising")).run(Task(message(), context()), 60.0)
    assert quiet.error == "<class 'ValueError'>:<'no data in partition 0'>"
    told = InProcessApps(spec(tmp_path / "b", "raising", share_tracebacks=True)).run(Task(message(), context()), 60.0)
    assert "Traceback" in told.error
    assert "and a second line" in told.error


def test_slow_libraries_are_found_in_the_files_without_running_them(tmp_path: Path) -> None:
    lines = ["import numpy.linalg as la, os", "from sklearn import svm", "def f():", "    from scipy.stats import norm"]
    (tmp_path / "app.py").write_text("\n".join([*lines, "raise SystemExit"]))
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "lib.py").write_text("import torch\n")
    assert libraries(tmp_path) == ["numpy.linalg", "sklearn", "scipy.stats"]
