"""A release: what the firmware image says that a terminal can do, read from its `release.toml`.

Pure. The catalogue of programs, the order of pages of each flow and every text on them are data here,
so an update visibly changes the terminal and a revert changes it back.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devices.errors import UtbenchError
from devices.profiles import PROFILES
from terminal import fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = 1
ENGINE = 1  # raised when a field or a kind of page is added, so that older firmware refuses newer releases
TEXTS = (
    *sorted(fields.ROWS),
    *("month", "day", "service_date", "normal", "retro", "card", "menu", "info"),
    *("model", "terminal_no", "payment_version", "sw_version", "recall", "empty"),
)


# What must be answered before a field can be asked: the host's questions and the checks build on it.
NEEDS = {
    "means": ("program",),
    "card": ("program",),
    "worker_payment_id": ("card",),
    "voucher": ("program", "means", "card"),
    "action": ("voucher",),
    "amount_won": ("voucher",),
    "reason": ("service_date",),
    "receipt": ("amount_won",),
    "done": ("receipt",),
}


class ReleaseError(UtbenchError):
    """The release cannot be run by this terminal; its self-test fails and the firmware reverts."""

    code = "bad-release"


@dataclass(frozen=True, slots=True)
class Program:
    """One 사업. `kind` picks its flows; `means` are how its recipients are identified, in page order."""

    code: str
    name: str
    kind: str
    means: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page as the guide shows it: `title`, `prompt` on top, `show` rows, `fields` to answer, `note`, `buttons`."""

    name: str
    title: str
    prompt: str
    show: tuple[str, ...]
    fields: tuple[str, ...]
    note: str
    buttons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    model: str
    payment_version: int
    programs: tuple[Program, ...]
    flows: Mapping[tuple[str, str], tuple[str, ...]]
    pages: Mapping[str, Page]
    texts: Mapping[str, str]

    def program(self, code: object) -> Program | None:
        return next((program for program in self.programs if program.code == code), None)

    def kinds(self, program: Program) -> tuple[str, ...]:
        """Which of normal and retroactive payment this release offers for a program."""
        return tuple(kind for kind in fields.KINDS if (program.kind, kind) in self.flows)

    @property
    def sw_version(self) -> str:
        return f"1.0.{self.payment_version}"


def load(text: bytes, model: str | None = None) -> Release:
    """Parse and self-test; `ReleaseError` names the first thing that is wrong. `model`: the device it runs on."""
    try:
        data = tomllib.loads(text.decode("utf-8"))
        release = _read(data)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"release.toml is no TOML: {error}.", "Correct the file.") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReleaseError(f"release.toml lacks {error}, or has it in another shape.", "Correct the file.") from error
    for fault in _faults(data, release, model):
        raise ReleaseError(f"release.toml: {fault}.", "Correct the file, or use the release for this model.")
    return release


def _read(data: dict[str, Any]) -> Release:
    return Release(
        model=str(data["model"]),
        payment_version=int(data["payment_version"]),
        programs=tuple(
            Program(str(one["code"]), str(one["name"]), str(one["kind"]), _texts(one, "means"))
            for one in data["program"]
        ),
        flows={
            (kind, variant): _texts(flow, "pages")
            for kind, variants in data["flow"].items()
            for variant, flow in variants.items()
        },
        pages={name: _page(name, page) for name, page in data["page"].items()},
        texts={name: str(text) for name, text in data["text"].items()},
    )


def _page(name: str, page: dict[str, Any]) -> Page:
    return Page(
        name=name,
        title=_text(page, "title"),
        prompt=_text({"prompt": "", **page}, "prompt"),
        show=_texts({"show": [], **page}, "show"),
        fields=_texts(page, "fields"),
        note=_text({"note": "", **page}, "note"),
        buttons=_texts({"buttons": [], **page}, "buttons"),
    )


def _text(table: dict[str, Any], name: str) -> str:
    if not isinstance(table[name], str):
        raise TypeError(f"a text {name!r}")
    return str(table[name])


def _texts(table: dict[str, Any], name: str) -> tuple[str, ...]:
    values = table[name]
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise TypeError(f"a list of texts {name!r}")
    return tuple(values)


def _faults(data: dict[str, Any], release: Release, model: str | None) -> Iterator[str]:
    """Everything that would make the terminal stumble later, found before it is confirmed."""
    if data.get("schema") != SCHEMA:
        yield f"schema {data.get('schema')!r} is not {SCHEMA}"
    if not isinstance(data.get("min_engine"), int) or data["min_engine"] > ENGINE:
        yield f"it needs engine {data.get('min_engine')!r}, this firmware has {ENGINE}"
    if release.model not in PROFILES:
        yield f"unknown model {release.model!r}"
    if model is not None and release.model != model:
        yield f"it is for {release.model}, this is {model}"
    yield from _flow_faults(release)
    for page in release.pages.values():
        yield from (
            f"page {page.name!r} has the unknown field {name!r}" for name in page.fields if name not in fields.FIELDS
        )
        yield from (
            f"page {page.name!r} shows the unknown row {name!r}" for name in page.show if name not in fields.ROWS
        )
        yield from (
            f"page {page.name!r} has the unknown button {label!r}"
            for label in page.buttons
            if fields.squeeze(label) not in fields.BUTTONS
        )
        if not page.fields:
            yield f"page {page.name!r} asks nothing"
        elif len(page.fields) > 1 and {fields.FIELDS[name].kind for name in page.fields} != {fields.Kind.TYPED}:
            yield f"page {page.name!r} asks several things that are not typed"
    for program in release.programs:
        yield from _order_faults(release, program)
    yield from (f"the text {name!r} is missing" for name in TEXTS if not release.texts.get(name))


def _flow_faults(release: Release) -> Iterator[str]:
    if not release.programs:
        yield "it has no program"
    for (kind, variant), pages in release.flows.items():
        yield from (
            f"flow {kind}.{variant} has the unknown page {name!r}" for name in pages if name not in release.pages
        )
    for program in release.programs:
        if not release.kinds(program):
            yield f"program {program.code} has no flow of kind {program.kind!r}"
        if not program.means:
            yield f"program {program.code} names no means"
        for means in program.means:
            if means not in fields.MEANS or ("identify", means) not in release.flows:
                yield f"program {program.code} is identified by the unknown means {means!r}"
        if len(release.kinds(program)) > 1 and "kind" not in release.pages:
            yield "page 'kind' is missing"


def _order_faults(release: Release, program: Program) -> Iterator[str]:
    """Each flow must be walkable, and a done page must come of a payment."""
    for means in program.means:
        identify = _asked(release, ("identify", means))
        yield from _walk_faults(f"identify.{means}", identify, "action", NEEDS)
        for kind in release.kinds(program):
            needs = NEEDS | ({"receipt": ("amount_won", "service_date", "reason")} if kind == "retro" else {})
            flow = (program.kind, kind)
            yield from _walk_faults(".".join(flow), identify + _asked(release, flow), "done", needs)


def _asked(release: Release, flow: tuple[str, str]) -> list[str]:
    return [field for name in release.flows[flow] for field in release.pages[name].fields]


def _walk_faults(flow: str, asked: list[str], last: str, needs: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for at, field in enumerate(asked):
        missing = [one for one in needs.get(field, ()) if one not in asked[:at]]
        yield from (f"flow {flow} asks {field!r} without {one!r} before it" for one in missing)
    if asked[-1:] != [last]:
        yield f"flow {flow} does not end with {last!r}"
