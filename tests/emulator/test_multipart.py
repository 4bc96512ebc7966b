"""Multipart bodies: what clients send, cut anywhere, and what is no multipart body."""

import base64
import io
import json
import tracemalloc

import pytest
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.http import HttpMockSequence, MediaIoBaseUpload
from hypothesis import given
from hypothesis import strategies as st

from drive_emulator.multipart import MultipartError, MultipartParser, PartBegin, PartEnd, RelatedUpload

RELATED = 'multipart/related; boundary="b"'


def upload(body, content_type=RELATED, size=1 << 20):
    """Parse a body in chunks of a size; return metadata, type of the content, content."""
    parser = RelatedUpload(content_type)
    content = b""
    for start in range(0, len(body), size):
        content += b"".join(parser.feed(body[start : start + size]))
    parser.finish()
    return parser.metadata, parser.media_type, content


def body_of(metadata, content, newline=b"\r\n", boundary=b"b", headers=b"Content-Type: text/plain"):
    lines = [
        b"--" + boundary,
        b"Content-Type: application/json; charset=UTF-8",
        b"",
        metadata,
        b"--" + boundary,
        headers,
        b"",
        content,
        b"--" + boundary + b"--",
    ]
    return newline.join(lines)


def test_the_real_clients_upload_is_parsed():
    drive = build_from_document(json.loads(get_static_doc("drive", "v3")), http=HttpMockSequence([]))
    content = bytes(range(256)) + b"\r\n--\n\r"
    media = MediaIoBaseUpload(io.BytesIO(content), mimetype="application/octet-stream")
    request = drive.files().create(body={"name": "é🌱"}, media_body=media)
    metadata, media_type, received = upload(request.body, request.headers["content-type"], size=7)
    assert json.loads(metadata) == {"name": "é🌱"}
    assert (media_type, received) == ("application/octet-stream", content)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\r", b"\n", b"\r\n", b"--b", b"x--b--", b"\r\n--", b"\n--bb\n", b"\r\n--bee\r\n", b"\0\xff" * 100],
)
def test_content_arrives_to_the_byte_however_it_is_cut(newline, content):
    if content == b"--b":
        content += b"?"  # at the start of a line it would be a boundary, were the line to end there
    body = body_of(b'{"name": "n"}', content, newline)
    for size in (1, 2, 3, 1000):
        assert upload(body, size=size) == (b'{"name": "n"}', "text/plain", content)


def test_a_preamble_an_epilogue_and_blanks_after_a_boundary_are_no_content():
    body = b"preamble\r\n--b \t\r\n\r\n{}\r\n--b\t\r\nContent-Type: a/b\r\n\r\nx\r\n--b--  \r\nepilogue\r\n--b\r\n"
    for size in (1, 1000):
        assert upload(body, size=size) == (b"{}", "a/b", b"x")


def test_a_part_whose_headers_are_followed_by_a_boundary_is_empty():
    assert upload(b"--b\n\n{}\n--b\nX: y\n\n--b--") == (b"{}", None, b"")


def test_headers_may_be_folded_and_in_any_case():
    parser = MultipartParser("Multipart/Mixed; BOUNDARY=b")
    assert list(parser.feed(b"--b\r\nCONTENT-id: one\r\n two\r\nx:y\r\n\r\n\r\n--b--")) == [
        PartBegin({"content-id": "one two", "x": "y"}),
        PartEnd(),
    ]


@given(st.binary(), st.integers(1, 50), st.integers(1, 100))
def test_base64_content_is_decoded(content, width, size):
    digits = base64.b64encode(content)
    lines = b"\r\n".join(digits[start : start + width] for start in range(0, len(digits), width))
    headers = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: Base64"
    assert upload(body_of(b"{}", lines, headers=headers), size=size) == (b"{}", "text/plain", content)


fragments = st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"--b", b"\r\n--bc", b"\n--b-", b" ", b"x"])


@given(
    st.binary() | st.lists(fragments).map(b"".join),
    st.sampled_from([b"\n", b"\r\n"]),
    st.integers(1, 20),
)
def test_content_round_trips(content, newline, size):
    boundary = b"===============7283548234=="
    body = body_of(b'{"a": 1}', content, newline, boundary)
    content_type = f'multipart/related; boundary="{boundary.decode()}"'
    assert upload(body, content_type, size) == (b'{"a": 1}', "text/plain", content)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/related",
        "multipart/related; boundary=",
        'multipart/related; boundary="é€"',
        "application/json; boundary=b",
        f"multipart/related; boundary={'b' * 500}",
    ],
)
def test_a_content_type_without_a_usable_boundary_is_refused(content_type):
    with pytest.raises(MultipartError):
        RelatedUpload(content_type)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"--b",
        b"--b--",
        b"--b\r\n",
        b"--b\r\n\r\n{}",
        b"--b\r\n\r\n{}\r\n--b--",
        b"--b\r\n\r\n{}\r\n--b\r\n",
        b"--b\r\n\r\n{}\r\n--b\r\n\r\nx",
        b"--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b",
        b"--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--",
        b"--b\r\nno header\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b--",
        b"--b\r\nContent-Transfer-Encoding: rot13\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b--",
        body_of(b"{}", b"@@@@", headers=b"Content-Transfer-Encoding: base64"),
        body_of(b"{}", b"AAA", headers=b"Content-Transfer-Encoding: base64"),
        body_of(b"{}", b"AA==AAAA", headers=b"Content-Transfer-Encoding: base64"),
        body_of(b" " * 2_000_000, b""),
        body_of(b"{}", b"", headers=b"x: " + b"y" * 100_000),
        b"preamble" * 10_000,
    ],
)
def test_a_malformed_upload_is_refused(body):
    with pytest.raises(MultipartError):
        upload(body)


@given(st.text(), st.binary() | st.lists(fragments | st.just(b"X: y")).map(b"".join), st.integers(1, 9))
def test_any_bytes_are_an_upload_or_are_refused(parameter, body, size):
    for content_type in (RELATED, f"multipart/related; {parameter}", parameter):
        try:
            upload(body, content_type, size)
        except MultipartError:
            continue


def test_content_is_never_held_in_memory():
    parser = RelatedUpload(RELATED)
    list(parser.feed(b"--b\n\n{}\n--b\n\n"))
    chunk = b"\n--a" * 16_384
    tracemalloc.start()
    try:
        received = sum(len(piece) for _ in range(300) for piece in parser.feed(chunk))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    received += sum(map(len, parser.feed(b"\n--b--")))
    parser.finish()
    assert received == 300 * len(chunk)
    assert peak < 8 * len(chunk)
