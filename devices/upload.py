"""A windowed upload without I/O: which chunk next, what a reply means, when to send again.

Several chunks travel at once, so that the line never waits for the device's turnaround. The device's
`off` always wins: after a lost chunk every later one is answered with the offset that it wants, and
the upload goes back there at once, without waiting for a time-out. Replies come in the order of their
requests, so a reply also settles every request before it.

The first chunk opens the transfer and may erase the slot: it is short (a lost byte hurts little), it
travels alone, and it is given `FIRST_TIMEOUT_S` in all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.errors import NoAnswer, RemoteProtocolError

FIRST_TIMEOUT_S = 40.0
FIRST_CHUNK_BYTES = 64  # holds the image header, which devices check before they erase
FIRST_RETRY_S = 1.0
MIN_RETRY_S = 0.05  # beyond the mean: adapters hold bytes back for up to 16 ms (form: RFC 6298, 2.3)
START_RETRY_S = 1.0
MAX_RETRY_S = 2.0
SILENCE_S = 15.0
MAX_STUCK = 200  # replies in a row that do not move the offset
WRITE_BYTES = 8  # flash is written in units of eight


@dataclass(frozen=True, slots=True)
class Chunk:
    off: int
    length: int

    @property
    def end(self) -> int:
        return self.off + self.length


@dataclass(slots=True)
class Upload:
    """`size` bytes in chunks of at most `chunk_bytes`, `window` of them under way. Times are seconds of one clock."""

    size: int
    chunk_bytes: int
    window: int
    started_s: float
    acked: int = 0
    resends: int = 0
    _cursor: int = 0
    _opened: bool = False
    _flights: dict[int, Chunk] = field(default_factory=dict)
    _heard_s: float = 0.0
    _since_s: float = 0.0
    _mean_s: float | None = None
    _spread_s: float = 0.0
    _backoff: float = 1.0
    _stuck: int = 0

    def __post_init__(self) -> None:
        self._heard_s = self.started_s
        self.chunk_bytes = max(WRITE_BYTES, self.chunk_bytes // WRITE_BYTES * WRITE_BYTES)

    @property
    def done(self) -> bool:
        return self._opened and self.acked >= self.size

    def next_chunk(self) -> Chunk | None:
        """The chunk to send now, or None: wait for a reply or for `deadline`."""
        if not self._opened:
            return None if self._flights else Chunk(0, min(FIRST_CHUNK_BYTES, self.chunk_bytes, self.size))
        if self._cursor >= self.size or len(self._flights) >= self.window:
            return None
        return Chunk(self._cursor, min(self.chunk_bytes, self.size - self._cursor))

    def sent(self, token: int, chunk: Chunk, now_s: float) -> None:
        """`chunk` went out under `token` (the request's sequence number)."""
        if not self._flights:
            self._since_s = now_s
        self._flights[token] = chunk
        self._cursor = chunk.end

    def replied(self, token: int, off: int, now_s: float) -> None:
        """The device answered `token` and wants to go on at `off`."""
        chunk = self._flights.get(token)
        if chunk is None:
            return
        if not 0 <= off <= self.size:
            raise RemoteProtocolError(
                f"The terminal asks for byte {off:,} of an image that has {self.size:,}.", "Reset it and try again."
            )
        self._measure(now_s - self._since_s)
        self._heard_s, self._since_s, self._backoff = now_s, now_s, 1.0
        for earlier in list(self._flights):
            del self._flights[earlier]
            if earlier == token:
                break
        self._stuck = 0 if off > self.acked else self._stuck + 1
        if self._stuck > MAX_STUCK:
            raise NoAnswer(
                f"The terminal answers, but does not get past byte {off:,}.", "Reset it and run the same command again."
            )
        self.acked, self._opened = off, True
        if not self._expects(off):
            self.resends += self._cursor != off and off < chunk.end
            self._cursor = off

    def _expects(self, off: int) -> bool:
        """Whether what is under way, or comes next, starts where the device wants to go on."""
        if self._flights:
            return any(chunk.off == off for chunk in self._flights.values())
        return self._cursor == off

    def _measure(self, sample_s: float) -> None:
        """Time from one reply to the next: it holds however slow the line and wide the window are."""
        if not self._opened:
            return  # the first may have erased
        if self._mean_s is None:
            self._mean_s, self._spread_s = sample_s, sample_s / 2
        else:
            self._spread_s += (abs(sample_s - self._mean_s) - self._spread_s) / 4
            self._mean_s += (sample_s - self._mean_s) / 8

    def deadline_s(self) -> float | None:
        """When to call `expired`, or None while nothing is under way."""
        if not self._flights:
            return None
        if not self._opened:
            retry = FIRST_RETRY_S
        elif self._mean_s is None:
            retry = START_RETRY_S
        else:
            retry = self._mean_s + max(MIN_RETRY_S, 4 * self._spread_s)
        longest = MAX_RETRY_S if self._opened else FIRST_TIMEOUT_S / 4
        return self._since_s + min(retry * self._backoff, max(longest, retry))

    def expired(self, now_s: float) -> list[int]:
        """Nothing came in time: the tokens to forget; sending starts again at the acknowledged offset."""
        patience = SILENCE_S if self._opened else FIRST_TIMEOUT_S
        since = self._heard_s if self._opened else self.started_s
        if now_s - since > patience and self._backoff > 1:
            raise NoAnswer(
                f"The terminal stopped answering at byte {self.acked:,} of {self.size:,}.",
                "Check the cable and its power, then run the same command again: it goes on there.",
            )
        lost = list(self._flights)
        self._flights.clear()
        self._cursor = self.acked
        self._backoff *= 2
        self.resends += 1
        return lost
