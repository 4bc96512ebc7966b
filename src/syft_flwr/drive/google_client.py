"""The one place that knows the Google client library: it describes calls to Drive and parses the answers."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from syft_flwr.errors import ConfigurationError

try:
    import googleapiclient.discovery
    import googleapiclient.discovery_cache
    import googleapiclient.http
except AttributeError as error:
    # The client library tries oauth2client, which PyDrive2 brings along, and that an old pyOpenSSL, which fails so.
    raise ConfigurationError(
        f"the Google client library can't be imported: {error}. An old pyOpenSSL does not get on with the installed "
        'cryptography; run: pip install --upgrade "pyOpenSSL>=24.3"'
    ) from error


class Resources(NamedTuple):
    """What the client library has of Drive: they describe requests, and hold no state."""

    about: Any
    changes: Any
    files: Any
    permissions: Any


@lru_cache(maxsize=4)
def resources_of(url: str) -> Resources:
    """Return the client's resources, from the discovery document in the package, aimed at ``url``.

    To build them takes as long as ten calls: once for all accounts. ``client_options.api_endpoint`` would redirect
    plain calls only; with ``rootUrl`` and ``baseUrl`` set, uploads and batches follow.
    """
    # The library has no types; Any, so that it makes no difference whether somebody has installed stubs.
    discovery: Any = googleapiclient.discovery
    discovery_cache: Any = googleapiclient.discovery_cache
    document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
    document["rootUrl"] = f"{url}/"
    document["baseUrl"] = f"{url}/{document['servicePath']}"
    document.pop("mtlsRootUrl", None)
    # A stand-in that is never used: each request is executed with an http of its own.
    service = discovery.build_from_document(document, http=object())
    return Resources(service.about(), service.changes(), service.files(), service.permissions())


def media_of(content: bytes, media_type: str) -> Any:
    """Return a content as the library uploads it."""
    http: Any = googleapiclient.http
    return http.MediaInMemoryUpload(content, mimetype=media_type)
