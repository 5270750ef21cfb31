"""Tables of money, people and the audit chain. They may point at facts, never at advice."""

from .audit import Audit
from .costs import (
    CostDay,
    CostQuarter,
    PoolQuarter,
    PricedHour,
    PricedUserDay,
    UserCostDay,
)
from .forecasts import AnomalyMark, Forecast
from .ledger import LedgerEntry
from .people import AccessToken, Membership, User
from .prices import BillMatch, HardwarePrice, ModelAlias, Price, PriceBook

__all__ = [
    "AccessToken",
    "AnomalyMark",
    "Audit",
    "BillMatch",
    "CostDay",
    "CostQuarter",
    "Forecast",
    "HardwarePrice",
    "LedgerEntry",
    "Membership",
    "ModelAlias",
    "PoolQuarter",
    "Price",
    "PriceBook",
    "PricedHour",
    "PricedUserDay",
    "User",
    "UserCostDay",
]
