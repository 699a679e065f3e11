"""Every failure that a person may have to read, as one tree.

    UtbenchError                 what happened, what to do next, the exit code
    ├── UsageError               2  the words of the call are off
    ├── NothingToDo              3
    ├── Unreachable              4  no such device, port or server
    │   ├── PortNotFound, PortBusy, PortDenied, PortLost
    │   ├── NotATerminal         the port answers, but no terminal does
    │   └── NoAnswer             the terminal stopped answering
    ├── Refused                  5  registration, trust, model, downgrade
    ├── ProtocolError            1  the bytes break the protocol
    │   ├── LocalProtocolError   we were about to send what must not be sent
    │   └── RemoteProtocolError  the other side sent what must not be sent
    └── RemoteError              1  the terminal answered with an SMP error (group, rc)

The exit codes are a contract with scripts: 0 done, 1 failed, 2 usage, 3 nothing to do,
4 not reachable, 5 refused, 130 interrupted.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOTHING = 3
EXIT_UNREACHABLE = 4
EXIT_REFUSED = 5
EXIT_INTERRUPTED = 130


class UtbenchError(Exception):
    """One sentence for a person (`message`), what to do next (`hint`), a stable word (`code`)."""

    exit_code: ClassVar[int] = EXIT_FAILED
    code: ClassVar[str] = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(UtbenchError):
    exit_code = EXIT_USAGE
    code = "usage"


class NothingToDo(UtbenchError):  # noqa: N818 - it is an outcome, not a fault
    exit_code = EXIT_NOTHING
    code = "nothing-to-do"


class Unreachable(UtbenchError):  # noqa: N818 - reads as what it says
    exit_code = EXIT_UNREACHABLE
    code = "unreachable"


class PortNotFound(Unreachable):
    code = "port-not-found"


class PortBusy(Unreachable):
    code = "port-busy"


class PortDenied(Unreachable):
    code = "port-denied"


class PortLost(Unreachable):
    code = "port-lost"


class NotATerminal(Unreachable):
    code = "not-a-terminal"


class NoAnswer(Unreachable):
    code = "no-answer"


class Refused(UtbenchError):  # noqa: N818 - reads as what it says
    exit_code = EXIT_REFUSED
    code = "refused"


class ProtocolError(UtbenchError):
    code = "protocol"


class LocalProtocolError(ProtocolError):
    code = "local-protocol"


class RemoteProtocolError(ProtocolError):
    code = "remote-protocol"


class RemoteError(UtbenchError):
    """The terminal's own refusal: SMP `group` and `rc` (0 ok … 9 refused in the terminal group)."""

    code = "device-error"

    def __init__(self, group: int, rc: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.group = group
        self.rc = rc
