"""The terminal's half of RFC 9421: the headers that prove whose request it is.

What is covered stands in `terminal.contract`; the host's half is `simulators.host.signatures`.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from terminal.contract import COVERED, COVERED_WITH_KEY, SIGNATURE_LABEL

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class _Message:
    method: str
    url: str
    headers: dict[str, str]


def sign(
    method: str,
    url: str,
    body: bytes,
    key: Ed25519PrivateKey,
    terminal_no: str,
    *,
    idempotency_key: str | None = None,
    created: dt.datetime | None = None,
    nonce: str | None = None,
) -> dict[str, str]:
    """Every header that the request needs beside those of HTTP itself; send `body` byte for byte.

    `url` is absolute. `created` is real time, not the world's, and now if not given; `nonce` is fresh
    if not given, as every attempt of a retry needs one.
    """
    headers = {"Content-Type": "application/json"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.ED25519,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={terminal_no: key}),
    )
    signer.sign(
        _Message(method.upper(), url, headers),
        key_id=terminal_no,
        created=created or dt.datetime.now(dt.UTC),
        nonce=nonce or secrets.token_hex(16),
        label=SIGNATURE_LABEL,
        covered_component_ids=COVERED if idempotency_key is None else COVERED_WITH_KEY,
        body=body,
    )
    return headers
