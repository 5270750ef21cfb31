"""What a delivery as a whole should warn of. Knows sums over rows. Refuses to change any."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from ingest.records import BillRecord

ROUNDED_SHARE = 0.95
FEWEST_TO_JUDGE = 5


@dataclass
class _Tally:
    fractional: int = 0
    whole: int = 0
    zero: int = 0


@dataclass
class Quality:
    """Whether a provider's EffectiveCost can be believed, and what is missing altogether.

    Some exports round it to whole units of currency, or leave it at 0, beside an exact BilledCost.
    Judged on usage alone: a purchase is rightly billed now and effective later.
    """

    rows: int = 0
    refused: int = 0
    without_effective: int = 0
    without_billed: int = 0
    mended: int = 0
    providers: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def add(self, row: BillRecord) -> None:
        self.rows += 1
        self.mended += bool(row.repairs)
        billed, effective = row.billed_cost, row.effective_cost
        if billed is None or effective is None:
            self.without_billed += billed is None
            self.without_effective += effective is None
            return
        if row.charge_category != "Usage" or _is_whole(billed):
            return
        tally = self.providers[row.provider_name]
        tally.fractional += 1
        tally.whole += _is_whole(effective)
        tally.zero += not effective

    def refuse(self) -> None:
        self.refused += 1

    def warnings(self) -> list[str]:
        said = [
            f"EffectiveCost of {provider or 'an unnamed provider'} {what} on"
            f" {tally.whole} of {tally.fractional} usage rows whose BilledCost is exact;"
            " compare by billed cost until the export is mended."
            for provider, tally in sorted(self.providers.items())
            if tally.fractional >= FEWEST_TO_JUDGE
            and tally.whole >= ROUNDED_SHARE * tally.fractional
            for what in [
                "is 0" if tally.zero == tally.whole else "is rounded to whole units of currency"
            ]
        ]
        if self.refused:
            said.append(
                f"{self.refused:,} of {self.refused + self.rows:,} rows were refused; what they"
                " cost is missing from the totals until they are mended."
            )
        for count, name in (
            (self.without_effective, "effective"), (self.without_billed, "billed"),
        ):  # fmt: skip
            if count:
                said.append(
                    f"{count:,} of {self.rows:,} rows tell no {name} cost; it is unknown there,"
                    " not zero."
                )
        return said


def _is_whole(value: Decimal) -> bool:
    return value == value.to_integral_value()
