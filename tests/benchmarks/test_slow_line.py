"""A slow line is no lossy one."""

from __future__ import annotations

import pytest

from devices.upload import Upload

ADAPTER_MS = 16  # for which a usual USB adapter may hold bytes back


@pytest.mark.parametrize("reply_ms", [1, 46, 250])
def test_a_reply_that_the_adapter_holds_back_is_not_sent_again(reply_ms):
    """However regular the replies were, one that comes 16 ms later than they did has not yet run out of time."""
    state = Upload(size=100_000, chunk_bytes=328, window=3, started_s=0.0)
    now_s, token, waiting = 0.0, 0, []
    for _ in range(60):
        while (chunk := state.next_chunk()) is not None:
            state.sent(token, chunk, now_s)
            waiting.append((token, chunk.end))
            token += 1
        now_s += reply_ms / 1000
        state.replied(*waiting.pop(0), now_s)
    while (chunk := state.next_chunk()) is not None:
        state.sent(token, chunk, now_s)
        token += 1
    deadline_s = state.deadline_s()
    assert deadline_s is not None
    assert deadline_s - now_s > (reply_ms + ADAPTER_MS) / 1000
