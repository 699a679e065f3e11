"""What a serial line does to bytes: pacing, dropped and corrupted bytes, garbage. Seeded, so it repeats."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

from devices.clock import monotonic_s

BITS_PER_BYTE = 10  # start, eight, stop


@dataclass(frozen=True, slots=True)
class LineSpec:
    """`baud` 0: as fast as the system carries. `drop`, `corrupt`, `garbage` are chances per byte.

    `turnaround_ms` is what the device takes to answer a request; `usb`: a reset disconnects the port.
    """

    baud: int = 0
    turnaround_ms: float = 0.0
    drop: float = 0.0
    corrupt: float = 0.0
    garbage: float = 0.0
    usb: bool = False
    seed: int = 1


class Pacer:
    """Holds a direction of the line to its baud rate, on an absolute schedule, so that oversleeping is made good."""

    def __init__(self, baud: int) -> None:
        self._byte_s = BITS_PER_BYTE / baud if baud else 0.0
        self._free_s = 0.0
        self._pause = threading.Event()

    @property
    def on(self) -> bool:
        return self._byte_s > 0

    def carry(self, count: int, *, waited: bool) -> None:
        """Block until `count` bytes are over the line; `waited`: the line was idle before them."""
        now_s = monotonic_s()
        if waited or not self._free_s:
            self._free_s = max(self._free_s, now_s)
        self._free_s += count * self._byte_s
        if self._free_s > now_s:
            self._pause.wait(self._free_s - now_s)

    def stop(self) -> None:
        self._pause.set()


class Noise:
    """Drops, flips and adds bytes. The distance to the next fault is drawn, so a clean byte costs nothing."""

    def __init__(self, spec: LineSpec, seed: int) -> None:
        self._spec = spec
        self._random = random.Random(seed)
        self._rate = spec.drop + spec.corrupt + spec.garbage
        self._next = self._distance()

    def _distance(self) -> int:
        return int(self._random.expovariate(self._rate)) if self._rate else 0

    def through(self, data: bytes) -> bytes:
        """`data` as it arrives at the other end."""
        if not self._rate:
            return data
        out = bytearray()
        at = 0
        while self._next < len(data) - at:
            hit = at + self._next
            out += data[at:hit]
            out += self._fault(data[hit])
            at = hit + 1
            self._next = self._distance()
        self._next -= len(data) - at
        return bytes(out + data[at:])

    def _fault(self, byte: int) -> bytes:
        draw = self._random.random() * self._rate
        if draw < self._spec.drop:
            return b""
        if draw < self._spec.drop + self._spec.corrupt:
            return bytes([byte ^ (1 << self._random.randrange(8))])
        return bytes([byte, *self._random.randbytes(self._random.randrange(1, 4))])
