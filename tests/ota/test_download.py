from __future__ import annotations

import hashlib
import json
import random
import threading

import pytest

from devices.durable import DiskError
from devices.errors import Refused, RemoteProtocolError, Unreachable
from ota.download import download
from ota.http import Http, Patience
from ota.trust import TufTarget
from tests.ota.scripted import Scripted

BYTES = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
NAME = "UT-99L-1004.bin"


def target_for(data=BYTES, name=NAME):
    return TufTarget(name, len(data), hashlib.sha256(data).hexdigest(), "UT-99L", 1004, 1004)


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def http(pauses):
    return Http(sleep=pauses.append, patience=Patience(read_s=5))


def honest(data, etag='"one"'):
    def script(exchange):
        start = exchange.start if exchange.headers.get("if-range", etag) == etag else 0
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            exchange.answer(206, data[start:], ETag=etag, Content_Range=span)
        else:
            exchange.answer(200, data, ETag=etag)

    return script


def cut_after(limits, then):
    """The first answers break off after so many bytes; later ones are `then`'s."""
    left = list(limits)

    def script(exchange):
        if not left:
            return then(exchange)
        limit = left.pop(0)
        start = exchange.start
        rest = BYTES[start:]
        if start:
            span = f"bytes {start}-{len(BYTES) - 1}/{len(BYTES)}"
            return exchange.answer(206, rest[:limit], len(rest), ETag='"one"', Content_Range=span)
        return exchange.answer(200, rest[:limit], len(rest), ETag='"one"')

    return script


def test_whole(tmp_path, http):
    """A download ends as the signed bytes under the signed name, with nothing else left beside."""
    told = []
    with Scripted(honest(BYTES)) as server:
        path = download(target_for(), [server.url], tmp_path, http, lambda done, size: told.append((done, size)))
    assert path == tmp_path / NAME
    assert path.read_bytes() == BYTES
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".{NAME}.lock", NAME]
    assert told[-1] == (len(BYTES), len(BYTES))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_reuse(tmp_path, http):
    """A complete file is verified and used again without asking anybody."""
    (tmp_path / NAME).write_bytes(BYTES)
    assert download(target_for(), [], tmp_path, http).read_bytes() == BYTES


def test_damaged_whole(tmp_path, http):
    """A complete file whose bytes went bad is fetched again."""
    (tmp_path / NAME).write_bytes(OTHER)
    with Scripted(honest(BYTES)) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES


def test_cut(tmp_path, http, pauses):
    """A connection that breaks off is resumed where it stopped, with the ETag as If-Range."""
    with Scripted(cut_after([100_000, 50_000], honest(BYTES))) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES
    ranges = [(seen.headers.get("range"), seen.headers.get("if-range")) for seen in server.seen]
    assert ranges == [(None, None), ("bytes=100000-", '"one"'), ("bytes=150000-", '"one"')]
    assert len(pauses) == 2


def test_killed(tmp_path, http):
    """What a killed process had stored is not fetched again by the next one."""
    impatient = Http(sleep=lambda _: None, patience=Patience(attempts=1))
    with Scripted(cut_after([200_000], honest(BYTES))) as server:
        with pytest.raises(Unreachable):
            download(target_for(), [server.url], tmp_path, impatient)
        assert (tmp_path / f"{NAME}.part").stat().st_size == 200_000
        download(target_for(), [server.url], tmp_path, http)
    assert server.seen[-1].headers["range"] == "bytes=200000-"


def test_complete_part(tmp_path, http):
    """A process killed between the last byte and the rename leaves a part that needs no server."""
    (tmp_path / f"{NAME}.part").write_bytes(BYTES)
    (tmp_path / f"{NAME}.part.json").write_text(json.dumps({"sha256": target_for().sha256}))
    with Scripted(honest(OTHER)) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES
    assert server.seen == []


def test_changed_etag(tmp_path, http):
    """Where the server's file changed meanwhile, the download starts over and the part is not mixed in."""
    (tmp_path / f"{NAME}.part").write_bytes(OTHER[:1000])
    with Scripted(honest(BYTES, '"two"')) as server:
        note = {"sha256": target_for().sha256, "url": server.url, "etag": '"one"'}
        (tmp_path / f"{NAME}.part.json").write_text(json.dumps(note))
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES
    assert len(server.seen) == 1


def test_part_of_other_release(tmp_path, http):
    """A part that begins other signed bytes is thrown away before anything is asked."""
    (tmp_path / f"{NAME}.part").write_bytes(OTHER[:1000])
    (tmp_path / f"{NAME}.part.json").write_text(json.dumps({"sha256": "0" * 64, "url": "", "etag": ""}))
    with Scripted(honest(BYTES)) as server:
        download(target_for(), [server.url], tmp_path, http)
    assert "range" not in server.seen[0].headers


@pytest.mark.parametrize("note", ["", "[]", '{"sha256": 3}', "\xff"])
def test_bad_note(tmp_path, http, note):
    """A note that cannot be read costs a fresh download, never an error."""
    (tmp_path / f"{NAME}.part").write_bytes(OTHER[:1000])
    (tmp_path / f"{NAME}.part.json").write_text(note, "latin-1")
    with Scripted(honest(BYTES)) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES


def test_bad_part(tmp_path, http):
    """A part whose bytes went bad on the disk costs one fresh download."""
    (tmp_path / f"{NAME}.part").write_bytes(OTHER[:1000])
    with Scripted(honest(BYTES)) as server:
        note = {"sha256": target_for().sha256, "url": server.url, "etag": '"one"'}
        (tmp_path / f"{NAME}.part.json").write_text(json.dumps(note))
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES
    assert [seen.headers.get("range") for seen in server.seen] == ["bytes=1000-", None]


def test_range_ignored(tmp_path, http):
    """A server without Range is served from the beginning after a cut."""
    with Scripted(cut_after([100_000], lambda exchange: exchange.answer(200, BYTES))) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES
    assert len(server.seen) == 2


@pytest.mark.parametrize("span", ["bytes 5-299999/300000", "bytes 100000-299999/7", "nonsense", ""])
def test_wrong_span(tmp_path, http, span):
    """A 206 for another span than asked is not stored; the download starts over."""

    def script(exchange):
        if exchange.start:
            exchange.answer(206, BYTES[100_000:], Content_Range=span)
        else:
            exchange.answer(200, BYTES)

    with Scripted(cut_after([100_000], script)) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES


def test_not_satisfiable(tmp_path, http):
    """416 starts over."""

    def script(exchange):
        exchange.answer(416) if exchange.start else exchange.answer(200, BYTES)

    with Scripted(cut_after([100_000], script)) as server:
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES


def test_cuts_and_restarts_end(tmp_path, http):
    """A server that gives much, cuts, and refuses to go on is given up, however often it starts anew."""

    def script(exchange):
        exchange.answer(416) if exchange.start else exchange.answer(200, BYTES[:200_000], len(BYTES))

    with Scripted(script) as server, pytest.raises(Unreachable):
        download(target_for(), [server.url], tmp_path, http)
    assert len(server.seen) < 20


def test_drops_end(tmp_path, http, pauses):
    """A server that gives a few bytes and cuts, again and again, is given up."""
    with Scripted(cut_after([10] * 1000, honest(BYTES))) as server, pytest.raises(Unreachable):
        download(target_for(), [server.url], tmp_path, http)
    assert len(server.seen) == 5
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("announce", [-1, len(BYTES) + 20_000])
def test_oversized(tmp_path, http, announce):
    """More bytes than signed are refused, and never stored."""
    part, stored = tmp_path / f"{NAME}.part", [0]
    with Scripted(lambda e: e.answer(200, BYTES + bytes(20_000), announce)) as server, pytest.raises(Refused):
        download(target_for(), [server.url], tmp_path, http, lambda *_: stored.append(part.stat().st_size))
    assert max(stored) <= len(BYTES)
    assert not (tmp_path / f"{NAME}.part").exists()


def test_wrong_hash(tmp_path, http):
    """Other bytes of the right length are refused at once and thrown away."""
    with Scripted(honest(OTHER)) as server, pytest.raises(Refused, match="not those that the publisher signed"):
        download(target_for(), [server.url], tmp_path, http)
    assert len(server.seen) == 1
    assert [p.name for p in tmp_path.iterdir()] == [f".{NAME}.lock"]


def test_wrong_hash_after_cut(tmp_path, http):
    """Other bytes after a cut are refused as well, after one fresh download."""

    def script(exchange):
        start = exchange.start
        span = f"bytes {start}-{len(OTHER) - 1}/{len(OTHER)}"
        exchange.answer(206 if start else 200, OTHER[start:], **({"Content_Range": span} if start else {}))

    with Scripted(cut_after([100_000], script)) as server, pytest.raises(Refused):
        download(target_for(), [server.url], tmp_path, http)
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_client_errors_stop(tmp_path, http, status):
    """4xx ends the download at the first answer."""
    with Scripted(lambda e: e.answer(status)) as server, pytest.raises(RemoteProtocolError, match=str(status)):
        download(target_for(), [server.url], tmp_path, http)
    assert len(server.seen) == 1


def test_busy(tmp_path, http, pauses):
    """429 waits as long as it was told to, and 5xx a growing while, and then the download is done."""
    answers = [(429, {"Retry_After": "7"}), (503, {}), (500, {})]

    def script(exchange):
        if answers:
            status, headers = answers.pop(0)
            exchange.answer(status, **headers)
        else:
            exchange.answer(200, BYTES)

    with Scripted(script) as server:
        download(target_for(), [server.url], tmp_path, http)
    assert pauses[0] == 7
    assert 0 < pauses[1] <= pauses[2] * 2


def test_slow(tmp_path):
    """A server that crawls is cut off and given up."""
    stop = threading.Event()

    def script(exchange):
        exchange.answer(200, BYTES[:10], len(BYTES))
        while not stop.wait(0.02):
            exchange._handler.wfile.write(b"x")
            exchange._handler.wfile.flush()

    hasty = Http(sleep=lambda _: None, patience=Patience(stall_s=0.1, bytes_per_s=100_000, attempts=2))
    try:
        with Scripted(script) as server, pytest.raises(Unreachable, match="too slowly"):
            download(target_for(), [server.url], tmp_path, hasty)
    finally:
        stop.set()


def test_second_url(tmp_path, http):
    """Where the first address fails, the next one goes on with the part."""
    with Scripted(cut_after([100_000], lambda e: e.answer(404))) as bad, Scripted(honest(BYTES)) as good:
        assert download(target_for(), [bad.url, good.url], tmp_path, http).read_bytes() == BYTES
    assert good.seen[0].headers["range"] == "bytes=100000-"
    assert "if-range" not in good.seen[0].headers


def test_nobody_there(tmp_path, http, pauses):
    """Where nobody answers, the attempts are bounded."""
    with Scripted(honest(BYTES)) as server:
        pass
    with pytest.raises(Unreachable):
        download(target_for(), [server.url], tmp_path, http)
    assert len(pauses) == 4


def test_compressed(tmp_path, http):
    """A compressed answer, which nobody asked for, is named as what it is."""
    zipped = Scripted(lambda e: e.answer(200, BYTES, Content_Encoding="gzip"))
    with zipped as server, pytest.raises(RemoteProtocolError, match="compressed"):
        download(target_for(), [server.url], tmp_path, http)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\0b", "C:x"])
def test_names(tmp_path, http, name):
    """A name that could lead elsewhere is refused before anything is written."""
    with pytest.raises(Refused):
        download(target_for(name=name), ["http://127.0.0.1:1"], tmp_path / "cache", http)
    assert not (tmp_path / "cache").exists()


def test_disk_full(tmp_path, http):
    """A disk that fills up is said so, what is there is kept, and the same call goes on once there is room."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Scripted(honest(BYTES)) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
        try:
            with pytest.raises(DiskError):
                download(target_for(), [server.url], tmp_path, http)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / f"{NAME}.part").stat().st_size <= 150_000
        assert download(target_for(), [server.url], tmp_path, http).read_bytes() == BYTES


def test_no_room(tmp_path, http):
    """A disk without room for the rest is refused before the server is asked."""
    huge = TufTarget(NAME, 1 << 60, "0" * 64, "UT-99L", 1004, 1004)
    with Scripted(honest(BYTES)) as server, pytest.raises(DiskError, match="Free some room"):
        download(huge, [server.url], tmp_path, http)
    assert server.seen == []


def test_two_at_once(tmp_path, pauses):
    """Two downloads of one file into one folder take turns; the second finds it there."""
    got = []
    with Scripted(honest(BYTES)) as server:
        run = [
            threading.Thread(target=lambda: got.append(download(target_for(), [server.url], tmp_path, Http())))
            for _ in range(2)
        ]
        for thread in run:
            thread.start()
        for thread in run:
            thread.join(30)
    assert [path.read_bytes() == BYTES for path in got] == [True, True]
    assert len(server.seen) == 1
