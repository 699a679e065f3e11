"""The synthetic persons of the world. Nobody here exists; card numbers begin with 9999, which no bank issues.

Names, codes and balances of 070101 and 008003 are the update guide's vectors [S]; the code of 언어발달
and everyone else is assumed [A].
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Institution:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Worker:
    payment_id: str
    name: str
    institution: str


@dataclass(frozen=True, slots=True)
class Recipient:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Voucher:
    """What a recipient was granted for a program, and the institutions under contract to serve it."""

    recipient: str
    program: str
    granted_won: int
    institutions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestCard:
    """`id` is what scenarios tap, `number` what the card reader reads, `note` what the card is good for."""

    id: str
    number: str
    recipient: str
    note: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """Everyone the host knows. Lookups answer None for a stranger."""

    institutions: tuple[Institution, ...]
    programs: dict[str, str]
    workers: tuple[Worker, ...]
    recipients: tuple[Recipient, ...]
    vouchers: tuple[Voucher, ...]
    cards: tuple[TestCard, ...]

    def institution(self, institution_id: str) -> Institution | None:
        return next((one for one in self.institutions if one.id == institution_id), None)

    def name(self, some_id: str) -> str:
        """Of an institution or a recipient; the id itself where nobody has it."""
        names = {one.id: one.name for one in self.institutions} | {one.id: one.name for one in self.recipients}
        return names.get(some_id, some_id)

    def worker(self, payment_id: str) -> Worker | None:
        return next((one for one in self.workers if one.payment_id == payment_id), None)

    def card(self, number: str) -> TestCard | None:
        return next((one for one in self.cards if one.number == number), None)

    def voucher(self, recipient_id: str, program: str) -> Voucher | None:
        return next((one for one in self.vouchers if (one.recipient, one.program) == (recipient_id, program)), None)


PEOPLE = People(
    institutions=(Institution("inst-1", "성남주간보호센터-발달"), Institution("inst-2", "분당언어치료센터")),
    programs={"070101": "발달재활", "008003": "부모상담", "070201": "언어발달"},
    workers=(
        Worker("1001", "박서준5", "inst-1"),
        Worker("1002", "최수빈5", "inst-1"),
        Worker("2001", "정하늘5", "inst-2"),
    ),
    recipients=(
        Recipient("rec-1", "김명연5"),
        Recipient("rec-2", "이영희5"),
        Recipient("rec-3", "박민수5"),
        Recipient("rec-4", "한지우5"),
        Recipient("rec-5", "오세린5"),
    ),
    vouchers=(
        Voucher("rec-1", "070101", 897_894, ("inst-1",)),
        Voucher("rec-2", "008003", 160_000, ("inst-1",)),
        Voucher("rec-3", "070201", 220_000, ("inst-1", "inst-2")),
        Voucher("rec-4", "070101", 250_000, ("inst-2",)),
        Voucher("rec-5", "008003", 80_000, ("inst-1",)),
    ),
    cards=(
        TestCard("recipient-070101", "9999070101000017", "rec-1", "발달재활, 897,894원"),
        TestCard("recipient-008003", "9999008003000025", "rec-2", "부모상담, 160,000원"),
        TestCard("recipient-070201", "9999070201000033", "rec-3", "언어발달, 220,000원; 두 기관과 계약"),
        TestCard("recipient-no-contract", "9999070101000041", "rec-4", "발달재활, inst-1과 계약 없음: 2207"),
        TestCard("recipient-other-program", "9999008003000058", "rec-5", "부모상담만 있음: 다른 사업은 2206"),
        TestCard("recipient-lost", "9999070101000066", "rec-1", "분실 신고된 카드: SIM-CARD", lost=True),
    ),
)


def cards() -> dict[str, str]:
    """What each test card's tap gives the reader: id → number."""
    return {card.id: card.number for card in PEOPLE.cards}
