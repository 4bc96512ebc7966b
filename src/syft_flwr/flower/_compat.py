"""The only place that imports flwr: what this package uses of it, and what differs between its versions.

Supported: flwr 1.38 to 1.42.
"""

from __future__ import annotations

import copy
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.client_app import LoadClientAppError
from flwr.common import parameters_to_ndarrays
from flwr.common.config import get_fused_config_from_dir, get_project_config, parse_config_args
from flwr.common.constant import ErrorCode
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS as SECAGG_RECORD
from flwr.common.secure_aggregation.secaggplus_constants import Key as SecAggKey
from flwr.common.secure_aggregation.secaggplus_constants import Stage as SecAggStage
from flwr.common.serde import (
    array_from_proto,
    array_to_proto,
    context_from_proto,
    context_to_proto,
    message_from_proto,
    message_to_proto,
    recorddict_from_proto,
    recorddict_to_proto,
)
from flwr.proto.message_pb2 import Context as ProtoContext
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import Metadata as ProtoMetadata
from flwr.proto.recorddict_pb2 import Array as ProtoArray
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.server.server import Server as LegacyServer
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_PARAMS_RECORD
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.server_app import LoadServerAppError
from flwr.serverapp.strategy import FedAvg, Strategy
from flwr.supercore.object_ref import load_app
from flwr.supercore.object_ref import validate as check_reference
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supercore.version import package_version
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]

T = TypeVar("T")

FLWR_VERSION: str = package_version
AGGREGATOR_NODE_ID = 1
"""The SuperLink's own node ID, the source of every instruction."""
SYSTEM_MESSAGE = "system"
"""The message type that existing participants use to control a run; Flower routes it to no app."""


def crash_code() -> int:
    """Return the error code for an app whose process died; versions before 1.41 have no name for it."""
    return int(getattr(ErrorCode, "CLIENT_APP_CRASHED", ErrorCode.CLIENT_APP_RAISED_EXCEPTION))


def set_task_identity(run_id: int, node_id: int) -> None:
    """Say who this process is; without it, ``Message(...)`` raises. Process-wide."""
    TaskIdentity.run_id = run_id
    TaskIdentity.node_id = node_id
    TaskIdentity.task_id = 1


def load_client_app(reference: str, project_dir: Path) -> ClientApp:
    """Import a project's ClientApp.

    Raises:
        LoadClientAppError: The reference names no ClientApp.
        Exception: Whatever the project's module raises when imported.
    """
    return _load(reference, project_dir, ClientApp, LoadClientAppError)


def load_server_app(reference: str, project_dir: Path) -> ServerApp:
    """Import a project's ServerApp; raises likewise, or LoadServerAppError."""
    return _load(reference, project_dir, ServerApp, LoadServerAppError)


def _load(reference: str, project_dir: Path, kind: type[T], error: type[Exception]) -> T:
    app = load_app(reference, error, project_dir)
    if not isinstance(app, kind):
        raise error(f"{reference} is no {kind.__name__} but a {type(app).__name__}")
    return app


def set_message_id(message: Message, message_id: str) -> None:
    """Give a message its ID, which Flower leaves to the Grid; its metadata have no setter."""
    message.metadata.__dict__["_message_id"] = message_id


def message_without_content(message: Message) -> Message:
    """Return a message with a copy of the metadata and empty content."""
    return _make_message(copy.copy(message.metadata), content=RecordDict())


def message_with_content(message: Message, content: RecordDict) -> Message:
    """Return a message with the same metadata and this content."""
    return _make_message(message.metadata, content=content)


def unknown_message_reply(run_id: int, message_id: str) -> Message:
    """Build the Error reply that a SuperLink gives for a message that it does not know or has forgotten."""
    metadata = Metadata(
        run_id=run_id,
        message_id="",
        src_node_id=AGGREGATOR_NODE_ID,
        dst_node_id=AGGREGATOR_NODE_ID,
        reply_to_message_id=message_id,
        group_id="",
        created_at=time.time(),
        ttl=0,
        message_type=SYSTEM_MESSAGE,
    )
    return _make_message(
        metadata, error=Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason="the message is unknown, or its ttl is over")
    )


def refused(reply: Message, flaw: str) -> Message:
    """Return an Error in the place of a reply that the strategy does not get."""
    return _make_message(reply.metadata, error=Error(ErrorCode.UNKNOWN, f"the reply was refused: {flaw}"))


def _make_message(metadata: Metadata, content: RecordDict | None = None, error: Error | None = None) -> Message:
    # Flower's own way of giving metadata; it is not in the declared signatures.
    return Message(metadata=metadata, content=content, error=error)  # type: ignore[call-overload,no-any-return]


def context_to_bytes(context: Context) -> bytes:
    return bytes(context_to_proto(context).SerializeToString())


def context_from_bytes(data: bytes) -> Context:
    """Read a context back.

    Raises:
        DecodeError: The bytes are no context.
    """
    return context_from_proto(ProtoContext.FromString(data))


def legacy_arrays(context: Any) -> ArrayRecord:
    """Return the global arrays that a legacy workflow keeps in its context."""
    return cast(ArrayRecord, context.state.array_records[MAIN_PARAMS_RECORD])


def reseed() -> None:
    """Give a forked process random numbers of its own.

    A fork copies the state of ``numpy.random``: without this, every message would get the same "random" noise,
    and the noise of differential privacy would cancel out between two of them.
    """
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


@contextmanager
def patched(owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Wrap one method of a class of Flower's for a while."""
    original = getattr(owner, name)
    setattr(owner, name, wrap(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
