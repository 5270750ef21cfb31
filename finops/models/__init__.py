"""Tables of money, people and the audit chain. They may point at facts, never at advice."""

from .alerts import Alert, AlertEvent, AlertRule, Silence
from .audit import Audit
from .budgets import Budget, BudgetCrossing, BudgetMonth, BudgetPeriod, BudgetThreshold
from .channels import Attempt, Channel, Message
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
from .price_lists import PriceList
from .prices import BillMatch, HardwarePrice, ModelAlias, Price, PriceBook
from .repricing import Repricing

__all__ = [
    "AccessToken",
    "Alert",
    "AlertEvent",
    "AlertRule",
    "AnomalyMark",
    "Attempt",
    "Audit",
    "BillMatch",
    "Budget",
    "BudgetCrossing",
    "BudgetMonth",
    "BudgetPeriod",
    "BudgetThreshold",
    "Channel",
    "CostDay",
    "CostQuarter",
    "Forecast",
    "HardwarePrice",
    "LedgerEntry",
    "Membership",
    "Message",
    "ModelAlias",
    "PoolQuarter",
    "Price",
    "PriceBook",
    "PriceList",
    "PricedHour",
    "PricedUserDay",
    "Repricing",
    "Silence",
    "User",
    "UserCostDay",
]
