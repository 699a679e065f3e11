from __future__ import annotations

import pytest
import requests
from fastapi import FastAPI

from devices.errors import PortBusy, Unreachable
from simulators.web_server import WebServer


def app_that_answers(text):
    app = FastAPI()

    @app.get("/")
    def root():
        return text

    return app


def test_answers_at_once():
    """The port is known and answers as soon as the server is made, and is free again after close."""
    with WebServer(app_that_answers("hello")) as server:
        assert requests.get(server.url, timeout=5).json() == "hello"
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)
    with WebServer(app_that_answers("again"), port=server.port) as again:
        assert requests.get(again.url, timeout=5).json() == "again"


def test_port_taken():
    """A taken port is said so."""
    with WebServer(app_that_answers("hello")) as server, pytest.raises(PortBusy, match=str(server.port)):
        WebServer(app_that_answers("other"), port=server.port)


def test_close_twice():
    """Closing twice is harmless, also with a connection kept open."""
    server = WebServer(app_that_answers("hello"))
    with requests.Session() as session:
        session.get(server.url, timeout=5)
        server.close()
        server.close()


def test_failing_start():
    """An application that cannot start is an error where it was made, not a server that never answers."""

    async def lifespan(_app):
        raise RuntimeError("no")
        yield

    from contextlib import asynccontextmanager

    with pytest.raises(Unreachable):
        WebServer(FastAPI(lifespan=asynccontextmanager(lifespan)))
