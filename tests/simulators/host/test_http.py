"""The host over real HTTP: problems, operator endpoints, planted faults, and a death at the worst moment."""

import datetime as dt
import logging
import subprocess
import sys

import pytest
import requests

from devices.clock import FixedClock
from simulators.host.people import cards
from simulators.host.server import HostServer
from simulators.host.store import verify_chain
from terminal.contract import LOOKUP_PATH, PAYMENT_PATH
from tests.simulators.host.bench import START, Caller, lookup_request, new_id, payment_request

PROBLEM = "application/problem+json"
DEADLINE_S = 20


def balance_won(caller, recipient="rec-1"):
    vouchers = caller.sim("GET", "vouchers").json()
    return next(one["balance_won"] for one in vouchers if one["recipient"] == recipient)


def test_a_key_used_again_is_409(caller):
    """Statement 2 over HTTP: 409 as problem+json, and the first answer stands."""
    session_id, transaction_id = caller.open_session(), new_id()
    first = caller.pay(transaction_id, session_id)
    answer = caller.pay(transaction_id, session_id, amount_won=10)
    assert (answer.status_code, answer.headers["content-type"]) == (409, PROBLEM)
    assert caller.pay(transaction_id, session_id, attempt=2).json() == first.json()
    assert balance_won(caller) == 882_894


@pytest.mark.parametrize(
    ("path", "transaction_id", "body"),
    [
        (LOOKUP_PATH, None, b"{garbage"),
        (LOOKUP_PATH, None, b'{"card": 7}'),
        (PAYMENT_PATH, "f" * 32, payment_request("S1").model_dump_json().encode().replace(b"15000", b'"15 000"')),
        (PAYMENT_PATH, "not hex", payment_request("S1").model_dump_json().encode()),
        (LOOKUP_PATH, None, lookup_request().model_dump_json().encode()[:-1] + b', "cvc": "123"}'),
    ],
)
def test_a_malformed_body_is_422_and_not_repeated(caller, path, transaction_id, body):
    """What the contract does not allow is 422 as problem+json, without a word of what was sent."""
    answer = caller.send(caller.signed(path, body, transaction_id))
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["title"]
    assert not any(number in answer.text for number in (*cards().values(), "15 000", "123"))


def test_a_body_has_a_limit_and_a_length(host, caller):
    """Too much is 413 and an unsaid length 411, before anything is read."""
    prepared = caller.signed(LOOKUP_PATH, b" " * 20_000)
    assert caller.send(prepared).status_code == 413
    assert requests.post(host.url + LOOKUP_PATH, data=iter([b"x"]), timeout=10).status_code == 411


def test_the_description_names_every_answer(host):
    """OpenAPI documents the three endpoints with 401, 409 and 422 as problem+json, and health is open to all."""
    paths = requests.get(f"{host.url}/openapi.json", timeout=10).json()["paths"]
    for path, statuses in (
        ("/v1/lookups", {"200", "401", "411", "413", "422"}),
        ("/v1/payments", {"200", "401", "409", "411", "413", "422"}),
        ("/v1/reversals", {"200", "401", "409", "411", "413", "422"}),
    ):
        responses = paths[path]["post"]["responses"]
        assert set(responses) == statuses
        assert all(list(responses[status]["content"]) == [PROBLEM] for status in statuses - {"200"})
        assert "requestBody" in paths[path]["post"]
    assert requests.get(f"{host.url}/healthz", timeout=10).json() == {"status": "ok"}
    missing = requests.get(f"{host.url}/nothing", timeout=10)
    assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)


def test_the_world_moves_the_hosts_time(host, caller):
    """`PUT /sim/clock` moves business time: the session that was open is over five minutes later."""
    session_id = caller.open_session()
    for seconds, outcome in ((299, "approved"), (300, "declined")):
        at = START + dt.timedelta(seconds=seconds)
        assert caller.sim("PUT", "clock", json={"at": at.isoformat()}).status_code == 200
        assert dt.datetime.fromisoformat(caller.sim("GET", "clock").json()["at"]) == at
        assert caller.pay(new_id(), session_id, terminal_time=at).json()["outcome"] == outcome
    assert caller.sim("PUT", "clock", json={"at": "2026-01-05T10:00:00"}).status_code == 422


def test_the_world_sees_ledger_vouchers_and_payments(caller):
    """What was paid is in the ledger, in the balance, and under its id; an unknown id is 404."""
    transaction_id = new_id()
    caller.pay(transaction_id, caller.open_session())
    entries = caller.sim("GET", "ledger").json()
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert (entries[-1]["transaction_id"], entries[-1]["amount_won"]) == (transaction_id, 15_000)
    assert caller.sim("GET", "ledger", params={"after": len(entries) - 1}).json() == entries[-1:]
    assert balance_won(caller) == 882_894
    seen = caller.sim("GET", f"payments/{transaction_id}").json()
    assert (seen["outcome"], seen["approval_no"], seen["means"]) == ("approved", "500000000001", "card")
    assert seen["answer"]["receipt"]["balance_won"] == 882_894
    assert caller.sim("GET", f"payments/{new_id()}").status_code == 404


def test_a_reply_that_is_dropped_leaves_one_debit(caller):
    """The connection closes without an answer after the commit; the retry gets the approval, once debited."""
    session_id, transaction_id = caller.open_session(), new_id()
    assert caller.sim("POST", "faults", json={"leg": "reply", "what": "drop"}).status_code == 204
    with pytest.raises(requests.ConnectionError):
        caller.pay(transaction_id, session_id)
    assert balance_won(caller) == 882_894
    assert caller.pay(transaction_id, session_id, attempt=2).json()["outcome"] == "approved"
    assert balance_won(caller) == 882_894


def test_a_request_that_is_dropped_never_arrived(caller):
    """Dropped before it was processed, as often as was asked for: nothing is known of it, and then it passes."""
    session_id, transaction_id = caller.open_session(), new_id()
    caller.sim("POST", "faults", json={"leg": "request", "what": "drop", "count": 2})
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            caller.pay(transaction_id, session_id)
        assert caller.sim("GET", f"payments/{transaction_id}").status_code == 404
    assert caller.pay(transaction_id, session_id).json()["outcome"] == "approved"


@pytest.mark.parametrize(("leg", "debited"), [("request", False), ("reply", True)])
def test_an_error_leaves_the_outcome_unknown(caller, leg, debited):
    """HTTP 500 before processing or after the commit: the terminal cannot tell, the retry settles it."""
    session_id, transaction_id = caller.open_session(), new_id()
    caller.sim("POST", "faults", json={"leg": leg, "what": "error"})
    assert caller.pay(transaction_id, session_id).status_code == 500
    assert balance_won(caller) == (882_894 if debited else 897_894)
    assert caller.pay(transaction_id, session_id).json()["outcome"] == "approved"
    assert balance_won(caller) == 882_894


def test_a_delay_is_as_long_as_was_asked_for(caller):
    """A delayed reply outlasts the terminal's patience; what it did is done."""
    session_id, transaction_id = caller.open_session(), new_id()
    body = payment_request(session_id).model_dump_json().encode()
    caller.sim("POST", "faults", json={"leg": "reply", "what": "delay", "seconds": 1.0})
    with pytest.raises(requests.Timeout):
        caller.session.send(caller.signed(PAYMENT_PATH, body, transaction_id), timeout=0.3)
    assert balance_won(caller) == 882_894


def test_faults_can_be_taken_back(caller):
    """After DELETE nothing that was planted happens; the operator's own calls never meet a fault."""
    caller.sim("POST", "faults", json={"leg": "request", "what": "drop", "count": 5})
    assert caller.sim("DELETE", "faults").status_code == 204
    assert caller.lookup().json()["outcome"] == "approved"
    assert caller.sim("POST", "faults", json={"leg": "sideways", "what": "drop"}).status_code == 422


def test_nothing_secret_is_logged(caller, caplog):
    """Neither a card number nor a key reaches any log, at any level, in a good run or a bad one."""
    caplog.set_level(logging.DEBUG)
    caller.lookup()
    caller.lookup(card=cards()["recipient-lost"])
    caller.send(caller.signed(LOOKUP_PATH, lookup_request().model_dump_json().encode()[:-1]))
    assert not any(number in caplog.text for number in cards().values())
    assert "PRIVATE" not in caplog.text


def test_a_host_that_was_closed_goes_on_where_it_was(tmp_path, terminals, key):
    """The same file served again: the session, the stored answer and the used nonce are still there."""
    transaction_id, path = new_id(), tmp_path / "host.sqlite"
    with HostServer(path, terminals, FixedClock(START)) as host:
        caller = Caller(host.url, key)
        session_id = caller.open_session()
        first = caller.pay(transaction_id, session_id).json()
        used = caller.signed(LOOKUP_PATH, lookup_request().model_dump_json().encode())
        assert caller.send(used).status_code == 200
    with HostServer(path, terminals, FixedClock(START)) as host:
        used.url = host.url + LOOKUP_PATH
        caller = Caller(host.url, key)
        assert caller.send(used).status_code == 401
        assert caller.pay(transaction_id, session_id, attempt=2).json() == first
        assert caller.pay(new_id(), session_id).json()["receipt"]["balance_won"] == 867_894
        verify_chain(host.store)


PROGRAM = """
import datetime, sys
from pathlib import Path
from devices.clock import FixedClock
from simulators.host.server import HostServer
host = HostServer(Path(sys.argv[1]), Path(sys.argv[2]), FixedClock(datetime.datetime.fromisoformat(sys.argv[3])))
print(host.url, flush=True)
sys.stdin.read()
host.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize(("leg", "debited"), [("reply", True), ("request", False)])
def test_a_host_that_dies_debits_once(tmp_path, terminals, key, leg, debited):
    """Statement 1 with a real death: killed before or after the commit, restarted, asked again: one debit."""
    path, transaction_id = tmp_path / "host.sqlite", new_id()

    def start():
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path), str(terminals), START.isoformat()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return child, Caller(child.stdout.readline().strip(), key)

    child, caller = start()
    try:
        session_id = caller.open_session()
        caller.sim("POST", "faults", json={"leg": leg, "what": "kill"})
        with pytest.raises(requests.ConnectionError):
            caller.pay(transaction_id, session_id)
        assert child.wait(DEADLINE_S) == -9
        child.communicate()
        child, caller = start()
        assert balance_won(caller) == (882_894 if debited else 897_894)
        for attempt in (2, 3):
            assert caller.pay(transaction_id, session_id, attempt=attempt).json()["outcome"] == "approved"
        lines = [one for one in caller.sim("GET", "ledger").json() if one["transaction_id"] == transaction_id]
        assert [line["what"] for line in lines] == ["payment"]
        assert balance_won(caller) == 882_894
    finally:
        child.communicate(timeout=DEADLINE_S)
