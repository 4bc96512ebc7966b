"""The aggregator's part of a run: waits for data owners, runs the ServerApp, ends the run, keeps the result."""

from __future__ import annotations

import json
import logging
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syft_flwr.errors import ConfigurationError, FlowerError, TerminatedError
from syft_flwr.flower._compat import (
    AGGREGATOR_NODE_ID,
    FLWR_VERSION,
    Context,
    RecordDict,
    Run,
    ServerApp,
    get_fused_config_from_dir,
    load_server_app,
    set_task_identity,
)
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.grid import FlowerGrid
from syft_flwr.flower.journal import RunJournal
from syft_flwr.flower.progress import Fanout, Progress, silent
from syft_flwr.flower.project import Config, FlowerProject
from syft_flwr.flower.recorder import Recorder
from syft_flwr.flower.resumption import Resumption
from syft_flwr.flower.run_counts import RunCounts
from syft_flwr.flower.runs import RunRecord
from syft_flwr.flower.transport import Rpc
from syft_flwr.printable import text_of
from syft_flwr.private import make_directories, write_private

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How the aggregator runs a project.

    ``min_available`` is how many owners must be there at the start, ``None`` for all. ``patience`` bounds the wait
    for them, ``farewell`` the wait for their answers to the stop message; both are seconds. ``resume`` is to go on with
    the run before, in its directory, instead of starting one.
    """

    datasites: tuple[str, ...]
    overrides: Config
    out: Path
    min_available: int | None = None
    patience: float = 43_200.0
    farewell: float = 10.0
    checkpoints: bool = True
    resume: bool = False

    def __post_init__(self) -> None:
        """Check it, before anything of the run is there.

        Raises:
            ConfigurationError: More owners are needed than there are.
        """
        if not 1 <= self.needed <= len(self.datasites):
            count = f"{len(self.datasites)} data owner{'s' if len(self.datasites) > 1 else ''}"
            raise ConfigurationError(
                f"min_available is {self.needed}, but the project has {count}; name more, or wait for fewer"
            )

    @property
    def needed(self) -> int:
        return len(self.datasites) if self.min_available is None else self.min_available


class Aggregation:
    """One run of a project's ServerApp, with its results."""

    def __init__(
        self,
        project: FlowerProject,
        plan: RunPlan,
        progress: Progress = silent,
        *,
        spool: Path | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        """Prepare a run, or go on with the one of ``resumption``; nothing of the project is executed yet.

        ``spool`` is for large arrays that are not in use, by default the system's directory for temporary files.
        """
        self._project = project
        self._plan = plan
        self._counts = RunCounts()
        self._progress = Fanout(self._counts, progress)
        self._resumption = resumption
        self._recorder = Recorder(
            self._progress,
            plan.out / "checkpoints" if plan.checkpoints else None,
            spool,
            None if resumption is None else resumption.playback,
        )
        self._spool = spool
        self.out = plan.out
        self._hash = project.code_hash()
        self._last_seen: dict[str, float | None] = {}
        self._started = time.time() if resumption is None else resumption.record.started
        self.run_id = secrets.randbits(62) + 1 if resumption is None else int(resumption.record.run_id)

    @property
    def taken_over(self) -> Mapping[str, str] | None:
        """Futures of the messages under way when the run was interrupted, by message ID; ``None`` for a new run."""
        return None if self._resumption is None else self._resumption.messages

    def run(self, rpc: Rpc, journal: RunJournal | None = None) -> None:
        """Run the ServerApp to its end; a journal is told of each request that is sent or deleted.

        Raises:
            FlowerError: Too few owners came, or the ServerApp raised.
        """
        project, plan = self._project, self._plan
        run_config = get_fused_config_from_dir(project.directory, dict(plan.overrides))
        set_task_identity(self.run_id, AGGREGATOR_NODE_ID)
        grid = FlowerGrid(
            rpc,
            project.app_name,
            plan.datasites,
            Stamp(FLWR_VERSION, self._hash, self._started, plan.overrides),
            earlier=self.taken_over,
            progress=self._progress,
            spool=self._spool,
            journal=journal,
        )
        grid.set_run(Run.create_empty(self.run_id))
        self._progress(
            "project",
            name=project.name,
            hash=self._hash,
            run_id=str(self.run_id),
            owners=list(plan.datasites),
            flwr=FLWR_VERSION,
        )
        make_directories(plan.out)
        self._record().write(plan.out)
        if self._resumption is not None:
            self._progress("resumed", run_id=str(self.run_id), round=self._resumption.playback.state.round)
        ending = "the run was interrupted"
        try:
            grid.greet()
            app = self._load_app()  # while the owners answer
            self._gather(grid)
            self._progress("run_started", run_id=str(self.run_id))
            self._run_app(app, grid, Context(self.run_id, AGGREGATOR_NODE_ID, {}, RecordDict(), run_config))
            for kind, reasons in self._counts.failed_types().items():
                self._progress("failed", type=kind, reasons=reasons)
            ending = "the run is complete"
        except TerminatedError:
            ending = ""  # the machine may go down; the owners wait for a process that goes on
            raise
        except FlowerError:
            ending = "the run failed; its aggregator knows why"  # the error itself may tell of other owners
            raise
        finally:
            if ending:
                self._dismiss(grid, ending)
            else:
                grid.leave()

    def recall(self, event: str, fields: Mapping[str, Any]) -> None:
        """Count an event of the process that had this run in hand before."""
        self._counts(event, **{name: value for name, value in fields.items() if name != "time"})

    def _record(self) -> RunRecord:
        project, plan = self._project, self._plan
        return RunRecord(
            project=project.name,
            directory=str(project.directory),
            project_hash=self._hash,
            run_id=str(self.run_id),
            started=self._started,
            owners=plan.datasites,
            run_config=plan.overrides,
            flwr=FLWR_VERSION,
            pid=os.getpid(),
        )

    def result(self) -> dict[str, Any]:
        """Return the run's outcome as JSON can hold it, without the arrays."""
        return {
            "project": self._project.name,
            "project_hash": self._hash,
            "run_id": str(self.run_id),
            "flwr": FLWR_VERSION,
            "owners": list(self._plan.datasites),
            "rounds": self._recorder.rounds(),
            "failures": self._counts.failed_types(),
            "traffic": self._counts.rounds,
            "timeline": self._counts.timeline,
            "last_seen": self._last_seen,
        }

    def save(self, extra: Mapping[str, Any]) -> tuple[Path, Path | None]:
        """Write ``result.json`` and, if there are arrays, ``arrays.npz``; return their paths."""
        out = self._plan.out
        make_directories(out)
        path = self._recorder.save(out / "arrays.npz")
        result = out / "result.json"
        content = {**self.result(), "arrays": path.name if path else None, **extra}
        write_private(result, json.dumps(content, indent=2, default=str).encode() + b"\n")
        return result, path

    def _gather(self, grid: FlowerGrid) -> None:
        if not grid.presence.wait_for(self._plan.needed, self._plan.patience):
            missing = ", ".join(f"{email} ({why})" for email, why in grid.presence.missing().items())
            raise FlowerError(
                f"only {len(grid.presence.node_ids())} of {self._plan.needed} data owners came within "
                f"{self._plan.patience:.0f} s; missing: {missing}. Have them run 'syft-flwr run' on this project, "
                "or start with fewer by --min-available, as far as the strategy does with them (Flower's ask for "
                "min_available_nodes=2 by themselves)"
            )

    def _load_app(self) -> ServerApp:
        try:
            return load_server_app(self._project.server_app, self._project.directory)
        except (Exception, SystemExit) as error:  # whatever the project's modules raise
            logger.exception("the ServerApp %s can't be loaded", self._project.server_app)
            raise FlowerError(f"the ServerApp can't be loaded: {type(error).__name__}: {text_of(error)}") from error

    def _run_app(self, app: ServerApp, grid: FlowerGrid, context: Context) -> None:
        try:
            with self._recorder.watching(grid.require, grid.refused):
                app(grid=grid, context=context)
        except (Exception, SystemExit) as error:  # whatever the project raises
            if isinstance(error, SystemExit) and not error.code:  # an end like any other
                return
            logger.exception("the ServerApp raised an exception")
            raise FlowerError(f"the ServerApp raised {type(error).__name__}: {text_of(error)}") from error

    def _dismiss(self, grid: FlowerGrid, reason: str) -> None:
        self._last_seen = grid.presence.last_seen_at()
        self._progress("dismissed", reason=reason)
        silent_owners = grid.stop_owners(reason, self._plan.farewell)
        if silent_owners:
            logger.warning("no answer to the stop message yet from %s", ", ".join(silent_owners))
        grid.close()
