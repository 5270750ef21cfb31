"""Tables of what happened. They know sources and owners, never prices and never users."""

from .bills import BillDay, BillLine, Delivery, DeliveryPeriod
from .concurrency import ConcurrencyQuarter
from .errors import ErrorCount, ErrorSeen
from .events import Event
from .late import LateQuarter, LateSpan, SealedKeys
from .owners import Pool, Project, Team, Token
from .parts import ToldPart
from .rollups import (
    DirtyHour,
    GpuQuarter,
    RolledHour,
    SealedDay,
    SeriesQuarter,
    SpanDay,
    SpanHour,
    SpanQuarter,
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
    "ConcurrencyQuarter",
    "Delivery",
    "DeliveryPeriod",
    "DirtyHour",
    "ErrorCount",
    "ErrorSeen",
    "Event",
    "Gpu",
    "GpuProcess",
    "GpuQuarter",
    "GpuSample",
    "Job",
    "LateQuarter",
    "LateSpan",
    "MetricSample",
    "MigInstance",
    "Pool",
    "Project",
    "Pull",
    "Reject",
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
    "Team",
    "Token",
    "ToldPart",
    "UsageParent",
    "UserDay",
    "UserDayState",
]
