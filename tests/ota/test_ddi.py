from __future__ import annotations

import contextlib
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import Refused, RemoteProtocolError, Unreachable
from ota.ddi import (
    ActionGone,
    Artifact,
    Cancel,
    DdiClient,
    Deployment,
    Execution,
    Finished,
    Handling,
    Poll,
    feedback_body,
    feedback_url,
    parse_cancel,
    parse_deployment,
    parse_poll,
)
from ota.http import Http, retry_after_s
from tests.ota.scripted import Scripted

BASE = "http://h/DEFAULT/controller/v1/UT-99L-1"
SHA = "AB" * 32


def deployment_json(**artifact):
    item = {
        "filename": "f.bin",
        "size": 3,
        "hashes": {"sha256": SHA},
        "_links": {"download-http": {"href": "http://h/f"}, "download": {"href": "https://h/f"}},
    }
    chunks = [{"part": "os", "name": "n", "version": "1", "artifacts": [{**item, **artifact}]}]
    return {"id": "8", "deployment": {"download": "forced", "update": "attempt", "chunks": chunks}}


def action(url):
    return Deployment("8", url, Handling.FORCED, Handling.FORCED, ())


def test_poll():
    """A poll gives the pause in seconds and the links as the server wrote them."""
    links = {"deploymentBase": {"href": f"{BASE}/deploymentBase/8?c=-2"}, "configData": {"href": "configData"}}
    poll = parse_poll({"config": {"polling": {"sleep": "01:02:03"}}, "_links": links}, f"{BASE}/")
    assert poll == Poll(3723, deployment=f"{BASE}/deploymentBase/8?c=-2", config=f"{BASE}/configData")


@pytest.mark.parametrize("value", [{}, {"_links": None}, {"config": 3}, {"config": {"polling": {"sleep": "soon"}}}])
def test_empty_poll(value):
    """A poll without work is no error, nor is an odd pause."""
    assert parse_poll(value, BASE) == Poll(300)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {"_links": [1]},
        {"_links": {"deploymentBase": "x"}},
        {"_links": {"deploymentBase": {}}},
        {"_links": {"deploymentBase": {"href": "file:///etc/passwd"}}},
        {"_links": {"deploymentBase": {"href": "http://["}}},
    ],
)
def test_odd_poll(value):
    """An answer that is no poll is named as a breach of DDI."""
    with pytest.raises(RemoteProtocolError):
        parse_poll(value, BASE)


def test_deployment():
    """A deployment gives its artifacts with `download` before `download-http` and hashes in small letters."""
    found = parse_deployment(deployment_json(), f"{BASE}/deploymentBase/8?c=1")
    assert (found.action_id, found.download, found.update) == ("8", Handling.FORCED, Handling.ATTEMPT)
    assert found.artifacts == (Artifact("f.bin", 3, SHA.lower(), ("https://h/f", "http://h/f")),)


@pytest.mark.parametrize("relation", ["download", "download-http"])
def test_one_link(relation):
    """Either relation alone is enough."""
    told = deployment_json(_links={relation: {"href": "http://h/f"}})
    assert parse_deployment(told, BASE).artifacts[0].urls == ("http://h/f",)


@pytest.mark.parametrize(
    "artifact",
    [
        {"filename": None},
        {"size": "3"},
        {"size": True},
        {"size": -1},
        {"hashes": None},
        {"hashes": {"sha256": "xyz"}},
        {"_links": {}},
        {"_links": {"download": {"href": ""}}},
    ],
)
def test_odd_artifact(artifact):
    """An artifact that cannot be compared or fetched is a breach of DDI."""
    with pytest.raises(RemoteProtocolError):
        parse_deployment(deployment_json(**artifact), BASE)


KEYS = (
    *("id", "deployment", "chunks", "artifacts", "filename", "size", "hashes", "sha256", "_links", "download", "href"),
    *("config", "polling", "sleep", "deploymentBase", "cancelAction", "stopId", "update"),
)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@given(json_values)
def test_any_json(value):
    """Whatever JSON comes, parsing ends with a value or with `RemoteProtocolError`."""
    for parse in (parse_poll, parse_deployment, parse_cancel):
        with contextlib.suppress(RemoteProtocolError):
            parse(value, BASE)


def test_cancel():
    """A cancel names the action to stop, by a number or a text."""
    assert parse_cancel({"id": "9", "cancelAction": {"stopId": 8}}, BASE) == Cancel("9", "8", BASE)
    assert parse_cancel({"cancelAction": {"stopId": "8"}}, BASE) == Cancel("8", "8", BASE)


def test_feedback_form():
    """Feedback goes below the action's link without its query, in DDI's form and within hawkBit's limits."""
    assert feedback_url(f"{BASE}/deploymentBase/8?c=1") == f"{BASE}/deploymentBase/8/feedback"
    body = feedback_body("8", Execution.CLOSED, Finished.FAILURE, (2, 5), ["x" * 9999] * 99)
    assert body["status"]["execution"] == "closed"
    assert body["status"]["result"] == {"finished": "failure", "progress": {"cnt": 2, "of": 5}}
    assert len(body["status"]["details"]) == 50
    assert {len(text) for text in body["status"]["details"]} == {512}


@pytest.fixture
def pauses():
    return []


def client_of(server, pauses):
    return DdiClient(server.url, "DEFAULT", "UT-99L-1", "t0ken", sleep=pauses.append)


def test_calls(pauses):
    """The client shows its token, polls its own resource and reports as told."""

    def script(exchange):
        if exchange.path.endswith("/UT-99L-1"):
            exchange.json({"_links": {"deploymentBase": {"href": f"http://{exchange.headers['host']}/odd/place?c=1"}}})
        elif exchange.method == "GET":
            exchange.json(deployment_json())
        else:
            exchange.answer(200)

    with Scripted(script) as server:
        client = client_of(server, pauses)
        found = client.deployment(client.poll().deployment)
        client.feedback(found, Execution.PROCEEDING, progress=(1, 10), details=["10 %"])
        client.config_data(f"{server.url}/config", {"model": "UT-99L"})
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("GET", "/DEFAULT/controller/v1/UT-99L-1"),
        ("GET", "/odd/place?c=1"),
        ("POST", "/odd/place/feedback"),
        ("PUT", "/config"),
    ]
    assert {seen.headers["authorization"] for seen in server.seen} == {"TargetToken t0ken"}
    assert json.loads(server.seen[2].body)["status"]["result"]["progress"] == {"cnt": 1, "of": 10}
    assert json.loads(server.seen[3].body)["data"] == {"model": "UT-99L"}


def test_token_stays_home(pauses):
    """The token never goes to another host, linked or redirected to."""
    with Scripted(lambda e: e.json(deployment_json()), host="127.0.0.2") as other:

        def script(exchange):
            exchange.answer(302, Location=f"{other.url}/moved")

        with Scripted(script) as server:
            client = client_of(server, pauses)
            client.deployment(f"{other.url}/linked")
            client.deployment(f"{server.url}/x")
    assert [seen.path for seen in other.seen] == ["/linked", "/moved"]
    assert all("authorization" not in seen.headers for seen in other.seen)


def test_netrc(pauses, tmp_path, monkeypatch):
    """A password for the host in ~/.netrc neither takes the token's place nor goes where no token goes."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Scripted(lambda e: e.json({})) as server:
        client_of(server, pauses).poll()
        Http().request("GET", server.url)
    assert server.seen[0].headers["authorization"] == "TargetToken t0ken"
    assert "authorization" not in server.seen[1].headers


def test_unregistered(pauses):
    """401 is refused with its three possible causes, at once and without the token."""
    with Scripted(lambda e: e.answer(401)) as server, pytest.raises(Refused) as refused:
        client_of(server, pauses).poll()
    text = str(refused.value)
    assert "not registered" in text
    assert "token is another" in text
    assert "target token authentication" in text
    assert "t0ken" not in text
    assert (len(server.seen), pauses) == (1, [])


@pytest.mark.parametrize("status", [404, 410])
def test_gone(pauses, status):
    """An action that the server has closed or forgotten is told apart from every failure."""
    with Scripted(lambda e: e.answer(status)) as server, pytest.raises(ActionGone):
        client_of(server, pauses).feedback(action(f"{server.url}/a/8"), Execution.CLOSED, Finished.SUCCESS)
    assert pauses == []


@pytest.mark.parametrize(("status", "error"), [(400, RemoteProtocolError), (403, Refused), (404, RemoteProtocolError)])
def test_other_refusals(pauses, status, error):
    """Other 4xx stop at once."""
    with Scripted(lambda e: e.answer(status)) as server, pytest.raises(error):
        client_of(server, pauses).poll()
    assert (len(server.seen), pauses) == (1, [])


def test_too_often(pauses):
    """429 waits as told, but never longer than two minutes, and then goes on."""
    asked = ["3", "99999"]

    def script(exchange):
        exchange.answer(429, Retry_After=asked.pop(0)) if asked else exchange.json({})

    with Scripted(script) as server:
        assert client_of(server, pauses).poll() == Poll(300)
    assert pauses == [3, 120]


def test_trouble_ends(pauses):
    """5xx is tried again a bounded number of times, with pauses that grow."""
    with Scripted(lambda e: e.answer(502)) as server, pytest.raises(Unreachable):
        client_of(server, pauses).poll()
    assert len(server.seen) == 5
    assert pauses[3] > pauses[0] > 0


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe\x00", b"[" * 100_000, b"{}" + b" " * 2_000_000])
def test_no_json(pauses, body):
    """An answer that is no JSON, or far too long, is a breach of DDI."""
    with Scripted(lambda e: e.answer(200, body)) as server, pytest.raises(RemoteProtocolError):
        client_of(server, pauses).poll()


def test_redirect_loop(pauses):
    """A server that redirects in a circle is left."""
    with Scripted(lambda e: e.answer(302, Location="/again")) as server, pytest.raises(RemoteProtocolError):
        client_of(server, pauses).poll()
    assert len(server.seen) < 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1" * 40, 111_111_111),
    ],
)
def test_retry_after(text, seconds):
    """Retry-After is read as seconds or a date; nonsense counts as absent."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert retry_after_s({"Retry-After": text}, now) == seconds
