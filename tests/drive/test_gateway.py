"""How the gateway calls: what it sends, retries, waits for, books and gives up; against scripted answers."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google.auth.exceptions
import google.oauth2.credentials
import pytest
from scripted import ME, RESET, Answer, ScriptedServer, error

from syft_flwr.drive.budget import AccountBudget
from syft_flwr.drive.fields import CHANGE_FIELDS, FILE_FIELDS
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.drive.spending import read_spending
from syft_flwr.errors import (
    ConflictError,
    CredentialsError,
    DriveError,
    DriveUnavailableError,
    ListingError,
    NotFoundError,
    PageTokenRejectedError,
    RateLimitedError,
    RuntimeClosedError,
    StorageQuotaError,
)
from syft_flwr.resources import FOLDER_MIME_TYPE, Account
from syft_flwr.testing.clock import ManualClock

OpenGateway = Callable[..., HttpDriveGateway]

TOKEN = Answer(200, {"startPageToken": "7"})
PAGE = Answer(200, {"newStartPageToken": "8", "changes": []})


def user(server: ScriptedServer, token: str = "old", expiry: datetime | None = None) -> Any:
    return google.oauth2.credentials.Credentials(
        token=token,
        refresh_token="1//refresh",
        token_uri=f"{server.url}/token",
        client_id="id",
        client_secret="secret",
        expiry=expiry,
    )


def new_token(token: str) -> Answer:
    return Answer(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})


# What is sent


def test_one_poll_is_one_call_with_the_mask_that_suffices(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    change = {"fileId": "f", "time": "t", "file": {"id": "f", "name": "n", "size": "3"}}
    server.script(Answer(200, {"newStartPageToken": "8", "changes": [change, {"changeType": "drive"}]}))
    page = gateway.list_changes("7")
    assert page.new_start_page_token == "8"
    assert [(c.file_id, c.file and c.file.size) for c in page.changes] == [("f", 3)]
    (request,) = server.requests
    assert request.path.startswith("/drive/v3/changes?")
    assert request.query.items() >= {
        "pageToken": "7",
        "pageSize": "1000",
        "fields": CHANGE_FIELDS,
        "includeItemsFromAllDrives": "true",
        "supportsAllDrives": "true",
    }.items()  # fmt: skip
    assert request.headers["authorization"] == f"Bearer {ME}"


def test_a_list_follows_every_page_lazily(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(
        Answer(200, {"files": [{"id": "a", "name": "a"}], "nextPageToken": "p2"}),
        Answer(200, {"files": [], "nextPageToken": "p3"}),
        Answer(200, {"files": [{"id": "b", "name": "b"}]}),
    )
    files = gateway.list_files("name = 'x'")
    assert not server.requests
    assert [file.id for file in files] == ["a", "b"]
    assert [request.query.get("pageToken") for request in server.requests] == [None, "p2", "p3"]
    assert server.requests[0].query["fields"] == f"nextPageToken,incompleteSearch,files({FILE_FIELDS})"


def test_a_query_too_long_for_a_url_goes_as_a_post_and_so_does_its_retry(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    server.script(error(503, "backendError"), Answer(200, {"files": []}))
    query = " or ".join(f"'{i:033}' in parents" for i in range(50))
    assert list(gateway.list_files(query)) == []
    for request in server.requests:
        assert (request.verb, request.headers["x-http-method-override"]) == ("POST", "GET")
        assert request.body.startswith(b"q=")


def test_ids_are_generated_a_thousand_at_a_time(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(Answer(200, {"ids": ["a"] * 1000}), Answer(200, {"ids": ["b"] * 500}))
    assert len(gateway.generate_ids(1500)) == 1500
    assert [request.query["count"] for request in server.requests] == ["1000", "500"]


def test_sharing_sends_no_mail(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(Answer(200, {"id": "p"}))
    gateway.share("f", "you@example.com")
    (request,) = server.requests
    assert request.query["sendNotificationEmail"] == "false"
    assert json.loads(request.body) == {"type": "user", "role": "writer", "emailAddress": "you@example.com"}


def test_concurrent_shares_of_one_file_come_one_after_the_other(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    together, waiting = threading.Barrier(2), threading.Semaphore(0)

    def try_to_overlap() -> None:
        waiting.release()
        with pytest.raises(threading.BrokenBarrierError):
            together.wait(0.1)

    server.script(Answer(200, {"id": "p"}, before=try_to_overlap), Answer(200, {"id": "q"}, before=try_to_overlap))
    threads = [threading.Thread(target=gateway.share, args=("f", f"{i}@example.com")) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert waiting.acquire(timeout=1)
    assert waiting.acquire(timeout=1)


def test_a_folder_in_the_root_has_no_parents(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(Answer(200, {"id": "f", "name": "n", "mimeType": FOLDER_MIME_TYPE}))
    assert gateway.create_folder("f", "n", None).is_folder
    assert json.loads(server.requests[0].body) == {"id": "f", "name": "n", "mimeType": FOLDER_MIME_TYPE}


# Retries


def test_lost_answers_and_outages_are_retried_and_booked(
    server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock
) -> None:
    server.script(RESET, error(503, "backendError"), error(500, "internalError"), PAGE)
    assert gateway.list_changes("7").new_start_page_token == "8"
    usage = gateway.meter.snapshot().methods["changes.list"]
    assert (usage.calls, usage.retries, usage.units) == (4, 3, 400)
    assert len(server.requests) == 4
    assert 0 < clock.monotonic() < 2


def test_nothing_is_sent_twice_behind_the_meters_back(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(TOKEN, *[RESET] * 8)
    gateway.get_start_page_token()
    with pytest.raises(DriveUnavailableError):
        gateway.list_changes("7")
    assert gateway.meter.snapshot().calls == len(server.requests) == 9


def test_a_connection_is_kept_and_shared_by_threads_one_after_the_other(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    server.script(*[TOKEN] * 5)
    for _ in range(5):
        thread = threading.Thread(target=gateway.get_start_page_token)
        thread.start()
        thread.join(10)
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_costs_no_attempt(
    server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock
) -> None:
    hung_up = threading.Event()
    server.script(Answer(200, TOKEN.body, hung_up=hung_up), TOKEN)
    gateway.get_start_page_token()
    assert hung_up.wait(5)
    gateway.get_start_page_token()
    assert server.connections == 2
    assert gateway.meter.snapshot().calls == 2
    assert not clock.waits


def test_attempts_are_bounded(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(*[error(503, "backendError")] * 20)
    with pytest.raises(DriveUnavailableError) as caught:
        gateway.get_start_page_token()
    assert caught.value.status == 503
    assert len(server.requests) == 8


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(400, "invalid", location="fields"), DriveError),
        (error(400, "invalid", location="pageToken"), PageTokenRejectedError),
        (error(404, "notFound"), PageTokenRejectedError),
        (error(410, "gone"), PageTokenRejectedError),
        (error(403, "sharingRateLimitExceeded"), RateLimitedError),
        (error(429, "rateLimitExceeded", headers={"retry-after": "7200"}), RateLimitedError),
    ],
)
def test_what_no_retry_will_change_is_raised_at_once(
    server: ScriptedServer, gateway: HttpDriveGateway, answer: Answer, expected: type[DriveError]
) -> None:
    server.script(answer)
    with pytest.raises(DriveError) as caught:
        gateway.list_changes("7")
    assert type(caught.value) is expected
    assert len(server.requests) == 1


def test_retry_after_is_waited_for(server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock) -> None:
    server.script(error(429, "rateLimitExceeded", headers={"retry-after": "30"}), TOKEN)
    gateway.get_start_page_token()
    assert clock.waits == (30.0,)
    assert gateway.meter.throttled == 1


@pytest.mark.parametrize(
    "answer", [Answer(200, b"<html>a portal</html>"), Answer(200, b"\xff"), Answer(200, {"changes": []})]
)
def test_an_answer_that_is_none_of_drives_is_an_outage(
    server: ScriptedServer, gateway: HttpDriveGateway, answer: Answer
) -> None:
    server.script(answer, PAGE)
    assert gateway.list_changes("7").new_start_page_token == "8"


def test_an_answer_that_breaks_off_is_retried(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(Answer(200, PAGE.body, cut=10), PAGE)
    assert gateway.list_changes("7").new_start_page_token == "8"


def test_an_answer_that_drips_for_ever_is_broken_off(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(timeout=0.3)
    server.script(Answer(200, b" " * 100_000, drips=True), TOKEN)
    assert gateway.get_start_page_token() == "7"


@pytest.mark.parametrize("token", [7, ["7"], {"7": 7}, True])
def test_a_page_token_that_is_no_text_is_none_of_drives(
    server: ScriptedServer, gateway: HttpDriveGateway, token: Any
) -> None:
    server.script(Answer(200, {"changes": [], "nextPageToken": token}), PAGE)
    assert gateway.list_changes("7").new_start_page_token == "8"
    server.script(Answer(200, {"files": [], "nextPageToken": token}), Answer(200, {"files": []}))
    assert list(gateway.list_files("trashed = false")) == []


def test_a_list_that_shows_what_can_not_be_read_is_not_whole_and_what_it_shows_counts(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    server.script(Answer(200, {"files": [{"id": "f", "createdTime": 7}, {"id": "g", "name": "n"}]}))
    files = gateway.list_files("trashed = false")
    assert next(files).id == "g"
    with pytest.raises(ListingError):
        next(files)


def test_a_call_that_hangs_is_repeated_once(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(timeout=0.1)
    for _ in range(3):
        server.script(Answer(200, b" " * 100_000, drips=True))
    with pytest.raises(DriveUnavailableError):
        gateway.get_start_page_token()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [Answer(200, b""), Answer(201, b""), Answer(202, b""), Answer(404, b"<html>portal</html>"), Answer(404, {"a": 1})],
)
def test_nothing_but_the_answers_of_drive_to_a_deletion_is_one(
    server: ScriptedServer, gateway: HttpDriveGateway, answer: Answer
) -> None:
    server.script(answer, Answer(204, b""))
    assert gateway.delete("f")
    assert len(server.requests) == 2


def test_a_folder_whose_answer_was_lost_is_found_again(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    folder = {"id": "f", "name": "n", "mimeType": FOLDER_MIME_TYPE}
    server.script(RESET, error(409, "fileIdInUse"), Answer(200, folder))
    assert gateway.create_folder("f", "n", "p").id == "f"
    assert [json.loads(request.body)["id"] for request in server.requests[:2]] == ["f", "f"]


def test_an_id_that_is_another_files_is_no_success(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(error(409, "fileIdInUse"), Answer(200, {"id": "f", "name": "another", "size": "1"}))
    with pytest.raises(ConflictError, match="that of another file"):
        gateway.upload("f", "n", "p", b"x")
    server.script(error(409, "fileIdInUse"), Answer(200, {"id": "f", "name": "another"}))
    with pytest.raises(ConflictError, match="that of another file"):
        gateway.create_folder("f", "n", "p")


def test_deleting_what_is_gone_succeeds(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(RESET, error(404, "notFound"))
    gateway.delete("f")


def test_a_refused_write_slows_further_writes_and_reads_do_not_wait(
    server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock
) -> None:
    server.script(error(403, "userRateLimitExceeded"), *[Answer(204, b"")] * 25, TOKEN)
    for _ in range(25):
        gateway.delete("f")
    waited = clock.monotonic()
    assert waited > 1.5
    gateway.get_start_page_token()
    assert clock.monotonic() == waited


# Tokens


def test_a_refused_token_is_replaced_once(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(user(server))
    server.script(error(401, "authError"), new_token("new"), TOKEN)
    assert gateway.get_start_page_token() == "7"
    assert [request.headers.get("authorization") for request in server.requests] == [
        "Bearer old",
        None,
        "Bearer new",
    ]


def test_a_new_token_that_is_refused_too_is_a_clear_error(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(user(server))
    server.script(error(401, "authError"), new_token("new"), error(401, "authError"))
    with pytest.raises(CredentialsError, match="Log in again"):
        gateway.get_start_page_token()
    assert len(server.requests) == 3


def test_a_proxy_that_asks_for_a_login_of_its_own_is_an_outage(
    server: ScriptedServer, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(user(server))
    page = Answer(401, b"<html>log in to the proxy</html>")
    server.script(page, new_token("new"), page, TOKEN)
    assert gateway.get_start_page_token() == "7"


def test_a_proxys_own_401_is_an_outage_also_for_a_token_that_can_not_be_replaced(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    server.script(Answer(401, b"<html>log in to the proxy</html>"), TOKEN)
    assert gateway.get_start_page_token() == "7"


def test_a_token_that_has_expired_is_replaced_before_the_call(
    server: ScriptedServer, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(user(server, expiry=datetime(2001, 1, 1)))  # noqa: DTZ001 - google-auth's are naive
    server.script(new_token("new"), TOKEN)
    gateway.get_start_page_token()
    assert server.requests[-1].headers["authorization"] == "Bearer new"


def test_threads_whose_token_was_refused_share_one_refresh(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(user(server))
    refused = threading.Barrier(3)
    unauthorised = Answer(401, {}, before=lambda: refused.wait(10))
    server.script(*[unauthorised] * 3, new_token("new"), *[TOKEN] * 3)
    threads = [threading.Thread(target=gateway.get_start_page_token) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [request.path for request in server.requests].count("/token") == 1
    assert len(server.requests) == 7


def test_invalid_grant_says_to_log_in_again(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(user(server))
    grant = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    server.script(error(401, "authError"), Answer(400, grant))
    with pytest.raises(CredentialsError, match=r"Log in again.*7 days"):
        gateway.get_start_page_token()
    assert len(server.requests) == 2


def test_an_outage_of_the_token_endpoint_is_retried(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(user(server, expiry=datetime(2001, 1, 1)))  # noqa: DTZ001 - google-auth's are naive
    server.script(RESET, new_token("new"), TOKEN)
    assert gateway.get_start_page_token() == "7"


_PORTAL = b"<html>log in to the network</html>"


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status, _PORTAL) for status in (200, 204, 401, 403, 404, 407, 511)),
        *(Answer(status, _PORTAL, {"Location": "/portal"}) for status in (302, 307, 308)),
        *(Answer(200, content) for content in (b"", b"\xff", b"null", b"[]", b"{}", b"[" * 100_000)),
        *(Answer(200, {"access_token": token}) for token in (None, 5, "", "a\nb")),
        *(Answer(200, {"access_token": "a", "expires_in": span}) for span in ("soon", [], 1e300)),
        *(Answer(400, content) for content in (b"{}", b"[1]", {"error": "slow_down"})),
        Answer(403, {"error": "rate_limit_exceeded"}),
    ],
)
@pytest.mark.parametrize("call", ["changes.list", "files.get_media"])
def test_what_is_no_answer_of_a_login_is_an_outage_and_gets_no_secret(
    server: ScriptedServer, open_gateway: OpenGateway, tmp_path: Path, answer: Answer, call: str
) -> None:
    gateway = open_gateway(user(server, expiry=datetime(2001, 1, 1)))  # noqa: DTZ001 - google-auth's are naive
    if call == "changes.list":
        server.script(answer, new_token("new"), PAGE)
        assert gateway.list_changes("7").new_start_page_token == "8"
    else:
        server.script(answer, new_token("new"), Answer(200, b"abc"))
        gateway.download("a" * 33, tmp_path / "body", size=3, sha256=None)
    assert [request.path for request in server.requests[:2]] == ["/token", "/token"]


def test_an_error_of_any_depth_is_an_outage_for_a_download_as_well(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    server.script(Answer(403, b"[" * 100_000), Answer(200, b"abc"))
    gateway.download("a" * 33, tmp_path / "body", size=3, sha256=None)


def test_an_outage_does_not_quote_the_page_that_came(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(*[Answer(200, b"\xff" * 10_000)] * 8)
    with pytest.raises(DriveUnavailableError) as caught:
        gateway.list_changes("7")
    assert len(str(caught.value)) < 500


def test_no_log_line_and_no_error_holds_a_token_or_a_body(
    server: ScriptedServer, open_gateway: OpenGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = open_gateway(user(server, token="ya29.secret"))
    server.script(error(503, "backendError"), error(401, "authError"), new_token("ya29.second"), error(400, "invalid"))
    with caplog.at_level(logging.DEBUG, logger="syft_flwr"), pytest.raises(DriveError) as caught:
        gateway.upload("f", "n", "p", b"the body")
    assert caplog.records
    for secret in ("ya29", "1//refresh", "the body"):
        assert secret not in caplog.text + repr(caught.value)


# Accounts without storage


def test_an_account_without_storage_is_warned_of_at_once(
    server: ScriptedServer, gateway: HttpDriveGateway, caplog: pytest.LogCaptureFixture
) -> None:
    who = {"user": {"emailAddress": ME, "permissionId": "42"}}
    server.script(Answer(200, {**who, "storageQuota": {"limit": "0"}}), Answer(200, {**who, "storageQuota": {}}))
    assert gateway.about() == Account(ME, "42")
    assert "shared drive" in caplog.text
    caplog.clear()
    gateway.about()
    assert not caplog.records


def test_a_service_account_that_can_not_store_is_told_the_ways_out(
    server: ScriptedServer, open_gateway: OpenGateway
) -> None:
    class Robot(google.oauth2.credentials.Credentials):  # type: ignore[misc]
        service_account_email = "robot@project.iam.gserviceaccount.com"

    gateway = open_gateway(Robot(token="t"))
    server.script(error(403, "storageQuotaExceeded"))
    with pytest.raises(StorageQuotaError, match=r"OAuth login.*delegation.*shared drive"):
        gateway.upload("f", "n", "p", b"x")


# Budget


def test_the_budget_holds_calls_back(server: ScriptedServer, open_gateway: OpenGateway, clock: ManualClock) -> None:
    gateway = open_gateway(budget=AccountBudget(per_minute=600))
    server.script(*[PAGE] * 7)
    times = []
    for _ in range(7):
        gateway.list_changes("7")
        times.append(clock.monotonic())
    assert times == pytest.approx([0, 0, 15, 30, 45, 60, 75]), "two thirds of it, spread over the minute"
    assert gateway.meter.snapshot().stretched > 0


@pytest.mark.parametrize("unreachable", ["Drive", "Google's login"])
def test_calls_that_never_came_to_drive_are_not_on_the_day_s_bill(
    server: ScriptedServer, open_gateway: OpenGateway, tmp_path: Path, unreachable: str
) -> None:
    class Offline(google.oauth2.credentials.Credentials):
        def refresh(self, request: object) -> None:
            raise google.auth.exceptions.TransportError("no route to host")

    credentials = Offline(token=None, refresh_token="r") if unreachable == "Google's login" else None
    gateway = open_gateway(credentials, budget=AccountBudget(per_day=1_000, path=tmp_path / "budget"))
    if unreachable == "Drive":
        server.close()
    for _ in range(11):
        with pytest.raises(DriveUnavailableError):
            gateway.list_changes("7")
    spending = read_spending(tmp_path / "budget", ManualClock())
    assert (spending.today, sum(spending.methods.values()), sum(spending.processes.values())) == (0, 0, 0)


def test_without_a_budget_nothing_waits(gateway: HttpDriveGateway) -> None:
    assert gateway.budget_delay(1_000_000) == 0


# Drive's clock


def test_server_time_is_the_last_date_and_the_time_since(
    server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock
) -> None:
    assert gateway.server_time() == clock.time()
    there = datetime(2030, 1, 1, tzinfo=UTC)
    server.script(
        Answer(200, TOKEN.body, {"date": there.strftime("%a, %d %b %Y %H:%M:%S GMT")}),
        Answer(200, TOKEN.body, {"date": "yesterday"}),
    )
    gateway.get_start_page_token()
    clock.advance(90)
    assert gateway.server_time() == (there + timedelta(seconds=90)).timestamp()
    gateway.get_start_page_token()
    assert gateway.server_time() == (there + timedelta(seconds=90)).timestamp()


def test_a_date_that_jumps_is_believed_when_the_answers_of_a_minute_agree(
    server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock
) -> None:
    def ask(moment: datetime) -> float:
        server.script(Answer(200, TOKEN.body, {"date": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")}))
        gateway.get_start_page_token()
        return gateway.server_time()

    there, elsewhere = datetime(2030, 1, 1, tzinfo=UTC), datetime(2029, 12, 29, tzinfo=UTC)
    ask(there)
    assert {ask(elsewhere) for _ in range(20)} == {there.timestamp()}, "many answers of one moment are one witness"
    clock.advance(59)
    assert ask(elsewhere + timedelta(seconds=59)) == (there + timedelta(seconds=59)).timestamp()
    clock.advance(1)
    assert ask(elsewhere + timedelta(seconds=60)) == (elsewhere + timedelta(seconds=60)).timestamp()


def test_a_date_that_jumps_away_from_what_the_machines_clock_confirms_is_never_believed(
    server: ScriptedServer, gateway: HttpDriveGateway, clock: ManualClock
) -> None:
    def ask(ahead: float) -> float:
        moment = datetime.fromtimestamp(clock.time() + ahead, UTC)
        server.script(Answer(200, TOKEN.body, {"date": moment.strftime("%a, %d %b %Y %H:%M:%S GMT")}))
        gateway.get_start_page_token()
        return gateway.server_time() - clock.time()

    ask(0.0)
    for _ in range(10):
        clock.advance(60)
        assert abs(ask(-3 * 86_400)) < 2


# Closing


def run(call: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    raised: list[BaseException] = []

    def target() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    return thread, raised


def test_a_closed_gateway_refuses_calls(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    gateway.close()
    gateway.close()
    with pytest.raises(RuntimeClosedError):
        gateway.get_start_page_token()
    assert not server.requests


def test_close_ends_the_wait_before_a_retry(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    clock = ManualClock()
    gateway = open_gateway(clock=clock)
    server.script(error(503, "backendError"))
    thread, raised = run(gateway.get_start_page_token)
    clock.await_waiters(1)
    gateway.close()
    thread.join(5)
    assert [type(error) for error in raised] == [RuntimeClosedError]
    assert len(server.requests) == 1


def test_close_ends_a_wait_for_the_write_rate(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    clock = ManualClock()
    gateway = open_gateway(clock=clock)
    # Parked, so raised without a retry; and a refused write all the same.
    server.script(error(403, "sharingRateLimitExceeded"))
    with pytest.raises(RateLimitedError):
        gateway.share("f", "you@example.com")
    thread, raised = run(lambda: gateway.delete("f"))
    clock.await_waiters(1)
    gateway.close()
    thread.join(5)
    assert [type(error) for error in raised] == [RuntimeClosedError]
    assert len(server.requests) == 1


def test_close_ends_a_wait_for_the_budget(server: ScriptedServer, open_gateway: OpenGateway) -> None:
    clock = ManualClock()
    gateway = open_gateway(clock=clock, budget=AccountBudget(per_minute=400))
    server.script(PAGE)
    gateway.list_changes("7")
    thread, raised = run(lambda: gateway.list_changes("7"))
    clock.await_waiters(1)
    gateway.close()
    thread.join(5)
    assert [type(error) for error in raised] == [RuntimeClosedError]


def test_close_breaks_off_a_call_that_hangs(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    released = threading.Event()
    server.script(Answer(200, TOKEN.body, before=lambda: released.wait(20)))
    thread, raised = run(gateway.get_start_page_token)
    assert server.arrived.acquire(timeout=5)
    gateway.close()
    thread.join(5)
    released.set()
    assert [type(error) for error in raised] == [RuntimeClosedError]
    assert len(server.requests) == 1


def test_a_missing_file_is_not_found(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(error(404, "notFound"))
    with pytest.raises(NotFoundError, match="text of notFound"):
        gateway.get_file("f")
