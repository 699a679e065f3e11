"""One UT-77L in a world of its own, and what a test of the agent asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from devices.discovery import OpenTerminal, candidates
from devices.link import DEFAULT_BAUD
from ota import build
from ota.plan import Rules
from ota.runner import Beat, Result, update_one
from ota.trust import TrustStore
from simulators.keys import private_pem, signing_key
from simulators.make import image_key_path
from simulators.updates.store import Report
from terminal.firmware import make_image, release_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices.home import Home
    from simulators.updates.store import Action
    from simulators.world import World

MODEL, OLD, NEW = "ut-77l", 1013, 1014
SMALL = 16 * 1024  # bytes of assets, where the size of an image says nothing
STRANGER = Ed25519PrivateKey.generate()


@dataclass
class Site:
    home: Home
    world: World

    @property
    def port(self) -> str:
        return self.world.devices[0].face.name

    @property
    def controller(self) -> str:
        return f"{MODEL}-{self.world.devices[0].spec.serial}"

    def key_pem(self) -> bytes:
        return private_pem(signing_key(image_key_path(self.home)))

    def offer(self, release: int, image: bytes | None = None, *, counter: int = 1, key_pem: bytes = b"") -> bytes:
        """Publish a release, or `image` as that release, and make it what the server wants on the terminal."""
        text = release_text(MODEL, release)
        pem = key_pem or self.key_pem()
        made = image or make_image(text, pem, security_counter=counter, asset_bytes=SMALL)
        self.assign(self.world.updates.store.publish(made, replace=True))
        return made

    def assign(self, artifact: str) -> None:
        """In place of whatever was assigned before."""
        store = self.world.updates.store
        for action in store.actions(self.controller):
            if action.active:
                store.cancel(action.id)
                store.report_cancel(action.id, Report(store.now(), "closed"))
        store.assign(self.controller, artifact)

    def broken_release(self) -> bytes:
        """Signed by the right key, but with a page that no terminal knows."""
        text = release_text(MODEL, NEW).replace(b"[text]", b'[page.moon]\ntitle = "x"\nfields = ["moon"]\n\n[text]', 1)
        assert b"moon" in text
        return build.build(build.pack({build.RELEASE_FILE: text}), version=f"1.0.{NEW}", key_pem=self.key_pem())

    def flash(self) -> bytes:
        return (self.home.world / "devices" / self.world.devices[0].spec.serial / "flash.bin").read_bytes()

    def slots(self) -> tuple[dict[str, Any], ...]:
        with OpenTerminal(self.home, self.port) as terminal:
            return tuple(slot.write() for slot in terminal.slots())

    def running(self) -> tuple[int, bool]:
        """The payment version that runs, and whether it is confirmed."""
        with OpenTerminal(self.home, self.port) as terminal:
            return terminal.identity().payment_version, terminal.slots()[0].confirmed

    def action(self) -> Action:
        """The newest one of the server."""
        return self.world.updates.store.actions(self.controller)[-1]

    def update(self, tell: Callable[[Beat], None]) -> Result:
        """The agent in this thread; `tell` may end it by raising."""
        (candidate,) = candidates(self.home)
        return update_one(self.home, candidate, TrustStore(self.home.path).only(), Rules(), tell, baud=DEFAULT_BAUD)

    def offers_retroactive(self) -> bool:
        """Does the terminal's own page of payment kinds offer 소급결제 for 발달재활?"""
        with OpenTerminal(self.home, self.port) as terminal:
            assert terminal.wait(text="발달재활") is not None  # it has started
            for label in ("발달재활", "카드결제"):
                terminal.touch(label)
            terminal.tap("recipient-070101")
            for key in "1001":
                terminal.press(key)
            terminal.touch("확인")
            assert terminal.wait(text="897,894원") is not None
            after = terminal.touch("서비스결제")
            for _ in range(8):
                terminal.press("cancel")
            return "소급결제" in after.text.replace(" ", "")
