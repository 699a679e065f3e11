"""The bodies that devices (DDI) and operators send. Unknown keys are ignored, as hawkBit does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.updates.store import Report

Text = Annotated[str, Field(max_length=512)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Progress(_Body):
    cnt: Count
    of: Count | None = None


class Result(_Body):
    finished: Literal["success", "failure", "none"]
    progress: Progress | None = None


class DeviceStatus(_Body):
    execution: Literal["closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "downloaded", "download"]
    result: Result
    code: int | None = None
    details: Annotated[list[Text], Field(max_length=50)] = []


class Feedback(_Body):
    """DDI's DdiActionFeedback."""

    status: DeviceStatus
    timestamp: int | None = None

    def report(self, at: str) -> Report:
        progress = self.status.result.progress
        return Report(
            at=at,
            execution=self.status.execution,
            finished=self.status.result.finished,
            cnt=progress.cnt if progress else None,
            of=progress.of if progress else None,
            details=tuple(self.status.details),
        )


class ConfigData(_Body):
    """DDI's DdiConfigData."""

    mode: Literal["merge", "replace", "remove"] = "merge"
    data: dict[Annotated[str, Field(max_length=128)], Text]


class Assignment(_Body):
    """An operator's wish: this release for that device."""

    controller_id: Text
    artifact: Text
    forced: bool = True
