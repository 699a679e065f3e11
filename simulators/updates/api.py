"""The update server's HTTP: DDI for devices (with their token), TUF for everybody, /sim for the operator.

Plain functions run on worker threads; the store locks. Errors of the tree become status codes in one
place, in the shape of hawkBit's ExceptionInfo.
"""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from devices.errors import Refused, UsageError, UtbenchError
from ota.image import ImageError
from ota.trust import DEFAULT_TENANT, safe_name
from simulators.register import Register
from simulators.updates import views
from simulators.updates.contract import Assignment, ConfigData, Feedback
from simulators.updates.store import Action, ActionOver, NotThere, UpdateStore

MAX_IMAGE_BYTES = 16 << 20
POLL_SLEEP_S = 300
_SCHEME = "TargetToken "
_OCTETS = "application/octet-stream"


class HalResponse(JSONResponse):
    media_type = "application/hal+json"


def create_app(store: UpdateStore, register: Register, poll_sleep_s: int = POLL_SLEEP_S) -> FastAPI:
    app = FastAPI(title="utbench update server", version="1", description="hawkBit's DDI subset, TUF, and an operator.")
    app.state.store = store
    app.state.register = register
    app.state.poll_sleep_s = poll_sleep_s
    app.add_exception_handler(UtbenchError, _problem)
    for router in (_devices, _tuf, _operator):
        app.include_router(router)
    return app


def _store(request: Request) -> UpdateStore:
    store: UpdateStore = request.app.state.store
    return store


def _register(request: Request) -> Register:
    register: Register = request.app.state.register
    return register


Store = Annotated[UpdateStore, Depends(_store)]
Cards = Annotated[Register, Depends(_register)]


def _device(tenant: str, controller_id: str, register: Cards, authorization: Annotated[str, Header()] = "") -> str:
    """The controller id, once the device's own token was shown."""
    token = authorization.removeprefix(_SCHEME)
    shown = authorization.startswith(_SCHEME) and token.isascii()
    if tenant != DEFAULT_TENANT or not shown or register.controller(controller_id, token) is None:
        raise HTTPException(401, "No registered device has this id and token.", {"WWW-Authenticate": "TargetToken"})
    return controller_id


Device = Annotated[str, Depends(_device)]


def _own_action(action_id: int, device: Device, store: Store) -> Action:
    action = store.action(action_id)
    if action.controller_id != device:
        raise NotThere(f"There is no action {action_id} for this device.", "Poll again.")
    return action


OwnAction = Annotated[Action, Depends(_own_action)]

_devices = APIRouter(prefix="/{tenant}/controller/v1/{controller_id}", tags=["device"])
_tuf = APIRouter(prefix="/tuf", tags=["tuf"])
_operator = APIRouter(prefix="/sim", tags=["operator"])


def _root(request: Request, device: str) -> str:
    return f"{request.base_url}{DEFAULT_TENANT}/controller/v1/{device}"


@_devices.get("", response_class=HalResponse)
def base(request: Request, device: Device, store: Store) -> HalResponse:
    sleep_s: int = request.app.state.poll_sleep_s
    ask = not store.attributes(device)
    return HalResponse(views.base(_root(request, device), sleep_s, store.actions(device), ask_attributes=ask))


@_devices.get("/deploymentBase/{action_id}", response_class=HalResponse)  # noqa: FAST003 - OwnAction takes it
def deployment(request: Request, device: Device, action: OwnAction, store: Store) -> HalResponse:
    if not action.active:
        raise NotThere(f"Action {action.id} is over.", "Poll again.")
    return HalResponse(views.deployment(_root(request, device), action, store.release(action.artifact)))


@_devices.post("/deploymentBase/{action_id}/feedback")  # noqa: FAST003 - OwnAction takes it
def deployment_feedback(action: OwnAction, feedback: Feedback, store: Store) -> None:
    store.report(action.id, feedback.report(store.now()))


@_devices.get("/cancelAction/{action_id}", response_class=HalResponse)  # noqa: FAST003 - OwnAction takes it
def cancel(action: OwnAction) -> HalResponse:
    if not action.active:
        raise NotThere(f"Action {action.id} is over.", "Poll again.")
    return HalResponse(views.cancel(action))


@_devices.post("/cancelAction/{action_id}/feedback")  # noqa: FAST003 - OwnAction takes it
def cancel_feedback(action: OwnAction, feedback: Feedback, store: Store) -> None:
    store.report_cancel(action.id, feedback.report(store.now()))


@_devices.put("/configData")
def config_data(device: Device, config: ConfigData, store: Store) -> None:
    store.tell(device, config.mode, config.data)


@_devices.get("/softwaremodules/{module_id}/artifacts/{file_name}", response_class=FileResponse)
def artifact(device: Device, module_id: int, file_name: str, store: Store) -> FileResponse:
    """Range and If-Range as RFC 9110 says; only for a device that the release is assigned to."""
    release = store.release(file_name)
    assigned = any(action.artifact == file_name for action in store.actions(device))
    if not assigned or release.module_id != module_id:
        raise NotThere(f"{file_name} is not assigned to this device.", "Poll again.")
    return FileResponse(release.path, media_type=_OCTETS, headers={"ETag": f'"{release.sha256}"'})


@_tuf.get("/metadata/{name}", response_class=FileResponse)
def metadata(name: str, store: Store) -> FileResponse:
    if name == "timestamp.json":
        store.keep_fresh()
    path = _served(store.repository.metadata, name)
    return FileResponse(path, media_type="application/json", headers={"Cache-Control": "no-cache"})


@_tuf.get("/targets/{name}", response_class=FileResponse)
def target(name: str, store: Store) -> FileResponse:
    path = _served(store.repository.targets, name)
    return FileResponse(path, media_type=_OCTETS, headers={"ETag": f'"{name.split(".", 1)[0]}"'})


def _served(folder: Path, name: str) -> Path:
    # A temporary file of an atomic save begins with a dot, which no safe name does.
    if not safe_name(name) or not (folder / name).is_file():
        raise NotThere(f"There is no {name[:80]!r} here.", "")
    return folder / name


@_operator.get("/actions")
def actions(store: Store, controller_id: Annotated[str | None, Query()] = None) -> list[dict[str, Any]]:
    return [views.operator(action) for action in store.actions(controller_id)]


@_operator.get("/releases")
def releases(store: Store) -> list[dict[str, Any]]:
    return [views.release(release) for release in store.releases()]


@_operator.get("/devices/{controller_id}")
def device_attributes(controller_id: str, store: Store, register: Cards) -> dict[str, str]:
    _known(register, controller_id)
    return store.attributes(controller_id)


@_operator.post("/assign")
def assign(wish: Assignment, store: Store, register: Cards) -> dict[str, int]:
    _known(register, wish.controller_id)
    return {"action_id": store.assign(wish.controller_id, wish.artifact, forced=wish.forced)}


@_operator.post("/cancel/{action_id}")
def ask_cancel(action_id: int, store: Store) -> dict[str, Any]:
    return views.operator(store.cancel(action_id))


@_operator.post("/publish")
async def publish(request: Request, store: Store, replace: bool = False) -> dict[str, str]:
    """The body is the image itself (application/octet-stream); answers the name of the release."""
    if request.headers.get("content-type", "").split(";")[0].strip() != _OCTETS:
        raise HTTPException(415, f"Send the image as {_OCTETS}.")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_IMAGE_BYTES:
            raise HTTPException(413, f"An image has at most {MAX_IMAGE_BYTES:,} bytes.")
    return {"artifact": await run_in_threadpool(store.publish, bytes(data), replace=replace)}


def _known(register: Register, controller_id: str) -> None:
    if all(card.controller_id != controller_id for card in register.all()):
        raise NotThere(f"No device is called {controller_id}.", "The controller id is <model>-<serial number>.")


_STATUS: dict[type[UtbenchError], int] = {
    ActionOver: 410,
    NotThere: 404,
    ImageError: 400,
    Refused: 403,
    UsageError: 400,
}


def _problem(_request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    code = error.code if isinstance(error, UtbenchError) else UtbenchError.code
    return JSONResponse({"errorCode": code, "message": str(error)}, status)
