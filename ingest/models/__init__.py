"""Tables of what happened. They know sources and owners, never prices and never users."""

from .bills import BillDay, BillLine, BillSkuDay, Delivery, DeliveryPeriod
from .concurrency import ConcurrencyQuarter
from .errors import ErrorCount, ErrorSeen
from .events import Event
from .labels import KeptLabel, LabelDay, LabelDayState
from .late import LateQuarter, LateSpan, SealedKeys
from .owners import Pool, Project, Team, Token
from .parts import ToldPart
from .rollups import (
    ConversationDay,
    DirtyHour,
    GpuDay,
    GpuQuarter,
    RequestDay,
    RestingDay,
    RolledHour,
    SealedDay,
    SeriesQuarter,
    SpanDay,
    SpanHour,
    SpanQuarter,
    SpanWeek,
)
from .samples import Gpu, GpuProcess, GpuSample, MetricSample, MigInstance, Series
from .serving import ServedModel
from .sources import Pull, Reject, Source
from .spans import Score, Span, SpanKey, SpanSighting, SpanText, UsageParent
from .users import UserDay, UserDayState
from .work import Job

__all__ = [
    "BillDay",
    "BillLine",
    "BillSkuDay",
    "ConcurrencyQuarter",
    "ConversationDay",
    "Delivery",
    "DeliveryPeriod",
    "DirtyHour",
    "ErrorCount",
    "ErrorSeen",
    "Event",
    "Gpu",
    "GpuDay",
    "GpuProcess",
    "GpuQuarter",
    "GpuSample",
    "Job",
    "KeptLabel",
    "LabelDay",
    "LabelDayState",
    "LateQuarter",
    "LateSpan",
    "MetricSample",
    "MigInstance",
    "Pool",
    "Project",
    "Pull",
    "Reject",
    "RequestDay",
    "RestingDay",
    "RolledHour",
    "Score",
    "SealedDay",
    "SealedKeys",
    "Series",
    "SeriesQuarter",
    "ServedModel",
    "Source",
    "Span",
    "SpanDay",
    "SpanHour",
    "SpanKey",
    "SpanQuarter",
    "SpanSighting",
    "SpanText",
    "SpanWeek",
    "Team",
    "Token",
    "ToldPart",
    "UsageParent",
    "UserDay",
    "UserDayState",
]
