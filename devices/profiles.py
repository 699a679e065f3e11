"""The models as data. No code anywhere asks which model it is; it asks the profile.

Grids and hardware keys are ours; releases, QR and the installer's steps are the update guide's.
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.errors import UsageError

MODEL_ALIASES = {"99l": "ut-99l", "77l": "ut-77l", "55l": "ut-55l"}


@dataclass(frozen=True, slots=True)
class Profile:
    """`cols` × `rows` are terminal cells; `camera` means that it reads QR codes.

    `install_steps` are the buttons that the device's own update asks for, in order. A model with
    `firmware` False (the phone app) is updated by a store, not by us.
    """

    model: str
    name: str
    old_release: int
    new_release: int
    cols: int
    rows: int
    camera: bool
    install_steps: tuple[str, ...]
    firmware: bool = True

    @property
    def hardware_id(self) -> str:
        return f"utbench-{self.model}"


PROFILES = {
    profile.model: profile
    for profile in (
        Profile("ut-99l", "UT-99L", 1003, 1004, 36, 23, True, ("다운로드", "설치", "업데이트", "허용", "설정", "열기")),
        Profile("ut-77l", "UT-77L", 1013, 1014, 28, 14, False, ("다운로드", "설치")),
        Profile("ut-55l", "UT-55L", 1020, 1021, 24, 10, False, ("다운로드", "설치")),
        Profile("phone", "스마트폰 결제앱", 1041, 1042, 40, 24, True, (), firmware=False),
    )
}

FIRMWARE_MODELS = tuple(model for model, one in PROFILES.items() if one.firmware)


def profile(model: str) -> Profile:
    """By `ut-99l`, `UT-99L` or `99L`; `UsageError` names the models that exist."""
    name = model.lower()
    found = PROFILES.get(MODEL_ALIASES.get(name, name))
    if found is None:
        raise UsageError(f"There is no model {model!r}.", f"Name one of {', '.join(PROFILES)}.")
    return found
