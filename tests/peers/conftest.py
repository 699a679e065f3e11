"""`@pytest.mark.peer(name)`: skip with the reason where it is missing, fail where every peer is required."""

from __future__ import annotations

import os

import pytest

from tests.peers.foreign import why_missing


@pytest.fixture(autouse=True)
def peers_at_hand(request: pytest.FixtureRequest) -> None:
    """Before anything of the test is set up."""
    for mark in request.node.iter_markers("peer"):
        reason = why_missing(mark.args[0])
        if reason is None:
            continue
        if os.environ.get("UTBENCH_REQUIRE_PEERS"):
            pytest.fail(f"UTBENCH_REQUIRE_PEERS is set, but {reason}.", pytrace=False)
        pytest.skip(f"{reason} (UTBENCH_PEERS names the folder of the peers)")
