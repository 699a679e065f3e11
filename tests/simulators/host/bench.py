"""A terminal on real HTTP, and the requests that it makes."""

import datetime as dt
import secrets
from dataclasses import dataclass, field

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devices.clock import KST
from simulators.host.people import cards
from simulators.register import TerminalCard
from terminal.contract import (
    LOOKUP_PATH,
    PAYMENT_PATH,
    REVERSAL_PATH,
    LookupRequest,
    PaymentRequest,
    ReversalRequest,
)
from terminal.signing import sign

START = dt.datetime(2026, 1, 5, 10, tzinfo=KST)


def card_of(key, terminal_no="T0000001", model="ut-99l", institution="inst-1", *, registered=True):
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return TerminalCard(terminal_no, "0001", model, institution, pem, "token", registered)


def lookup_request(**changed):
    fields = {
        "terminal_time": START,
        "program": "070101",
        "means": "card",
        "card": cards()["recipient-070101"],
        "worker_payment_id": "1001",
    }
    return LookupRequest(**{**fields, **changed})


def payment_request(session_id, **changed):
    fields = {"terminal_time": START, "attempt": 1, "kind": "normal", "amount_won": 15_000}
    return PaymentRequest(session_id=session_id, **{**fields, **changed})


def reversal_request(**changed):
    return ReversalRequest(**{"terminal_time": START, "attempt": 1, **changed})


def new_id():
    return secrets.token_hex(16)


@dataclass
class Caller:
    """A terminal on real HTTP: signs as it should, or as a test wants it."""

    url: str
    key: Ed25519PrivateKey
    terminal_no: str = "T0000001"
    session: requests.Session = field(default_factory=requests.Session)

    def signed(self, path, body, key=None, **how):
        url = self.url + path
        return requests.Request(
            "POST",
            url,
            data=body,
            headers=sign("POST", url, body, self.key, self.terminal_no, idempotency_key=key, **how),
        ).prepare()

    def send(self, prepared):
        return self.session.send(prepared, timeout=10)

    def lookup(self, **changed):
        body = lookup_request(**changed).model_dump_json().encode()
        return self.send(self.signed(LOOKUP_PATH, body))

    def pay(self, transaction_id, session_id, **changed):
        body = payment_request(session_id, **changed).model_dump_json().encode()
        return self.send(self.signed(PAYMENT_PATH, body, transaction_id))

    def reverse(self, transaction_id, **changed):
        body = reversal_request(**changed).model_dump_json().encode()
        return self.send(self.signed(REVERSAL_PATH, body, transaction_id))

    def open_session(self):
        return self.lookup().json()["voucher"]["session_id"]

    def sim(self, method, path, **how):
        return self.session.request(method, f"{self.url}/sim/{path}", timeout=10, **how)
