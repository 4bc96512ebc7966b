"""Batches: calls out of a body, answers into one, as the real client writes and reads them."""

import json

import httplib2
import pytest
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from hypothesis import given
from hypothesis import strategies as st

from drive_emulator.batch import MAX_CALLS, BatchResponse, answer_id, join_batch, split_batch
from drive_emulator.errors import ApiError

MIXED = "multipart/mixed; boundary=b"


class Batcher:
    """An httplib2 transport that answers batches: each call with its own target."""

    def __init__(self, status=200):
        self.status = status
        self.requests = []

    def request(self, uri, method="GET", body=None, headers=None, **_):
        calls = split_batch(headers["content-type"], body.encode() if isinstance(body, str) else body)
        self.requests += calls
        responses = [
            BatchResponse(
                self.status,
                {"Content-Type": "application/json; charset=UTF-8"},
                json.dumps({"method": call.method, "target": call.target, "name": "é"}).encode(),
                call.content_id,
            )
            for call in calls
        ]
        content_type, content = join_batch(responses, boundary="batch_answer")
        return httplib2.Response({"status": "200", "content-type": content_type}), content

    def close(self):
        pass


def test_the_real_client_gets_an_answer_to_each_call_of_its_batch():
    transport = Batcher()
    document = json.loads(get_static_doc("drive", "v3"))
    drive = build_from_document(document, http=transport)
    answers = {}
    batch = drive.new_batch_http_request(callback=lambda name, answer, error: answers.update({name: (answer, error)}))
    batch.add(drive.files().get(fileId="a b", fields="id"), request_id="first")
    batch.add(drive.files().create(body={"name": "é🌱"}), request_id="second one")
    batch.add(drive.files().delete(fileId="x"))
    batch.execute(http=transport)
    assert [request.method for request in transport.requests] == ["GET", "POST", "DELETE"]
    assert json.loads(transport.requests[1].body) == {"name": "é🌱"}
    assert transport.requests[1].headers["content-type"] == "application/json"
    assert answers["first"][0]["target"].startswith("/drive/v3/files/a%20b?fields=id")
    assert answers["second one"][0]["name"] == "é"
    assert all(error is None for _, error in answers.values())


def test_the_real_client_sees_the_error_of_a_call():
    transport = Batcher(status=404)
    drive = build_from_document(json.loads(get_static_doc("drive", "v3")), http=transport)
    errors = []
    batch = drive.new_batch_http_request(callback=lambda _name, _answer, error: errors.append(error.status_code))
    batch.add(drive.files().get(fileId="x"))
    batch.execute(http=transport)
    assert errors == [404]


def call(head, content=b"", part=b"Content-Type: application/http\r\nContent-ID: <1>"):
    return b"--b\r\n" + part + b"\r\n\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


@pytest.mark.parametrize(
    ("head", "method", "target"),
    [
        (b"GET /drive/v3/files", "GET", "/drive/v3/files"),
        (b"GET /drive/v3/files?q=name%3D'x' HTTP/1.1", "GET", "/drive/v3/files?q=name%3D'x'"),
        (b"PATCH https://www.googleapis.com/drive/v3/files/1?fields=* HTTP/1.1", "PATCH", "/drive/v3/files/1?fields=*"),
        (b"\r\nDELETE /x HTTP/1.0", "DELETE", "/x"),
    ],
)
def test_a_request_line_may_have_a_host_or_no_version(head, method, target):
    (request,) = split_batch(MIXED, call(head) + b"--b--")
    assert (request.method, request.target, request.content_id) == (method, target, "<1>")


def test_a_call_keeps_its_own_authorization_and_the_bytes_of_its_body():
    head = b"POST /x HTTP/1.1\r\nAuthorization: Bearer inner\r\nContent-Length: 6"
    (request,) = split_batch(MIXED, call(head, b"a\r\n\r\nb\r\n") + b"--b--")
    assert request.headers["authorization"] == "Bearer inner"
    assert request.body == b"a\r\n\r\nb"


def test_an_answer_carries_the_calls_id_marked_as_a_response():
    assert answer_id("<uuid + 1>") == "<response-uuid + 1>"
    assert answer_id("1") == "response-1"
    content_type, body = join_batch([BatchResponse(204, {}, b"", None)], boundary="x")
    assert content_type == "multipart/mixed; boundary=x"
    assert body == b"--x\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--x--\r\n"


def test_a_batch_has_a_hundred_calls_at_most():
    calls = call(b"GET /x") * MAX_CALLS
    assert len(split_batch(MIXED, calls + b"--b--")) == MAX_CALLS
    with pytest.raises(ApiError, match="limit of 100 calls"):
        split_batch(MIXED, calls + call(b"GET /x") + b"--b--")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        (MIXED, b""),
        (MIXED, b"--b--"),
        (MIXED, call(b"GET /x")),
        (MIXED, call(b"") + b"--b--"),
        (MIXED, call(b"GET") + b"--b--"),
        (MIXED, call(b"GET x") + b"--b--"),
        (MIXED, call(b"get /x") + b"--b--"),
        (MIXED, call(b"GET /x y HTTP/1.1") + b"--b--"),
        (MIXED, call(b"GET /x HTTP/2") + b"--b--"),
        (MIXED, call(b"GET /\xff HTTP/1.1") + b"--b--"),
        (MIXED, call(b"GET ftp://x/ HTTP/1.1") + b"--b--"),
        (MIXED, call(b"GET /x HTTP/1.1\r\nno header") + b"--b--"),
    ],
)
def test_a_malformed_batch_is_refused(content_type, body):
    with pytest.raises(ApiError):
        split_batch(content_type, body)


fragments = st.sampled_from([b"\r\n", b"--b", b"--b--", b"GET /x", b" HTTP/1.1", b"X: y", b"Content-ID: <1>"])


@given(st.text(), st.binary() | st.lists(fragments).map(b"".join))
def test_any_bytes_are_a_batch_or_are_refused(content_type, body):
    for kind in (content_type, MIXED):
        try:
            split_batch(kind, body)
        except ApiError:
            continue


@given(st.lists(st.binary(), min_size=1, max_size=5))
def test_bodies_of_calls_come_through_to_the_byte(bodies):
    parts = [call(b"POST /x HTTP/1.1", b"?" + body) for body in bodies]
    boundary = b"b" * 40
    joined = b"".join(parts).replace(b"--b\r\nContent-Type", b"--" + boundary + b"\r\nContent-Type")
    requests = split_batch(f"multipart/mixed; boundary={boundary.decode()}", joined + b"--" + boundary + b"--")
    assert [request.body for request in requests] == [b"?" + body for body in bodies]
