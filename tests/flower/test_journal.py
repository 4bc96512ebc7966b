from __future__ import annotations

from pathlib import Path

from flower_fakes import Events, FakeDrive, FakeRpc

from syft_flwr.flower.journal import RunJournal
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.progress import silent
from syft_flwr.flower.roles import _clean_up_after


def test_a_killed_run_leaves_a_journal_of_what_is_under_way(tmp_path: Path) -> None:
    drive = FakeDrive()
    with RunJournal(tmp_path / "journal") as journal:
        assert journal.earlier() is None
        journal.begin(77, tmp_path)
        rpc = PatientRpc(FakeRpc(drive, "agg@example.com"), silent, journal)
        first, second = (rpc.send("do1@example.com", "flwr/x", "messages", b"body", 0.0) for _ in range(2))
        journal("round", round=2)
        rpc.delete_future(first)
    with (tmp_path / "journal").open("a") as file:
        file.write('{"sent": "cut o')
    with RunJournal(tmp_path / "journal") as journal:
        earlier = journal.earlier()
        assert earlier is not None
        assert (earlier.run_id, earlier.round, earlier.ended, earlier.futures) == ("77", 2, False, (second,))
        journal("round", round=3)
        earlier = journal.earlier()
        assert earlier is not None
        assert earlier.round == 3, "what was cut off takes nothing along"


def test_the_next_run_withdraws_what_is_left_and_says_so(tmp_path: Path) -> None:
    drive, progress = FakeDrive(), Events()
    with RunJournal(tmp_path / "journal") as journal:
        journal.begin(77, tmp_path)
        rpc = FakeRpc(drive, "agg@example.com")
        PatientRpc(rpc, silent, journal).send("do1@example.com", "flwr/x", "messages", b"body", 0.0)
        _clean_up_after(journal, None, rpc, progress)
        assert drive.inbox("do1@example.com") == []
        assert progress.named("interrupted") == [{"run_id": "77", "round": 0, "out": str(tmp_path)}]
        journal.begin(78, tmp_path)
        journal.end()
        _clean_up_after(journal, None, rpc, progress)
        assert len(progress.named("interrupted")) == 1
