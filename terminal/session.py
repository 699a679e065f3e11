"""The shell around the core: one thread owns a terminal's state and one queue of events.

Keys, SMP requests, timers and host replies are events on that queue. Effects run on one worker thread,
in order, so that what must be durable is durable before what follows it. Everybody else only enqueues,
and receives immutable Lcds.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from devices.clock import monotonic_s
from devices.errors import UtbenchError
from terminal import core
from terminal.state import (
    Act,
    After,
    Effect,
    Event,
    Log,
    LookedUp,
    Lookup,
    Moment,
    Paid,
    Pay,
    Register,
    Registered,
    Remember,
    Reverse,
    Reversed,
    Save,
    State,
    Transaction,
    Unsaved,
)
from terminal.view import find_target, view

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from devices.clock import Clock
    from terminal.host_client import Host
    from terminal.journal import Journal
    from terminal.lcd import Lcd

LOG_EVENTS = 2_000


class Registrar(Protocol):
    """Asks the update server whether this terminal is registered."""

    def check(self) -> Registered: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a terminal is connected to."""

    host: Host
    registrar: Registrar
    journal: Journal
    clock: Clock


class CannotTouch(Exception):  # noqa: N818 - it says what happened
    """There is nothing of that label on the page (`none`), or more than one (`ambiguous`)."""


@dataclass(slots=True)
class _Watcher:
    holds: Callable[[Lcd], bool]
    until_s: float
    done: Callable[[Lcd | None], None]


class _Stop:
    pass


class TerminalSession:
    """One terminal. `start` switches it on; `stop` ends it as a power cut does: nothing is said to anybody."""

    def __init__(self, state: State, ports: Ports, on_change: Callable[[Lcd], None] | None = None) -> None:
        self._state = replace(state, pending=ports.journal.load(), last_worker=ports.journal.last_worker())
        self._ports = ports
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="terminal-effects")
        self._timers: list[tuple[float, int, Event]] = []
        self._business_timers: list[tuple[dt.datetime, int, Event]] = []
        self._numbers = itertools.count()
        self._watchers: list[_Watcher] = []
        self._unsaved: set[str] = set()
        self._log: list[dict[str, Any]] = []
        self._log_lock = threading.Lock()
        self._log_next = 1
        self._listeners = [on_change] if on_change else []
        self._started_s = monotonic_s()
        self._lcd = view(self._state)
        self.rev = 1
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    # -- for everybody; from any thread

    def start(self) -> None:
        self._thread.start()
        self.post(Act("power"))

    def stop(self) -> None:
        self._queue.put(_Stop())
        self._thread.join(5.0)
        self._worker.shutdown(wait=False, cancel_futures=True)

    def listen(self, on_change: Callable[[Lcd], None]) -> None:
        self._listeners.append(on_change)

    def post(self, event: Event) -> None:
        self._queue.put(event)

    def apply(self, event: Event) -> Lcd:
        """Post and wait until it is applied; the page that it led to. Never waits for the host."""
        done: Future[Lcd] = Future()
        self._queue.put((event, done))
        return done.result(5.0)

    def touch(self, label: str) -> Lcd:
        """Touch by text; `CannotTouch` where there is no such target on the page, or several."""
        done: Future[Lcd] = Future()
        self._queue.put((label, done))
        return done.result(5.0)

    def watch(self, holds: Callable[[Lcd], bool], timeout_s: float, done: Callable[[Lcd | None], None]) -> None:
        """Call `done` with the page once it `holds`, or with None when the time is up. Blocks nobody."""
        self._queue.put(_Watcher(holds, monotonic_s() + timeout_s, done))

    def wait(self, holds: Callable[[Lcd], bool], timeout_s: float) -> Lcd | None:
        result: Future[Lcd | None] = Future()
        self.watch(holds, timeout_s, result.set_result)
        return result.result(timeout_s + 5.0)

    def clock_moved(self) -> None:
        """Business time was set: look at its timers again."""
        self._queue.put(None)

    @property
    def lcd(self) -> Lcd:
        return self._lcd

    @property
    def state(self) -> State:
        return self._state

    @property
    def uptime_ms(self) -> int:
        return int((monotonic_s() - self._started_s) * 1000)

    def log_since(self, since: int) -> list[dict[str, Any]]:
        with self._log_lock:
            return [event for event in self._log if event["seq"] >= since]

    # -- the session thread

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=self._patience_s())
            except queue.Empty:
                item = None
            if isinstance(item, _Stop):
                return
            self._handle(item)
            self._fire()
            self._check_watchers()

    def _handle(self, item: Any) -> None:
        match item:
            case None:
                return
            case _Watcher():
                self._watchers.append(item)
            case (str() as label, Future() as done):
                target = find_target(self._lcd, label)
                if isinstance(target, str):
                    done.set_exception(CannotTouch(target))
                    return
                self._step(Act(target.action))
                done.set_result(self._lcd)
            case (event, Future() as done):
                self._step(event)
                done.set_result(self._lcd)
            case event:
                self._step(event)

    def _step(self, event: Event) -> None:
        moment = Moment(self._ports.clock.now(), monotonic_s(), secrets.token_hex(16))
        before = self._lcd
        self._state, effects = core.step(self._state, event, moment)
        self._lcd = view(self._state)
        if self._lcd != before:
            self.rev += 1
        for effect in effects:
            self._perform(effect)
        if self._lcd != before:
            for listener in self._listeners:
                listener(self._lcd)

    def _perform(self, effect: Effect) -> None:
        ports, now = self._ports, self._ports.clock.now
        match effect:
            case Log(kind, about):
                self._note(kind, about)
            case After(delay_s, due, business):
                self._set_timer(delay_s, due, business)
            case Save(transaction):
                self._worker.submit(self._save, transaction)
            case Remember(worker):
                self._worker.submit(self._remember, worker)
            case Register():
                self._later(ports.registrar.check, Registered(ok=False, note="등록 확인에 실패했습니다."))
            case Lookup(token):
                self._later(lambda: LookedUp(token, ports.host.lookup(effect, now())), LookedUp(token, None))
            case Pay(payment):
                self._later(lambda: self._paid(payment), Paid(payment.id, None), payment.id)
            case Reverse(payment):
                self._later(
                    lambda: Reversed(payment.id, ports.host.reverse(payment, now())), Reversed(payment.id, None)
                )

    def _later(self, ask: Callable[[], Event], otherwise: Event, transaction_id: str = "") -> None:
        """On the worker: ask, and post what comes of it. A fault of ours there is an unknown outcome, not silence."""

        def work() -> None:
            if transaction_id in self._unsaved:
                return
            try:
                self.post(ask())
            except Exception as error:  # noqa: BLE001 - the terminal must go on whatever its ports do
                self._note("fault", {"what": type(error).__name__})
                self.post(otherwise)

        self._worker.submit(work)

    def _paid(self, transaction: Transaction) -> Paid:
        """An answer counts once the journal has let go of the payment: else a boot would reverse what was shown."""
        answer = self._ports.host.pay(transaction, self._ports.clock.now())
        if answer is not None:
            self._ports.journal.save(None)
        return Paid(transaction.id, answer)

    def _save(self, transaction: Transaction | None) -> None:
        """On the worker; where the disk refuses, the payment is not sent."""
        try:
            self._ports.journal.save(transaction)
        except (UtbenchError, OSError) as error:
            self._note("journal-failed", {"what": str(error)})
            if transaction is not None:
                self._unsaved.add(transaction.id)
                self.post(Unsaved(transaction.id))

    def _remember(self, worker: str) -> None:
        try:
            self._ports.journal.remember(worker)
        except (UtbenchError, OSError) as error:
            self._note("journal-failed", {"what": str(error)})  # only a convenience is lost

    def _set_timer(self, delay_s: float, event: Event, business: bool) -> None:
        number = next(self._numbers)
        if business:
            import datetime as dt

            due = self._ports.clock.now() + dt.timedelta(seconds=delay_s)
            heapq.heappush(self._business_timers, (due, number, event))
        else:
            heapq.heappush(self._timers, (monotonic_s() + delay_s, number, event))

    def _patience_s(self) -> float | None:
        """Until the next timer or watcher; `clock_moved` wakes it."""
        waits = [watcher.until_s - monotonic_s() for watcher in self._watchers]
        if self._timers:
            waits.append(self._timers[0][0] - monotonic_s())
        if self._business_timers:
            waits.append((self._business_timers[0][0] - self._ports.clock.now()).total_seconds())
        return max(0.0, min(waits)) if waits else None

    def _fire(self) -> None:
        while self._timers and self._timers[0][0] <= monotonic_s():
            self._step(heapq.heappop(self._timers)[2])
        while self._business_timers and self._business_timers[0][0] <= self._ports.clock.now():
            self._step(heapq.heappop(self._business_timers)[2])

    def _check_watchers(self) -> None:
        now_s = monotonic_s()
        for watcher in list(self._watchers):
            if watcher.holds(self._lcd):
                self._watchers.remove(watcher)
                watcher.done(self._lcd)
            elif watcher.until_s <= now_s:
                self._watchers.remove(watcher)
                watcher.done(None)

    def _note(self, kind: str, about: Any) -> None:
        with self._log_lock:
            self._log.append({"seq": self._log_next, "t_ms": self.uptime_ms, "kind": kind, **about})
            self._log_next += 1
            del self._log[:-LOG_EVENTS]
