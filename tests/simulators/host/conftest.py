"""A terminal, its register, and a host on both stores."""

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.clock import FixedClock
from simulators.host.core import open_books
from simulators.host.server import HostServer
from simulators.host.sql_store import SqlStore
from simulators.host.store import DictStore
from simulators.register import Register
from tests.simulators.host.bench import START, Caller, card_of


@pytest.fixture(scope="session")
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def card(key):
    return card_of(key)


@pytest.fixture(params=["dict", "sql"])
def empty_store(request, tmp_path):
    store = DictStore() if request.param == "dict" else SqlStore(tmp_path / "host.sqlite")
    yield store
    store.close()


@pytest.fixture
def store(empty_store):
    open_books(empty_store, START)
    return empty_store


@pytest.fixture
def terminals(tmp_path, card):
    folder = tmp_path / "terminals"
    Register(folder).add(card)
    return folder


@pytest.fixture
def host(terminals):
    with HostServer(None, terminals, FixedClock(START)) as server:
        yield server


@pytest.fixture
def caller(host, key):
    with requests.Session() as session:
        yield Caller(host.url, key, session=session)
