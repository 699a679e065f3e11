"""Who asks: nothing that is unsigned, changed, stale, replayed or somebody else's does anything."""

import datetime as dt
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.host.people import cards
from simulators.host.store import verify_chain
from simulators.register import Register
from terminal.contract import LOOKUP_PATH, PAYMENT_PATH, REVERSAL_PATH, SIGNATURE_MAX_AGE_S
from tests.simulators.host.bench import card_of, lookup_request, new_id, payment_request, reversal_request

PROBLEM = "application/problem+json"


@pytest.fixture
def request_body(caller):
    return payment_request(caller.open_session()).model_dump_json().encode()


def state(host):
    with host.store.transaction() as books:
        return books.entries(), books.balances()


def refused(host, caller, prepared):
    """401 as problem+json, and nothing moved."""
    before = state(host)
    answer = caller.send(prepared)
    assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM)
    assert answer.headers["www-authenticate"] == "Signature"
    assert not any(number in answer.text for number in cards().values())
    assert state(host) == before
    return True


def test_a_signed_payment_is_paid(host, caller):
    """Liveness: lookup, payment and reversal pass when they are signed as the contract says."""
    transaction_id = new_id()
    paid = caller.pay(transaction_id, caller.open_session()).json()
    assert (paid["outcome"], paid["receipt"]["balance_won"]) == ("approved", 882_894)
    undone = caller.reverse(transaction_id).json()
    assert (undone["outcome"], undone["balance_won"]) == ("reversed", 897_894)
    verify_chain(host.store)


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest", "Idempotency-Key"])
def test_a_request_without_one_of_its_headers_is_refused(host, caller, request_body, name):
    """Every header of the signature is needed, and the transaction id must be there as it was signed."""
    prepared = caller.signed(PAYMENT_PATH, request_body, new_id())
    del prepared.headers[name]
    assert refused(host, caller, prepared)


def test_an_unsigned_request_is_refused_before_its_body_is_read(host, caller):
    """A stranger gets 401 for garbage too: what a body should look like is not told to him."""
    for path in (LOOKUP_PATH, PAYMENT_PATH, REVERSAL_PATH):
        prepared = caller.signed(path, b"{garbage", new_id())
        del prepared.headers["Signature"]
        assert refused(host, caller, prepared)


@pytest.mark.parametrize("path", [PAYMENT_PATH, REVERSAL_PATH])
def test_the_transaction_id_must_be_covered(host, caller, request_body, path):
    """A signature that leaves the idempotency key out is no good where one is needed."""
    prepared = caller.signed(path, request_body)
    prepared.headers["Idempotency-Key"] = new_id()
    assert refused(host, caller, prepared)


def test_a_changed_transaction_id_is_refused(host, caller, request_body):
    """A signed payment cannot be made a second one under another id."""
    prepared = caller.signed(PAYMENT_PATH, request_body, new_id())
    prepared.headers["Idempotency-Key"] = new_id()
    assert refused(host, caller, prepared)


def test_a_changed_body_is_refused(host, caller, request_body):
    """Another amount under the same signature is refused, with the old digest and with a fitting one."""
    changed = request_body.replace(b"15000", b"15010")
    for fix_digest in (False, True):
        prepared = caller.signed(PAYMENT_PATH, request_body, new_id())
        prepared.body = changed
        if fix_digest:
            fitting = caller.signed(PAYMENT_PATH, changed).headers["Content-Digest"]
            assert fitting != prepared.headers["Content-Digest"]
            prepared.headers["Content-Digest"] = fitting
        assert refused(host, caller, prepared)


def test_a_signature_for_another_path_is_refused(host, caller):
    """What was signed as a reversal cannot be sent as a payment."""
    body = reversal_request().model_dump_json().encode()
    prepared = caller.signed(REVERSAL_PATH, body, new_id())
    prepared.url = host.url + PAYMENT_PATH
    assert refused(host, caller, prepared)


def test_a_wrong_key_is_refused(host, caller, request_body):
    """A terminal's number with another's key is refused."""
    caller.key = Ed25519PrivateKey.generate()
    assert refused(host, caller, caller.signed(PAYMENT_PATH, request_body, new_id()))


@pytest.mark.parametrize("terminal_no", ["T0000009", "", "../T0000001", "T0000001.json"])
def test_an_unknown_terminal_is_refused(host, caller, request_body, terminal_no):
    """A number that is on no card is refused, and cannot lead out of the register's folder."""
    caller.terminal_no = terminal_no
    assert refused(host, caller, caller.signed(PAYMENT_PATH, request_body, new_id()))


@pytest.mark.parametrize("age_s", [SIGNATURE_MAX_AGE_S + 30, -60])
def test_a_stale_or_future_signature_is_refused(host, caller, request_body, age_s):
    """A signature older than its time of life, or of a time to come, is refused, by real time."""
    created = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
    assert refused(host, caller, caller.signed(PAYMENT_PATH, request_body, new_id(), created=created))


def test_the_worlds_time_does_not_age_a_signature(caller):
    """Business time may stand years away from real time: signatures go by the real one."""
    assert caller.sim("PUT", "clock", json={"at": "2031-05-05T10:00:00+09:00"}).status_code == 200
    assert caller.lookup(terminal_time=dt.datetime.fromisoformat("2031-05-05T10:00:00+09:00")).json()["voucher"]


def test_a_replayed_request_is_refused(host, caller):
    """The very same bytes a second time are refused, for each of the three requests and for a refused key."""
    session_id, transaction_id = caller.open_session(), new_id()
    bodies = (
        (LOOKUP_PATH, lookup_request(), None, 200),
        (PAYMENT_PATH, payment_request(session_id), transaction_id, 200),
        (PAYMENT_PATH, payment_request(session_id, amount_won=10), transaction_id, 409),
        (REVERSAL_PATH, reversal_request(), new_id(), 200),
    )
    for path, body, key, status in bodies:
        prepared = caller.signed(path, body.model_dump_json().encode(), key)
        assert caller.send(prepared).status_code == status
        assert refused(host, caller, prepared)


def test_another_terminal_may_use_the_same_nonce(host, caller, terminals):
    """A nonce is one terminal's own: two terminals that happen on the same one are both served."""
    key = Ed25519PrivateKey.generate()
    Register(terminals).add(card_of(key, "T0000002"))
    body = lookup_request().model_dump_json().encode()
    assert caller.send(caller.signed(LOOKUP_PATH, body, nonce="same")).status_code == 200
    caller.key, caller.terminal_no = key, "T0000002"
    assert caller.send(caller.signed(LOOKUP_PATH, body, nonce="same")).status_code == 200


def test_a_nonce_has_a_reasonable_length(host, caller, request_body):
    """A nonce that would fill the books is refused."""
    assert refused(host, caller, caller.signed(PAYMENT_PATH, request_body, new_id(), nonce="n" * 65))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: headers.update({"Signature-Input": headers["Signature-Input"].replace("ut=", "other=")}),
        lambda headers: headers.update(
            {name: headers[name].replace("ut=", "other=") for name in ("Signature", "Signature-Input")}
        ),
        lambda headers: headers.update(
            {
                name: f"{headers[name]}, {headers[name].replace('ut=', 'b=')}"
                for name in ("Signature", "Signature-Input")
            }
        ),
        lambda headers: headers.update({"Signature-Input": headers["Signature-Input"].replace(";nonce", ";nonsense")}),
        lambda headers: headers.update({"Signature-Input": "?0;;;"}),
        lambda headers: headers.update({"Signature": "ut=:AAAA:"}),
    ],
    ids=["labels differ", "label", "two", "parameter", "garbage", "short"],
)
def test_odd_signatures_are_refused(host, caller, request_body, spoil):
    """One signature, of our label, with our parameters: anything else is refused."""
    prepared = caller.signed(PAYMENT_PATH, request_body, new_id())
    spoil(prepared.headers)
    assert refused(host, caller, prepared)


def test_the_headers_are_those_of_the_standards(caller):
    """Golden: the digest is RFC 9530's, the covered components are the contract's, and nonces are fresh."""
    body = b'{"hello": "world"}'
    first, second = (
        caller.signed(PAYMENT_PATH, body, "0" * 32, created=dt.datetime.fromtimestamp(1, dt.UTC)) for _ in "12"
    )
    assert first.headers["Content-Digest"] == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    assert hashlib.sha256(body).hexdigest().startswith("5f8f04f6")
    assert first.headers["Signature-Input"].startswith(
        'ut=("@method" "@path" "content-digest" "idempotency-key");created=1;keyid="T0000001"'
    )
    assert first.headers["Signature-Input"] != second.headers["Signature-Input"]
