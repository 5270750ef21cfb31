"""FOCUS 1.0 to 1.4: its columns are our fields, under their older and newer names.

Knows the spellings of FOCUS's columns. Refuses a file without a mandatory one.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import ClassVar

from ingest.records import BillRecord
from ingest.sources.base import BadFile
from ingest.sources.textfile import Record

from .layout import Options, checked_names, plain
from .line import ORDER, OWN, make, rest_of

MANDATORY = (
    "BilledCost", "EffectiveCost", "BillingAccountId", "BillingCurrency", "BillingPeriodStart",
    "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ServiceName",
    "ProviderName",
)  # fmt: skip

RENAMED = {"provider_name": "ServiceProviderName", "publisher_name": "HostProviderName"}
"""FOCUS 1.4 says these instead; 1.3 says both."""

_BY_PLAIN_NAME = {name.replace("_", ""): name for name in OWN}


class Focus:
    key: ClassVar[str] = "focus"
    notes: tuple[str, ...] = ()

    def __init__(self, names: list[str], file: str, options: Options) -> None:
        self.names = checked_names(names, file)
        at: dict[str, int] = {}
        for index, name in enumerate(self.names):
            own = _BY_PLAIN_NAME.get(plain(name))
            if own is not None and own not in at:
                at[own] = index
        newer = {own: self.names.index(n) for own, n in RENAMED.items() if n in self.names}
        for own in list(newer):
            if own not in at:
                at[own] = newer.pop(own)
        missing = [name for name in MANDATORY if _BY_PLAIN_NAME[plain(name)] not in at]
        if missing:
            raise BadFile(
                f"{file} has no column {', '.join(missing)}; export it as FOCUS cost and usage."
            )
        self._at = at
        self._newer = tuple((ORDER.index(own), own, index) for own, index in newer.items())
        # One cell more, always empty, stands for every field the file does not have.
        self._pick = itemgetter(*(at.get(name, len(self.names)) for name in ORDER))
        used = {*at.values()}
        self._rest = tuple((i, name) for i, name in enumerate(self.names) if i not in used)

    def column(self, field: str) -> str:
        return self.names[self._at[field]]

    def lines(self, record: Record, cells: list[str], repairs: list[str]) -> Sequence[BillRecord]:
        picked = self._pick([*cells, ""])
        for place, own, index in self._newer:
            if not picked[place].strip() and (told := cells[index].strip()):
                repairs.append(f"{own}: from {self.names[index]}")
                picked = (*picked[:place], told, *picked[place + 1 :])
        line = make(
            record.line,
            picked,
            content=record.content,
            extra=rest_of(cells, self._rest),
            repairs=repairs,
            column=self.column,
        )
        return (line,)
