"""Checks what owners answer in a round of SecAgg+, whose workflow takes it as it comes and would end the run over it.

A reply that breaks the protocol becomes an Error of its owner, and the workflow goes on as it does without that owner.
What is masked or encrypted for other owners can't be checked here: an owner that spoils it spoils the round, whose
model is then not used, or poisons the sum as it could by its training.
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from syft_flwr.flower._compat import (
    SECAGG_RECORD,
    Array,
    Message,
    RecordDict,
    SecAggKey,
    SecAggStage,
    bytes_to_private_key,
    bytes_to_public_key,
    combine_shares,
    refused,
)
from syft_flwr.flower.array_forms import Shape, flaw_in_array, read_header

logger = logging.getLogger(__name__)

Refuse = Callable[[int, str], None]
"""Is told the node whose reply is refused, and why."""
Config = Mapping[str, Any]
Shares = Mapping[int, bytes]
"""Shares of one secret, by the node that sent them."""

_CURVE = "secp384r1"
_SEED = 32  # bytes of the secret of a node that is there; of one that is not, the secret is a private key
_PARAMETERS = "fitins.parameters"


class _HaltedError(Exception):
    """The round can't be completed."""


def guarded(original: Callable[..., None], refuse: Refuse) -> Callable[..., None]:
    """Wrap ``SecAggPlusWorkflow.__call__``, one round of the protocol."""

    @functools.wraps(original)
    def call(workflow: Any, grid: Any, context: Any) -> None:
        try:
            original(workflow, _CheckedGrid(grid, refuse), context)
        except _HaltedError as error:
            logger.error("Secure aggregation halted: %s", error)  # noqa: TRY400 - it is nobody's bug

    return call


class _CheckedGrid:
    """The Grid in one round of the protocol."""

    def __init__(self, grid: Any, refuse: Refuse) -> None:
        self._grid = grid
        self._refuse = refuse
        self._stage = ""
        self._threshold = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send one stage's messages; Errors stand in for the replies that break the protocol.

        Raises:
            _HaltedError: The workflow could not complete the round: it has not everybody's shares, or wrong ones.
        """
        messages = list(messages)
        asked = {message.metadata.dst_node_id: message.content for message in messages}
        replies = list(self._grid.send_and_receive(messages, timeout=timeout))
        good = {reply.metadata.src_node_id: reply.content for reply in replies if reply.has_content()}
        flaws = self._flaws(asked, good)
        for node, flaw in flaws.items():
            self._refuse(node, flaw)
        if self._stage in (SecAggStage.SETUP, SecAggStage.SHARE_KEYS) and len(good) - len(flaws) < len(asked):
            raise _HaltedError("not every data owner has dealt shares of its secrets")
        return [
            refused(reply, flaws[node]) if (node := reply.metadata.src_node_id) in flaws else reply for reply in replies
        ]

    def _flaws(self, asked: Mapping[int, RecordDict], replies: Mapping[int, RecordDict]) -> dict[int, str]:
        """Return what is wrong with replies, by node."""
        orders: dict[int, Config] = {node: content.config_records[SECAGG_RECORD] for node, content in asked.items()}
        found: dict[int, Config] = {
            node: content.config_records.get(SECAGG_RECORD, {}) for node, content in replies.items()
        }
        flaws: dict[int, str] = {}
        self._stage = next((str(order[SecAggKey.STAGE]) for order in orders.values()), "")
        if self._stage == SecAggStage.SETUP:
            self._threshold = max(int(order[SecAggKey.THRESHOLD]) for order in orders.values())
            flaws = {node: _flaw_in_keys(answer) for node, answer in found.items()}
        elif self._stage == SecAggStage.SHARE_KEYS:
            flaws = {node: _flaw_in_ciphertexts(answer, orders[node], node) for node, answer in found.items()}
        elif self._stage == SecAggStage.COLLECT_MASKED_VECTORS:
            flaws = _flaws_in_vectors(found, next(iter(asked.values())))
        elif self._stage == SecAggStage.UNMASK:
            flaws = {node: _flaw_in_shares(answer, orders[node]) for node, answer in found.items()}
            flaws |= self._wrong_shares({node: found[node] for node in found if not flaws[node]}, orders)
        return {node: flaw for node, flaw in flaws.items() if flaw}

    def _wrong_shares(self, found: Mapping[int, Config], orders: Mapping[int, Config]) -> dict[int, str]:
        """Return whose shares spoil secrets that all others' shares give.

        Raises:
            _HaltedError: It can't be told.
        """
        secrets: dict[int, dict[int, bytes]] = defaultdict(dict)
        for node, answer in found.items():
            for of, share in zip(*_lists(answer, SecAggKey.NODE_ID_LIST, SecAggKey.SHARE_LIST), strict=True):
                secrets[of][node] = share
        there = {node for order in orders.values() for node in order[SecAggKey.ACTIVE_NODE_ID_LIST]}
        spoilt = {of for of, shares in secrets.items() if not self._fit(shares, is_seed=of in there)}
        if not spoilt:
            return {}
        culprits = [
            node
            for node in found
            if all(
                self._fit({n: share for n, share in secrets[of].items() if n != node}, is_seed=of in there)
                for of in spoilt
            )
        ]
        if len(culprits) == 1:
            return {culprits[0]: "its shares of others' secrets do not fit theirs"}
        if len(spoilt) == 1 and not culprits:  # only who dealt the shares spoils one secret at several nodes
            self._refuse(next(iter(spoilt)), "it dealt shares of its secret that do not fit together")
        raise _HaltedError("there are wrong shares of a secret")

    def _fit(self, shares: Shares, *, is_seed: bool) -> bool:
        """Tell whether shares give one secret; too few, which the workflow deals with, do."""
        if len(shares) < self._threshold:
            return True
        some = list(shares.values())
        secret = _combined(some)
        if secret is None or (secret != _combined(some[: self._threshold])):
            return False
        return len(secret) == _SEED if is_seed else _is_key(bytes_to_private_key, secret)


def _flaw_in_keys(answer: Config) -> str:
    keys = [answer.get(name) for name in (SecAggKey.PUBLIC_KEY_1, SecAggKey.PUBLIC_KEY_2)]
    if not all(isinstance(key, bytes) and _is_key(bytes_to_public_key, key) for key in keys):
        return "it has not two public keys"
    return "its public keys are the same" if keys[0] == keys[1] else ""


def _is_key(read: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        return bool(read(data).curve.name == _CURVE)
    except Exception:  # whatever a hostile key makes the reader raise, or one of another kind has not
        return False


def _flaw_in_ciphertexts(answer: Config, order: Config, node: int) -> str:
    others = {int(name) for name in order if name not in (SecAggKey.STAGE, str(node))}
    nodes, texts = _lists(answer, SecAggKey.DESTINATION_LIST, SecAggKey.CIPHERTEXT_LIST)
    if len(nodes) != len(others) or set(nodes) != others:
        return "it has not one share of its secrets for each neighbour"
    return "" if all(map(_is_token, texts)) else "its shares are not encrypted"


def _is_token(text: bytes) -> bool:
    """Tell whether it has the form of a Fernet token: head and HMAC have 57 bytes (https://github.com/fernet/spec)."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        return False
    return raw[:1] == b"\x80" and len(raw) > 57 and (len(raw) - 57) % 16 == 0


def _flaws_in_vectors(found: Mapping[int, Config], asked: RecordDict) -> dict[int, str]:
    """Compare masked vectors, which are added up, with the parameters to train or, without those, with each other."""
    vectors = {node: _shapes(answer) for node, answer in found.items()}
    parameters = [array for array in asked.array_records.get(_PARAMETERS, {}).values() if array.data]
    readable = Counter(shapes for shapes in vectors.values() if shapes)
    most = max(readable, key=lambda shapes: readable[shapes], default=None)
    wanted = ((1,), *(read_header(array)[1] for array in parameters)) if parameters else most
    return {node: "" if shapes == wanted else "its masked vector has another form" for node, shapes in vectors.items()}


def _shapes(answer: Config) -> tuple[Shape, ...]:
    """Return the shapes of the arrays of a masked vector; nothing if it is none."""
    data = answer.get(SecAggKey.MASKED_PARAMETERS)
    if not isinstance(data, list) or not all(isinstance(one, bytes) for one in data):
        return ()
    arrays = [Array("", (), "numpy.ndarray", one) for one in data if isinstance(one, bytes)]
    if any(flaw_in_array("", array) or read_header(array)[0].kind not in "iu" for array in arrays):
        return ()
    return tuple(read_header(array)[1] for array in arrays)


def _flaw_in_shares(answer: Config, order: Config) -> str:
    wanted = [*order[SecAggKey.ACTIVE_NODE_ID_LIST], *order[SecAggKey.DEAD_NODE_ID_LIST]]
    nodes, shares = _lists(answer, SecAggKey.NODE_ID_LIST, SecAggKey.SHARE_LIST)
    return "" if sorted(nodes) == sorted(wanted) and all(shares) else "it has not the shares that it was asked for"


def _lists(answer: Config, numbers: str, texts: str) -> tuple[list[int], list[bytes]]:
    """Return two lists of one length, empty ones if they are none."""
    first, second = answer.get(numbers), answer.get(texts)
    if not isinstance(first, list) or not isinstance(second, list) or len(first) != len(second):
        return [], []
    if not all(type(number) is int for number in first) or not all(isinstance(text, bytes) for text in second):
        return [], []
    return first, second


def _combined(shares: Sequence[bytes]) -> bytes | None:
    try:
        return combine_shares(list(shares))
    except Exception:  # whatever hostile shares make it raise
        return None
