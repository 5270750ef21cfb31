"""People with roles, and costs as pricing would have written them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import factory
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import F
from django.utils import timezone

from finops import access
from finops.actions import hardware_sums
from finops.models import (
    AccessToken,
    CostDay,
    CostQuarter,
    HardwareDay,
    LedgerEntry,
    Membership,
    PoolDay,
    PoolQuarter,
    PriceBook,
    User,
)
from ingest import store
from ingest.models import Project, Source, Team
from tests.ingest.make import bill_line

ZERO = Decimal(0)


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"person-{n}")


class PriceBookFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = PriceBook

    version = factory.Sequence(lambda n: n + 1)
    source = "test"


def person(
    username: str, role: str, *, project: Project | None = None, team: Team | None = None
) -> User:
    """Somebody with one role over a project, a team or everything."""
    if not Group.objects.filter(name=role).exists():
        access.ensure_roles()
    user = UserFactory(username=username)
    group = Group.objects.get(name=role)
    Membership.objects.create(user=user, role=group, project=project, team=team)
    return user


def access_token(user: User, scope: str = "read") -> str:
    """The text of a new token, without the audit record that the real door writes."""
    identity, secret = secrets.token_hex(6), "not-a-secret"
    AccessToken.objects.create(
        id=identity,
        user=user,
        name="test",
        scope=scope,
        secret_sha256=hashlib.sha256(secret.encode()).digest(),
    )
    return f"brk_{identity}_{secret}"


def spent(project: Project, at: datetime, amount: str | None, **changes) -> None:
    """One quarter hour's cost, and its share of the day's. `amount=None` is unpriced usage."""
    usual = {
        "service": "api", "kind": "llm", "provider": "openai", "model": "gpt-4o",
        "tier": "standard", "input_band": 0, "currency": "USD" if amount else "",
        "spans": 10, "tokens": 1000,
    }  # fmt: skip
    row = {**usual, **changes}
    sums = {
        "spans": row.pop("spans"),
        "tokens": row.pop("tokens"),
        "cost": Decimal(amount or 0),
        "unknown_spans": row.pop("unknown_spans", 0),
    }
    sums["priced_spans"] = sums["spans"] if amount else 0
    sums["unpriced_spans"] = row.pop("unpriced_spans", 0 if amount else sums["spans"])
    sums["unpriced_tokens"] = row.pop("unpriced_tokens", 0 if amount else sums["tokens"])
    book = PriceBook.objects.first() or PriceBookFactory()
    quarter = at - timedelta(minutes=at.minute % 15, seconds=at.second)
    CostQuarter.objects.create(project_id=project.pk, at=quarter, book=book, **row, **sums)
    day = at.astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date()
    added = CostDay.objects.filter(project_id=project.pk, day=day, **row).update(
        **{name: F(name) + value for name, value in sums.items()}
    )
    if not added:
        CostDay.objects.create(project_id=project.pk, day=day, **row, **sums)


def paid(pool, at: datetime, *, idle: str | None, covered_s: float = 900, **models: str) -> None:
    """One quarter hour of a pool: what each model used, and the rest."""
    book = PriceBook.objects.first() or PriceBookFactory()
    usual = {"pool_id": pool.pk, "at": at, "covered_s": covered_s, "book": book}
    for model, used in models.items():
        cost = Decimal(used)
        PoolQuarter.objects.create(
            **usual, model=model, requests=5, busy_s=90, used=cost, allocated=cost, currency="USD"
        )
    PoolQuarter.objects.create(
        **usual,
        model="",
        busy_s=0 if covered_s else None,
        used=ZERO if covered_s else None,
        allocated=None if idle is None else Decimal(idle),
        currency="" if idle is None else "USD",
    )
    hardware_by_day()


def hardware_by_day() -> None:
    """The days of all quarter hours, as pricing leaves them; for who wrote quarter hours itself."""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    PoolDay.objects.all().delete()
    HardwareDay.objects.all().delete()
    moments = PoolQuarter.objects.values_list("pool_id", "at").distinct()
    days = {(pool, at.astimezone(zone).date()) for pool, at in moments}
    with connection.cursor() as cursor:
        for pool, day in sorted(days):
            hardware_sums.write_paid(cursor, pool, [day])


def billed(
    source: Source,
    month: date,
    days: range,
    amount: str = "7",
    *,
    provider: str = "OpenAI",
    service: str = "API",
    complete: bool = True,
    name: str = "bill.csv",
    **changes,
):
    """One bill of a month with a line for each of these days."""
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    rows = []
    for line, day in enumerate(days, 1):
        charged = start.replace(day=day)
        usual = {
            "billing_period_start": start,
            "billing_period_end": (start + timedelta(days=32)).replace(day=1),
            "charge_period_start": charged,
            "charge_period_end": charged + timedelta(days=1),
            "effective_cost": Decimal(amount),
            "billed_cost": Decimal(amount) + 1,
            "provider_name": provider,
            "service_name": service,
            "content_hash": f"{name} {line}".encode(),
        }
        rows.append(bill_line(line, **{**usual, **changes}))
    sha256 = f"{name} {month} {amount}".encode().ljust(32, b"-")[:32]
    return store.bill(source, name=name, sha256=sha256, complete=complete, rows=rows)


def booked(project: Project, start: datetime, **changes) -> LedgerEntry:
    """One entry as the ledger would have written it: by default a day that freed 3,600 GPU-s."""
    freed, cash = changes.pop("freed", 3600.0), changes.pop("cash", "0")
    amount = None if cash is None else Decimal(cash)
    old = changes.get("supersedes")
    usual = {
        "kind": changes.get("counts_as", "realised") if old is None else "adjustment",
        "counts_as": "realised",
        "revision": old.revision + 1 if old else 1,
        "change_ref": "1",
        "title": "Batch bert",
        "project": project,
        "period_from": start,
        "period_to": start + changes.pop("lasts", timedelta(days=1)),
        "measured_s": 3000.0,
        "capacity_gpu_seconds": freed,
        "capacity_gpu_seconds_low": None if freed is None else freed - 360,
        "capacity_gpu_seconds_high": None if freed is None else freed + 360,
        "cash": amount,
        "cash_low": amount,
        "cash_high": amount,
        "currency": "" if amount is None else "USD",
        "billed_by": "hours",
        "requests": 1000,
        "gpu_seconds_per_request": 0.2,
        "counterfactual_gpu_seconds_per_request": 0.5,
        "basis": "Made for a test.",
        "facts_hash": hashlib.sha256(repr((start, changes)).encode()).digest(),
        "created_at": timezone.now(),
    }
    if changes.get("counts_as") == "programme_cost":
        usual |= {"change_ref": "", "title": "Load tests", "requests": None, "billed_by": ""}
        usual |= {name: None for name in usual if name.startswith("capacity")}
    return LedgerEntry.objects.create(**{**usual, **changes})
