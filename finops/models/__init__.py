"""Tables of money, people and the audit chain. They may point at facts, never at advice."""

from .alerts import Alert, AlertEvent, AlertRule, Silence
from .allocation import (
    AllocationRule,
    AllocationTarget,
    Chargeback,
    ChargebackLine,
    LandedBill,
    LandedHardware,
    LandedUsage,
    Landing,
)
from .audit import Audit
from .budgets import Budget, BudgetCrossing, BudgetMonth, BudgetPeriod, BudgetThreshold
from .channels import Attempt, Channel, Message
from .costs import (
    CostDay,
    CostQuarter,
    LabelCostDay,
    PoolQuarter,
    PricedHour,
    PricedUserDay,
    UserCostDay,
)
from .exchange import ExchangeImport, ExchangeRate
from .forecasts import AnomalyMark, Forecast
from .hardware_sums import HardwareDay, LandedHardwareDay, PoolDay
from .ledger import LedgerEntry
from .people import AccessToken, Membership, User
from .price_lists import PriceList
from .price_terms import BuyingRegion, PriceTerm
from .prices import BillMatch, HardwarePrice, ModelAlias, Price, PriceBook
from .repricing import Repricing
from .saved_views import SavedView
from .slack import SlackLink, SlackLinkCode, SlackPress, SlackThread
from .slos import Slo, SloDecision, SloEditor, SloProposal, SloStatus, SloVersion
from .user_sums import (
    KnownUser,
    LabelCostFourWeeks,
    LabelCostWeek,
    LabelSpend,
    LabelTotal,
    UserCostFourWeeks,
    UserCostWeek,
    UserNumber,
    UserPage,
    UserSpend,
)
from .watch_rules import WatchRule

__all__ = [
    "AccessToken",
    "Alert",
    "AlertEvent",
    "AlertRule",
    "AllocationRule",
    "AllocationTarget",
    "AnomalyMark",
    "Attempt",
    "Audit",
    "BillMatch",
    "Budget",
    "BudgetCrossing",
    "BudgetMonth",
    "BudgetPeriod",
    "BudgetThreshold",
    "BuyingRegion",
    "Channel",
    "Chargeback",
    "ChargebackLine",
    "CostDay",
    "CostQuarter",
    "ExchangeImport",
    "ExchangeRate",
    "Forecast",
    "HardwareDay",
    "HardwarePrice",
    "KnownUser",
    "LabelCostDay",
    "LabelCostFourWeeks",
    "LabelCostWeek",
    "LabelSpend",
    "LabelTotal",
    "LandedBill",
    "LandedHardware",
    "LandedHardwareDay",
    "LandedUsage",
    "Landing",
    "LedgerEntry",
    "Membership",
    "Message",
    "ModelAlias",
    "PoolDay",
    "PoolQuarter",
    "Price",
    "PriceBook",
    "PriceList",
    "PriceTerm",
    "PricedHour",
    "PricedUserDay",
    "Repricing",
    "SavedView",
    "Silence",
    "SlackLink",
    "SlackLinkCode",
    "SlackPress",
    "SlackThread",
    "Slo",
    "SloDecision",
    "SloEditor",
    "SloProposal",
    "SloStatus",
    "SloVersion",
    "User",
    "UserCostDay",
    "UserCostFourWeeks",
    "UserCostWeek",
    "UserNumber",
    "UserPage",
    "UserSpend",
    "WatchRule",
]
