"""The host's half of RFC 9421: whose request is it, unchanged and fresh?

What must be covered stands in `terminal.contract`; the terminal's half is `terminal.signing`. A nonce is
used up by the caller, in the same transaction as what the request does (`Books.use_nonce`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

from terminal.contract import COVERED, COVERED_WITH_KEY, LOOKUP_PATH, SIGNATURE_LABEL, SIGNATURE_MAX_AGE_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulators.register import Register, TerminalCard

NONCE_MAX_CHARS = 64
# a nonce is kept for longer than a signature with it could still be taken
NONCE_KEPT_S = SIGNATURE_MAX_AGE_S + 2 * int(HTTPMessageVerifier.max_clock_skew.total_seconds())


class BadSignature(Exception):  # noqa: N818 - HTTP 401
    """Not signed, not by a terminal of ours, changed on its way, too old, or used before."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request that is what its terminal sent; `created` is Unix time in seconds."""

    terminal: TerminalCard
    nonce: str
    created: int


@dataclass(frozen=True, slots=True)
class _Message:
    method: str
    url: str
    headers: Mapping[str, str]


class _Keys(HTTPSignatureKeyResolver):
    """Reads the terminal's card when its signature asks for the key, and keeps it for the caller."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self.card: TerminalCard | None = None

    def resolve_public_key(self, key_id: str) -> bytes | None:
        self.card = self._register.terminal(key_id)
        return self.card.public_key.encode() if self.card else None


def verify(register: Register, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Signed:
    """`BadSignature` unless exactly one signature holds, covers what the contract asks, and is fresh.

    `headers` yields every field line by `items()`; names of hosts are not covered, so `path` is enough.
    """
    keys = _Keys(register)
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=keys)
    required = COVERED if path == LOOKUP_PATH else COVERED_WITH_KEY
    try:
        results = verifier.verify(
            _Message(method, f"http://host{path}", headers),
            max_age=dt.timedelta(seconds=SIGNATURE_MAX_AGE_S),
            require_components=required,
            body=body,
        )
    except HTTPMessageSignaturesException as error:
        raise BadSignature from error
    result = results[0]
    nonce = result.nonce or ""
    if result.label != SIGNATURE_LABEL or not 0 < len(nonce) <= NONCE_MAX_CHARS or keys.card is None:
        raise BadSignature
    return Signed(keys.card, nonce, int(result.parameters["created"]))
