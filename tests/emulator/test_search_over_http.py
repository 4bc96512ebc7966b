"""Searches, masks, batches and uploads through the real client library and as raw HTTP, good and bad."""

import base64
import http.client
import io
import json
import urllib.parse
from contextlib import closing
from datetime import UTC, datetime, timedelta

import google_auth_httplib2
import httplib2
import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseUpload
from hypothesis import given, settings
from hypothesis import strategies as st

FOLDER = "application/vnd.google-apps.folder"
ANN, BOB, CAT = "ann@example.com", "bob@example.com", "cat@example.com"


class Caller:
    """One account: the real client, and raw HTTP for what it would never send."""

    def __init__(self, emulator, email):
        document = json.loads(get_static_doc("drive", "v3"))
        document |= {"rootUrl": f"{emulator.url}/", "baseUrl": f"{emulator.url}/drive/v3/"}
        document.pop("mtlsRootUrl", None)
        self.emulator, self.email = emulator, email
        self.http = google_auth_httplib2.AuthorizedHttp(Credentials(token=email), http=httplib2.Http(timeout=30))
        self.drive = build_from_document(document, http=self.http)
        self.raw = http.client.HTTPConnection(emulator.host, timeout=30)

    def close(self):
        self.drive.close()
        self.raw.close()

    def create(self, name, *, parent=None, content=None, **metadata):
        body = {"name": name, **metadata} | ({} if parent is None else {"parents": [parent]})
        media = (
            None if content is None else MediaIoBaseUpload(io.BytesIO(content), metadata.get("mimeType", "text/plain"))
        )
        return self.drive.files().create(body=body, media_body=media, fields="id").execute()["id"]

    def share(self, file_id, email, role):
        body = {"type": "user", "role": role, "emailAddress": email}
        self.drive.permissions().create(fileId=file_id, body=body, sendNotificationEmail=False).execute()

    def names(self, q, **parameters):
        answer = self.drive.files().list(q=q, fields="files(name)", pageSize=1000, **parameters).execute()
        return sorted(file["name"] for file in answer["files"])

    def request(self, method, target, body=None, **headers):
        """Send one request as it is; return the status, the headers and the body."""
        headers = {"Authorization": f"Bearer {self.email}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        self.raw.request(method, target, body, headers)
        response = self.raw.getresponse()
        return response.status, response.headers, response.read()

    def error(self, method, target, body=None, **headers):
        """Send one request that fails; return the status and the first error."""
        status, _, content = self.request(method, target, body, **headers)
        envelope = json.loads(content)["error"]
        assert envelope["code"] == status
        assert envelope["message"] == envelope["errors"][0]["message"]
        return status, envelope["errors"][0]

    def state(self):
        """What a change of state would change."""
        token = self.drive.changes().getStartPageToken().execute()["startPageToken"]
        return token, self.emulator.files(content=False)


@pytest.fixture(scope="module")
def ann(shared_emulator):
    with closing(Caller(shared_emulator, ANN)) as caller:
        yield caller


@pytest.fixture(scope="module")
def bob(shared_emulator):
    with closing(Caller(shared_emulator, BOB)) as caller:
        yield caller


@pytest.fixture(scope="module")
def world(ann, bob):
    """Files of Ann's, some of them shared, and one of Bob's in a folder of hers; their IDs by name."""
    ids = {}
    ids["inbox"] = ann.create("syft_outbox_inbox_bob_to_ann", mimeType=FOLDER)
    ann.share(ids["inbox"], BOB, "writer")
    ids["private"] = ann.create("private", mimeType=FOLDER)
    ids["HelloWorld.txt"] = ann.create("HelloWorld.txt", parent=ids["inbox"], content=b"hello")
    ids["it's \\ 🌱"] = ann.create("it's \\ 🌱", parent=ids["private"], properties={"k": "v'", "é": '"'})
    ids["old"] = ann.create("old", createdTime="2020-05-01T12:00:00Z", modifiedTime="2020-05-02T00:00:00.123Z")
    ids["trash"] = ann.create("trash", appProperties={"a": "b"})
    ann.drive.files().update(fileId=ids["trash"], body={"trashed": True}).execute()
    ids["star"] = ann.create("star", starred=True)
    ids["open"] = ann.create("open")
    body = {"type": "anyone", "role": "reader"}
    ann.drive.permissions().create(fileId=ids["open"], body=body).execute()
    ids["read.me"] = ann.create("read.me")
    ann.share(ids["read.me"], BOB, "reader")
    ids["reply"] = bob.create("reply", parent=ids["inbox"], content=b"{}", mimeType="application/json")
    return ids


INBOX = "syft_outbox_inbox_bob_to_ann"
ALL = sorted([INBOX, "private", "HelloWorld.txt", "it's \\ 🌱", "old", "trash", "star", "open", "read.me", "reply"])


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("", ALL),
        ("trashed=false", [name for name in ALL if name != "trash"]),
        ("trashed", ["trash"]),
        ("name='HelloWorld.txt'", ["HelloWorld.txt"]),
        ("name='helloworld.TXT'and trashed=false", ["HelloWorld.txt"]),
        ("name = 'it\\'s \\\\ 🌱'", ["it's \\ 🌱"]),
        ("name contains 'hello'", ["HelloWorld.txt"]),
        ("name contains 'world'", []),
        ("name contains 'syft_outbox_inbox'", [INBOX]),
        ("fullText contains 'txt'", ["HelloWorld.txt"]),
        (f"mimeType = '{FOLDER}' and trashed = false", ["private", INBOX]),
        (f"mimeType != '{FOLDER}' and '{{inbox}}' in parents", ["HelloWorld.txt", "reply"]),
        ("mimeType contains 'application/json'", ["reply"]),
        ("'{inbox}' in parents or '{private}' in parents", ["HelloWorld.txt", "it's \\ 🌱", "reply"]),
        ("'root' in parents and (name = 'old' or name = 'star' or name = 'reply')", ["old", "star"]),
        ("not 'root' in parents", ["HelloWorld.txt", "it's \\ 🌱", "reply"]),
        ("name = 'old' or name = 'star' and trashed = true", ["old"]),
        ("(name = 'old' or name = 'star') and trashed = true", []),
        ("not (trashed = true or 'me' in owners)", ["reply"]),
        ("'BOB@example.com' in owners", ["reply"]),
        ("'bob@example.com' in writers and not 'bob@example.com' in owners", ["HelloWorld.txt", INBOX]),
        ("'bob@example.com' in readers and not 'bob@example.com' in writers", ["read.me"]),
        ("starred = true", ["star"]),
        ("starred != true and name contains 'sta'", []),
        ("createdTime = '2020-05-01T12:00:00'", ["old"]),
        ("createdTime < '2020-05-01T05:00:01-07:00'", ["old"]),
        ("createdTime <= '2020-05-01T13:00:00+02:00'", []),
        ("modifiedTime > '2020-05-02T00:00:00.1229' and modifiedTime < '2020-05-03'", ["old"]),
        ("modifiedTime >= '2020-05-03T00:00:00' and name = 'old'", []),
        ("viewedByMeTime > '2000-01-01T00:00:00'", []),
        ("properties has { key='k' and value='v\\'' }", ["it's \\ 🌱"]),
        ("properties has {key='é' and value='\"'}", ["it's \\ 🌱"]),
        ("properties has { key='a' and value='b' }", []),
        ("appProperties has { key='a' and value='b' }", ["trash"]),
        ("visibility = 'anyoneWithLink'", ["open"]),
        ("visibility != 'limited' or starred = true", ["open", "star"]),
        ("not visibility = 'limited'", ["open"]),
        ("sharedWithMe", []),
    ],
)
def test_a_search_finds_what_the_documentation_says(ann, world, q, names):
    for name in ("inbox", "private"):
        q = q.replace(f"{{{name}}}", world[name])
    assert ann.names(q) == sorted(names)


def test_another_account_finds_what_it_can_see(bob, world):
    assert bob.names("") == sorted(["HelloWorld.txt", INBOX, "read.me", "reply"])
    assert bob.names("sharedWithMe") == sorted([INBOX, "read.me"])
    assert bob.names("'me' in owners") == ["reply"]
    assert bob.names("not 'me' in writers") == ["read.me"]
    assert bob.names(f"'{world['inbox']}' in parents") == ["HelloWorld.txt", "reply"]
    assert bob.names("'root' in parents") == []


def test_a_plus_is_a_space(ann, world):
    status, _, body = ann.request("GET", "/drive/v3/files?q=name+%3D+'star'+and+trashed+%3D+false&fields=files(name)")
    assert (status, json.loads(body)) == (200, {"files": [{"name": "star"}]})


def test_a_query_too_long_for_a_url_goes_through_the_override(ann, world):
    folders = " or ".join(f"'{folder}' in parents" for folder in [world["inbox"], world["private"]] * 50)
    assert ann.names(f"({folders}) and trashed = false") == sorted(["HelloWorld.txt", "it's \\ 🌱", "reply"])


def test_a_link_to_a_folder_shows_in_the_visibility_of_what_lies_in_it(ann, world):
    folder = ann.create("linked", mimeType=FOLDER)
    ann.create("below", parent=ann.create("between", parent=folder, mimeType=FOLDER))
    new = "(name = 'linked' or name = 'between' or name = 'below')"
    assert ann.names(f"{new} and visibility = 'limited'") == ["below", "between", "linked"]
    body = {"type": "anyone", "role": "reader", "allowFileDiscovery": True}
    link = ann.drive.permissions().create(fileId=folder, body=body).execute()["id"]
    assert ann.names(f"{new} and visibility = 'limited'") == []
    assert ann.names(f"{new} and visibility != 'limited'") == ["below", "between", "linked"]
    assert ann.names(f"{new} and visibility = 'anyoneCanFind'") == ["below", "between", "linked"]
    assert ann.names(f"{new} and not visibility != 'anyoneWithLink'") == []
    ann.drive.permissions().delete(fileId=folder, permissionId=link).execute()
    assert ann.names(f"{new} and visibility = 'limited'") == ["below", "between", "linked"]
    ann.drive.files().delete(fileId=folder).execute()


def test_an_order_and_pages_hold_for_a_search(ann, world):
    found, token = [], None
    while True:
        parameters = {"q": "trashed = false", "orderBy": "name", "pageSize": 3, "pageToken": token}
        page = ann.drive.files().list(fields="nextPageToken,files(name)", **parameters).execute()
        found += [file["name"] for file in page["files"]]
        if (token := page.get("nextPageToken")) is None:
            break
    assert found == sorted((name for name in ALL if name != "trash"), key=str.lower)


@pytest.mark.parametrize("folder", ["no-such-folder", "private"])
def test_a_folder_that_cant_be_seen_makes_the_whole_search_not_found(bob, world, folder):
    q = f"'{world['inbox']}' in parents or '{world.get(folder, folder)}' in parents"
    with pytest.raises(HttpError) as caught:
        bob.names(q)
    assert caught.value.status_code == 404
    assert caught.value.error_details[0]["reason"] == "notFound"


@pytest.mark.parametrize(
    "q",
    [
        "name",
        "name = ",
        "name = x",
        "name = 'it's'",
        "title = 'x'",
        "name > 'x'",
        "'x' in name",
        "modifiedTime > 'yesterday'",
        "trashed = maybe",
        "name = 'a' and",
        "(name = 'a'",
        "name = 'a')",
        "properties has { key='a' }",
        "visibility = 'secret'",
        "not " * 1000 + "trashed",
        "name = 'a'; DROP TABLE file",
    ],
)
def test_a_malformed_query_is_a_400_at_q(ann, q):
    before = ann.state()
    with pytest.raises(HttpError) as caught:
        ann.names(q)
    assert caught.value.status_code == 400
    (detail,) = caught.value.error_details
    assert detail == {
        "message": "Invalid Value",
        "domain": "global",
        "reason": "invalid",
        "location": "q",
        "locationType": "parameter",
    }
    assert ann.state() == before


# fields


def test_without_fields_the_documented_ones_are_sent(ann, world):
    short = {"kind": "drive#file", "id": world["star"], "name": "star", "mimeType": "application/octet-stream"}
    assert ann.drive.files().get(fileId=world["star"]).execute() == short
    assert ann.drive.files().update(fileId=world["star"], body={}).execute() == short
    listed = ann.drive.files().list(q="name = 'star'").execute()
    assert listed == {"kind": "drive#fileList", "incompleteSearch": False, "files": [short]}
    (permission,) = ann.drive.permissions().list(fileId=world["star"]).execute()["permissions"]
    assert sorted(permission) == ["id", "kind", "role", "type"]


def test_fields_are_sent_exactly_as_asked_for(ann, world):
    get = ann.drive.files().get
    assert get(fileId=world["star"], fields="name").execute() == {"name": "star"}
    answer = get(fileId=world["reply"], fields="size,owners(emailAddress),capabilities/canEdit").execute()
    assert answer == {"size": "2", "owners": [{"emailAddress": BOB}], "capabilities": {"canEdit": True}}
    answer = ann.drive.files().list(q="name = 'star'", fields="files/owners/me, files(id)").execute()
    assert answer == {"files": [{"id": world["star"], "owners": [{"me": True}]}]}
    assert {"kind", "id", "permissions", "md5Checksum"} <= set(get(fileId=world["reply"], fields="*").execute())


def test_every_field_that_is_sent_is_one_that_drive_has(ann, world):
    for file_id in world.values():
        everything = ann.drive.files().get(fileId=file_id, fields="*").execute()
        for name in everything:
            assert name in ann.drive.files().get(fileId=file_id, fields=name).execute()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/drive/v3/files?fields=items(id)", "Invalid field selection items"),
        ("/drive/v3/files?fields=files(id,capabilities,canEdit)", "Invalid field selection canEdit"),
        ("/drive/v3/files/root?fields=title", "Invalid field selection title"),
        ("/drive/v3/files/root?fields=id,", "Invalid field selection id,"),
        ("/drive/v3/files/root?fields=owners(", "Invalid field selection owners("),
        ("/drive/v3/about?fields=name", "Invalid field selection name"),
        ("/drive/v3/changes?pageToken=1&fields=changes(file(title))", "Invalid field selection title"),
    ],
)
def test_a_field_that_does_not_exist_is_a_400_at_fields(ann, target, message):
    status, error = ann.error("GET", target)
    assert (status, error["reason"], error["location"], error["message"]) == (
        400,
        "invalidParameter",
        "fields",
        message,
    )


def test_about_without_fields_is_a_400(ann):
    status, error = ann.error("GET", "/drive/v3/about")
    assert (status, error["reason"], error["location"]) == (400, "required", "fields")


def test_a_write_with_a_bad_mask_writes_nothing(ann):
    before = ann.state()
    status, _ = ann.error("POST", "/drive/v3/files?fields=title", '{"name": "x"}', Content_Type="application/json")
    assert status == 400
    assert ann.state() == before


# batches


def test_a_batch_answers_each_call_on_its_own(ann, world):
    answers, errors = {}, {}

    def note(name, answer, error):
        answers[name], errors[name] = answer, error and error.status_code

    batch = ann.drive.new_batch_http_request(callback=note)
    batch.add(ann.drive.files().list(q="name = 'it\\'s \\\\ 🌱'", fields="files(id,name)"), request_id="list")
    batch.add(ann.drive.files().get(fileId="no-such-file"), request_id="missing")
    batch.add(ann.drive.files().create(body={"name": "from a batch"}, fields="name"), request_id="create")
    batch.add(ann.drive.files().get(fileId="root", fields="title"), request_id="bad mask")
    batch.execute()
    assert answers["list"]["files"] == [{"id": world["it's \\ 🌱"], "name": "it's \\ 🌱"}]
    assert answers["create"] == {"name": "from a batch"}
    assert errors == {"list": None, "missing": 404, "create": None, "bad mask": 400}
    (found,) = ann.drive.files().list(q="name = 'from a batch'").execute()["files"]
    ann.drive.files().delete(fileId=found["id"]).execute()


def batch(*calls):
    parts = "".join(
        f"--b\nContent-Type: application/http\nContent-ID: <{n}>\n\n{call}\n" for n, call in enumerate(calls)
    )
    return (parts + "--b--").encode()


MIXED = "multipart/mixed; boundary=b"


@pytest.mark.parametrize("path", ["/batch", "/batch/drive/v3"])
def test_a_call_in_a_batch_may_have_an_authorization_of_its_own(ann, world, path):
    about = "GET /drive/v3/about?fields=user/emailAddress HTTP/1.1\n"
    calls = [about + "\n", about + f"Authorization: Bearer {BOB}\n\n", about + "authorization: Bearer nobody\n\n"]
    status, headers, body = ann.request("POST", path, batch(*calls), Content_Type=MIXED)
    assert status == 200
    assert headers["content-type"].startswith("multipart/mixed; boundary=")
    assert [part in body.decode() for part in (ANN, BOB, "HTTP/1.1 401", "Content-ID: <response-2>")] == [True] * 4


def test_media_is_not_sent_in_a_batch_but_redirected(ann, world):
    call = f"GET /drive/v3/files/{world['reply']}?alt=media HTTP/1.1\n\n"
    _, _, body = ann.request("POST", "/batch/drive/v3", batch(call), Content_Type=MIXED)
    assert b"HTTP/1.1 302 Found" in body
    assert b"\r\nLocation: " in body


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        (MIXED, b""),
        (MIXED, b"--b--"),
        (MIXED, batch("GET")),
        (MIXED, batch("POST /drive/v3/files HTTP/1.1\n\n{}")[:-2]),
        (MIXED, batch(*["POST /drive/v3/files HTTP/1.1\n\n{}"] * 101)),
    ],
)
def test_a_malformed_batch_runs_none_of_its_calls(ann, content_type, body):
    before = ann.state()
    status, _ = ann.error("POST", "/batch/drive/v3", body, Content_Type=content_type)
    assert status == 400
    assert ann.state() == before


def test_calls_that_may_not_stand_in_a_batch_fail_alone(ann):
    calls = [
        "POST /batch HTTP/1.1\n\n",
        "POST /upload/drive/v3/files?uploadType=media HTTP/1.1\n\n",
        "GET /%ff%00 HTTP/1.1\n\n",
    ]
    status, _, body = ann.request(
        "POST", "/batch", batch(*calls, "GET /drive/v3/files HTTP/1.1\n\n"), Content_Type=MIXED
    )
    assert status == 200
    assert body.count(b"HTTP/1.1 200") == 1
    assert body.count(b"HTTP/1.1 4") == 3


# multipart uploads

RELATED = 'multipart/related; boundary="b"'
UPLOAD = "/upload/drive/v3/files?uploadType=multipart&fields=id,size,mimeType"


def related(metadata=b'{"name": "up"}', content=b"a\r\nb\n", newline=b"\r\n", headers=b"Content-Type: text/x"):
    lines = [b"--b", b"Content-Type: application/json", b"", metadata, b"--b", headers, b"", content, b"--b--"]
    return newline.join(lines)


@pytest.mark.parametrize(
    "body",
    [
        related(),
        related(newline=b"\n"),
        related(
            content=base64.b64encode(b"a\r\nb\n"), headers=b"Content-Type: text/x\r\nContent-Transfer-Encoding: base64"
        ),
        b"preamble\r\n" + related() + b"\r\nepilogue",
    ],
)
def test_every_way_to_write_a_multipart_upload_stores_the_same_bytes(ann, body):
    status, _, answer = ann.request("POST", UPLOAD, body, Content_Type=RELATED)
    file = json.loads(answer)
    assert (status, file["size"], file["mimeType"]) == (200, "5", "text/x")
    status, _, content = ann.request("GET", f"/drive/v3/files/{file['id']}?alt=media")
    assert (status, content) == (200, b"a\r\nb\n")
    ann.drive.files().delete(fileId=file["id"]).execute()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/related", related()),
        ("application/json", b"{}"),
        (RELATED, b""),
        (RELATED, related()[:-2]),
        (RELATED, related()[:-20]),
        (RELATED, b"--b\n\n{}\n--b--"),
        (RELATED, related(metadata=b"{")),
        (RELATED, related(metadata=b"[]")),
        (RELATED, related(metadata=b"\xff")),
        (RELATED, related(metadata=b'{"name": 3}')),
        (RELATED, related(content=b"@@@", headers=b"Content-Transfer-Encoding: base64")),
        (RELATED, related(headers=b"no header")),
        (RELATED, related(metadata=b" " * 1_200_000)),
    ],
)
def test_a_malformed_upload_is_a_400_and_stores_nothing(ann, content_type, body):
    before = ann.state()
    status, _ = ann.error("POST", UPLOAD, body, Content_Type=content_type)
    assert status == 400
    assert ann.state() == before


# Whatever comes, it is a Google-shaped 4xx and changes nothing, or an answer.

texts = st.text(max_size=40) | st.lists(
    st.sampled_from(
        [
            "name",
            "contains",
            "=",
            "'x'",
            "(",
            ")",
            "not",
            "and",
            "in",
            "parents",
            "files",
            "id",
            "*",
            ",",
            "/",
            "\\",
            "\x00",
        ]
    )
).map(" ".join)
parameters = st.dictionaries(
    st.sampled_from(
        ["q", "fields", "orderBy", "pageSize", "pageToken", "corpora", "spaces", "alt", "supportsAllDrives"]
    ),
    texts,
    max_size=4,
)
targets = st.sampled_from(["files", "files/root", "changes", "changes/startPageToken", "about", "files/generateIds"])


@settings(deadline=None)
@given(targets, parameters)
def test_any_parameters_of_a_read_are_answered_or_refused(ann, target, parameters):
    status, _, body = ann.request("GET", f"/drive/v3/{target}?{urllib.parse.urlencode(parameters)}")
    assert status < 500
    if status != 200:
        error = json.loads(body)["error"]
        assert error["code"] == status
        assert error["errors"][0]["reason"]


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([UPLOAD, "/batch", "/batch/drive/v3"]), st.booleans())
def test_any_bytes_of_an_upload_or_a_batch_are_refused_without_a_trace(ann, data, target, framed):
    before = ann.state()
    body = b"--b\r\n\r\n!" + data + b"\r\n--b\r\n" + data + b"\r\n--b--" if framed else data
    kind = MIXED if target.startswith("/batch") else RELATED
    status, _ = ann.error("POST", target, body, Content_Type=kind)
    assert 400 <= status < 500
    assert ann.state() == before


def test_a_query_means_the_same_at_any_moment_of_a_files_life(ann):
    """Search follows a file from its creation through rename, move and trash to its end."""
    start = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S")
    file_id = ann.create("first")
    folder = ann.create("folder of the moment", mimeType=FOLDER)
    recent = f"createdTime > '{start}' and name = 'first'"
    assert ann.names(recent) == ["first"]
    update = ann.drive.files().update
    update(fileId=file_id, body={"name": "second"}, addParents=folder, removeParents="root").execute()
    assert ann.names(recent) == []
    assert ann.names(f"'{folder}' in parents and name = 'second'") == ["second"]
    update(fileId=folder, body={"trashed": True}).execute()
    assert ann.names(f"'{folder}' in parents and trashed = false") == []
    assert ann.names(f"'{folder}' in parents and trashed = true") == ["second"]
    ann.drive.files().delete(fileId=folder).execute()
    assert ann.names("name = 'second'") == []
