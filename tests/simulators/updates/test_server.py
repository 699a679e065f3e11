from __future__ import annotations

import hashlib

import pytest
import requests

from devices.errors import Refused
from ota.ddi import ActionGone, DdiClient, Execution, Finished, Handling
from ota.download import download
from ota.http import Http
from ota.trust import TrustStore, fits
from ota.tuf_client import Targets
from simulators.register import TerminalCard
from simulators.updates.server import UpdateServer

NAME = "UT-99L-1004.bin"
A = "UT-99L-A1"


@pytest.fixture
def client(server):
    return DdiClient(server.url, "DEFAULT", A, "token-a", sleep=lambda _: None)


@pytest.fixture
def targets(server, tmp_path):
    pinned = TrustStore(tmp_path / "home").pin("world", server.url, server.root_bytes)
    return Targets(pinned, tmp_path / "home", Http(sleep=lambda _: None))


@pytest.fixture
def assigned(server, image):
    server.store.publish(image)
    return server.store.assign(A, NAME)


def sim(server, method, path, **kwargs):
    answer = requests.request(method, f"{server.url}/sim/{path}", timeout=10, **kwargs)
    return answer.status_code, answer.json()


def test_round(server, client, targets, image, tmp_path):
    """Publish, assign, poll, compare with TUF, download, report: at the end the operator sees success."""
    octets = {"Content-Type": "application/octet-stream"}
    assert sim(server, "POST", "publish", data=image, headers=octets) == (200, {"artifact": NAME})
    assert client.poll().deployment is None
    status, answer = sim(server, "POST", "assign", json={"controller_id": A, "artifact": NAME})
    assert (status, answer) == (200, {"action_id": 1})

    deployment = client.deployment(client.poll().deployment)
    assert (deployment.action_id, deployment.download, deployment.update) == ("1", Handling.FORCED, Handling.FORCED)
    (artifact,) = deployment.artifacts
    target = targets.target(artifact.filename)
    fits(artifact, target, "UT-99L")
    path = download(target, artifact.urls, tmp_path / "cache", client.http)
    assert path.read_bytes() == image

    client.feedback(deployment, Execution.PROCEEDING, progress=(5, 10), details=["half"])
    client.feedback(deployment, Execution.CLOSED, Finished.SUCCESS, details=["1004 runs"])
    assert client.poll().deployment is None
    _, (action,) = sim(server, "GET", f"actions?controller_id={A}")
    assert action["status"] == "finished"
    assert [(r["execution"], r["finished"], r["cnt"], r["of"]) for r in action["reports"]] == [
        ("", "none", None, None),
        ("proceeding", "none", 5, 10),
        ("closed", "success", None, None),
    ]
    assert action["reports"][0]["at"] == "2026-03-02T09:00:00.000+09:00"


def test_failure(server, client, assigned):
    """A failure closes the action as failed, and a later report is answered as gone."""
    deployment = client.deployment(client.poll().deployment)
    client.feedback(deployment, Execution.CLOSED, Finished.FAILURE)
    assert server.store.action(assigned).status == "failed"
    with pytest.raises(ActionGone):
        client.feedback(deployment, Execution.CLOSED, Finished.SUCCESS)
    assert server.store.action(assigned).status == "failed"


@pytest.mark.parametrize(
    ("controller", "token", "tenant"),
    [
        (A, "token-b", "DEFAULT"),
        (A, "", "DEFAULT"),
        (A, "token-é", "DEFAULT"),
        ("UT-99L-ZZ", "token-a", "DEFAULT"),
        ("UT-77L-B2", "token-a", "DEFAULT"),
        (A, "token-a", "OTHER"),
    ],
)
def test_wrong_token(server, assigned, controller, token, tenant):
    """Nobody gets in without the token of exactly this terminal, at any resource."""
    base = f"{server.url}/{tenant}/controller/v1/{controller}"
    module = server.store.release(NAME).module_id
    headers = {"Authorization": f"TargetToken {token}".encode("latin-1")}
    for path in ("", f"/deploymentBase/{assigned}", f"/softwaremodules/{module}/artifacts/{NAME}"):
        assert requests.get(base + path, headers=headers, timeout=10).status_code == 401
    body = {"status": {"execution": "closed", "result": {"finished": "success"}}}
    answer = requests.post(f"{base}/deploymentBase/{assigned}/feedback", json=body, headers=headers, timeout=10)
    assert answer.status_code == 401
    assert server.store.action(assigned).active


def test_unregistered(server, client, register):
    """A terminal whose registration ended is refused from then on."""
    client.poll()
    register.add(TerminalCard("1", "A1", "UT-99L", "inst-1", "", "token-a", registered=False))
    with pytest.raises(Refused, match="401"):
        client.poll()


def test_others_action(server, client, image):
    """The action and the artifact of another terminal are not there for this one."""
    server.store.publish(image)
    number = server.store.assign("UT-77L-B2", NAME)
    assert client.poll().deployment is None
    with pytest.raises(ActionGone):
        client.deployment(f"{server.url}/DEFAULT/controller/v1/{A}/deploymentBase/{number}")
    release = server.store.release(NAME)
    url = f"{server.url}/DEFAULT/controller/v1/{A}/softwaremodules/{release.module_id}/artifacts/{NAME}"
    assert requests.get(url, headers={"Authorization": "TargetToken token-a"}, timeout=10).status_code == 404


def test_cancel_accepted(server, client, assigned):
    """A cancel hides the deployment; closed by the terminal, the action is cancelled."""
    assert sim(server, "POST", f"cancel/{assigned}")[1]["status"] == "canceling"
    poll = client.poll()
    assert poll.deployment is None
    cancel = client.cancellation(poll.cancel)
    assert cancel.stop_id == str(assigned)
    client.feedback(cancel, Execution.CLOSED, Finished.SUCCESS)
    assert server.store.action(assigned).status == "canceled"
    assert client.poll().cancel is None


def test_cancel_rejected(server, client, assigned):
    """A cancel that comes too late is rejected by the terminal, and the deployment goes on."""
    deployment = client.deployment(client.poll().deployment)
    server.store.cancel(assigned)
    client.feedback(client.cancellation(client.poll().cancel), Execution.REJECTED)
    assert client.poll().deployment is not None
    client.feedback(deployment, Execution.CLOSED, Finished.SUCCESS)
    assert server.store.action(assigned).status == "finished"


def test_finished_while_canceling(server, client, assigned):
    """An update that was done when the cancel came is done."""
    deployment = client.deployment(client.poll().deployment)
    server.store.cancel(assigned)
    client.feedback(deployment, Execution.CLOSED, Finished.SUCCESS)
    assert server.store.action(assigned).status == "finished"
    assert client.poll().cancel is None


def test_newer_release(server, client, assigned, make_image):
    """A newer assignment cancels the older one first; then it comes, under a higher id."""
    server.store.publish(make_image(version=1005))
    newer = server.store.assign(A, "UT-99L-1005.bin", forced=False)
    assert newer > assigned
    client.feedback(client.cancellation(client.poll().cancel), Execution.CLOSED, Finished.SUCCESS)
    deployment = client.deployment(client.poll().deployment)
    assert deployment.action_id == str(newer)
    assert (deployment.update, deployment.artifacts[0].filename) == (Handling.ATTEMPT, "UT-99L-1005.bin")


def test_config_data(server, client):
    """A terminal is asked for its attributes until it told them; merge, replace and remove do as DDI says."""
    url = client.poll().config
    client.config_data(url, {"model": "UT-99L", "payment_version": "1003"})
    assert client.poll().config is None
    client.config_data(url, {"payment_version": "1004"})
    assert sim(server, "GET", f"devices/{A}") == (200, {"model": "UT-99L", "payment_version": "1004"})
    server.store.tell(A, "remove", {"model": ""})
    assert server.store.attributes(A) == {"payment_version": "1004"}
    server.store.tell(A, "replace", {"x": "y"})
    assert server.store.attributes(A) == {"x": "y"}


@pytest.mark.parametrize(
    ("headers", "status", "span"),
    [
        ({}, 200, slice(None)),
        ({"Range": "bytes=1000-"}, 206, slice(1000, None)),
        ({"Range": "bytes=1000-1999"}, 206, slice(1000, 2000)),
        ({"Range": "bytes=1000-", "If-Range": "ETAG"}, 206, slice(1000, None)),
        ({"Range": "bytes=1000-", "If-Range": '"other"'}, 200, slice(None)),
        ({"Range": "bytes=1000-", "If-Range": "W/ETAG"}, 200, slice(None)),
        ({"Range": "bytes=99999999-"}, 416, None),
    ],
)
def test_ranges(*, server, client, assigned, image, headers, status, span):
    """Artifacts come in ranges, an If-Range of another file gives the whole, and a range beyond the end is 416."""
    url = client.deployment(client.poll().deployment).artifacts[0].urls[0]
    etag = f'"{hashlib.sha256(image).hexdigest()}"'
    sent = {name: value.replace("ETAG", etag) for name, value in headers.items()}
    answer = requests.get(url, headers={"Authorization": "TargetToken token-a", **sent}, timeout=10)
    assert answer.status_code == status
    if span is not None:
        assert answer.content == image[span]
        assert answer.headers["ETag"] == etag


def test_resume_from_either(*, server, client, targets, assigned, image, tmp_path):
    """A download begun before is finished by Range, from DDI or from TUF's own targets."""
    target = targets.target(NAME)
    (artifact,) = client.deployment(client.poll().deployment).artifacts
    tuf_url = f"{server.url}/tuf/targets/{target.sha256}.{NAME}"
    for folder, url in ((tmp_path / "one", artifact.urls[0]), (tmp_path / "two", tuf_url)):
        told = []
        folder.mkdir()
        (folder / f"{NAME}.part").write_bytes(image[:150_000])
        (folder / f"{NAME}.part.json").write_text(
            f'{{"sha256": "{target.sha256}", "url": "{url}", "etag": "\\"{target.sha256}\\""}}'
        )
        path = download(target, [url], folder, client.http, lambda done, _size, told=told: told.append(done))
        assert path.read_bytes() == image
        assert told[0] > 150_000


def test_restart(*, server, client, assigned, image, tmp_path, register, clock):
    """A server started again on its folder knows releases, actions, ids and keys, and signs anew."""
    client.feedback(client.deployment(client.poll().deployment), Execution.PROCEEDING)
    before = server.store.actions()
    pinned = TrustStore(tmp_path / "home").pin("world", server.url, server.root_bytes)
    Targets(pinned, tmp_path / "home").target(NAME)
    port = int(server.url.rsplit(":", 1)[1])
    server.close()
    with UpdateServer(tmp_path / "updates", register.folder, clock, port) as again:
        assert again.store.actions() == before
        assert again.root_bytes == pinned.root
        assert Targets(pinned, tmp_path / "home").target(NAME).size == len(image)
        assert client.deployment(client.poll().deployment).action_id == str(assigned)


def test_tuf_serves_nothing_else(server, image):
    """Below /tuf are metadata and targets only: no keys, no other folders, no temporary files."""
    server.store.publish(image)
    (server.store.repository.metadata / ".timestamp.json.x").write_text("half")
    keys = [path.name for path in (server.store.repository.metadata.parents[1] / "keys").iterdir()]
    for path in ("metadata/.timestamp.json.x", "metadata/nothing.json", "metadata/", f"keys/{keys[0]}"):
        assert requests.get(f"{server.url}/tuf/{path}", timeout=10).status_code == 404
    for path in ("..%2f..%2fkeys%2f" + keys[0], "%2e%2e/actions"):
        assert requests.get(f"{server.url}/tuf/targets/{path}", timeout=10).status_code == 404


def test_operator_errors(server, image, make_image):
    """The operator's mistakes are told as such: unknown device, release or action, and files that are no image."""
    octets = {"Content-Type": "application/octet-stream"}
    server.store.publish(image)
    assert sim(server, "POST", "assign", json={"controller_id": "UT-99L-ZZ", "artifact": NAME})[0] == 404
    assert sim(server, "POST", "assign", json={"controller_id": A, "artifact": "nothing.bin"})[0] == 404
    assert sim(server, "POST", "assign", json={"artifact": NAME})[0] == 422
    assert sim(server, "POST", "cancel/77")[0] == 404
    assert sim(server, "POST", "publish", data=b"junk", headers=octets)[0] == 400
    assert sim(server, "POST", "publish", data=image)[0] == 415
    changed = make_image(weight=100_000)
    assert sim(server, "POST", "publish", data=changed, headers=octets)[0] == 403
    assert sim(server, "POST", "publish?replace=true", data=changed, headers=octets) == (200, {"artifact": NAME})
    _, (release,) = sim(server, "GET", "releases")
    assert (release["size"], release["payment_version"]) == (len(changed), 1004)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": {}},
        {"status": {"execution": "done", "result": {"finished": "success"}}},
        {"status": {"execution": "closed", "result": {"finished": "perhaps"}}},
        {"status": {"execution": "closed", "result": {"finished": "success"}, "details": ["x"] * 51}},
    ],
)
def test_malformed_feedback(server, assigned, body):
    """A malformed report changes nothing."""
    url = f"{server.url}/DEFAULT/controller/v1/{A}/deploymentBase/{assigned}/feedback"
    answer = requests.post(url, json=body, headers={"Authorization": "TargetToken token-a"}, timeout=10)
    assert answer.status_code in {400, 422}
    assert len(server.store.action(assigned).reports) == 1
