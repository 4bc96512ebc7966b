"""The one place that knows the Google client library: it describes calls to Drive and parses the answers."""

from __future__ import annotations

import json
from typing import Any

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


def build_service(url: str) -> Any:
    """Build the client from the discovery document in the package, aimed at ``url``.

    ``client_options.api_endpoint`` would redirect plain calls only; with ``rootUrl`` and ``baseUrl`` set, uploads and
    batches follow.
    """
    # The library has no types; Any, so that it makes no difference whether somebody has installed stubs.
    discovery: Any = googleapiclient.discovery
    discovery_cache: Any = googleapiclient.discovery_cache
    document = json.loads(discovery_cache.get_static_doc("drive", "v3"))
    document["rootUrl"] = f"{url}/"
    document["baseUrl"] = f"{url}/{document['servicePath']}"
    document.pop("mtlsRootUrl", None)
    # A stand-in that is never used: each request is executed with an http of its own.
    return discovery.build_from_document(document, http=object())


def media_of(content: bytes, media_type: str) -> Any:
    """Return a content as the library uploads it."""
    http: Any = googleapiclient.http
    return http.MediaInMemoryUpload(content, mimetype=media_type)
