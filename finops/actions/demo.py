"""The sample estate's owners, people, sources and prices, as `setup --demo` makes them.

Everything here is marked as sample data. Refuses nothing real: it runs in demo installations only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.contrib.auth.models import Group
from django.db import transaction

from finops import audit
from finops.actions import budgets, labels, people, price_book, slos
from finops.actions.allocation import rules
from finops.actions.budgets import Draft, Threshold
from finops.costing.allocating import Condition
from finops.costing.objectives import Definition
from finops.models import AllocationRule, BillMatch, Budget, HardwarePrice, Membership, Slo, User
from finops.queries.filters import today
from ingest import tokens
from ingest.models import KeptLabel, Pool, Project, Source, Team


@dataclass(frozen=True)
class Person:
    username: str
    full_name: str
    role: str
    project: str = ""


PEOPLE = (
    Person("asha", "Asha Rao", "analyst"),
    Person("dev", "Dev Lindqvist", "engineer"),
    Person("ben", "Ben Okafor", "approver"),
    Person("cleo", "Cleo Marin", "viewer", "support-chat"),
    Person("ada", "Ada Novak", "admin"),
)

PROJECTS = (
    ("support-chat", "Support chat", "Support"),
    ("code-assist", "Code assist", "Platform"),
    ("digit-reader", "Digit reader", "Search"),
    ("nightly-batch", "Nightly batch", "Platform"),
)

POOL = "demo-triton"
HARDWARE = "Simulated 80 GB GPU"
HARDWARE_HOURLY = Decimal("1.90")
"""A choice, near what clouds asked for an 80 GB data-centre GPU on demand in 2026."""

BILL_MATCHES = (
    ("openai", "OpenAI", "OpenAI API"),
    ("anthropic", "Anthropic", "Anthropic API"),
    ("triton", "Sample Cloud", "GPU Instances"),
)

BUDGETS = (
    ("All AI spend", {}, "book", Decimal(6000)),
    # The book: with what the rules below land on it, as its showback says.
    ("Code assist", {"project": ("code-assist",)}, "book", Decimal(1000)),
)
ALLOCATION = (
    ("Bills of models by their usage", "bill", "usage",
     Condition("service", "is", ("OpenAI API", "Anthropic API"))),
    ("GPU bill by requests", "bill", "telemetry", Condition("service", "is", ("GPU Instances",))),
    ("GPUs by requests", "hardware", "telemetry", Condition("pool", "is", (POOL,))),
)  # fmt: skip
"""Name, what it takes, by what it is split over every project, and the condition."""

SHARED_USERS = rules.Draft(
    name="Support's people in Code assist",
    origin="requests",
    conditions=(
        Condition("project", "is", ("code-assist",)),
        Condition("user", "is", ("user-11", "user-12")),
    ),
    targets=(("support-chat", None),),
)

CUSTOMER = "customer"
LABEL_DAYS = 90
"""Longer than the sample history."""

THRESHOLDS = (
    Threshold(percent=Decimal(80), basis="actual", severity="warning"),
    Threshold(percent=Decimal(100), basis="forecast", severity="critical"),
)

OBJECTIVES = (
    (
        "support-chat",
        Definition(
            name="Swift answers",
            indicator="latency",
            threshold=Decimal(4000),
            objective=Decimal(95),
            window_days=28,
            least_events=20,
        ),
        "Whoever waits longer for an answer closes the chat.",
    ),
    (
        "code-assist",
        Definition(
            name="Answers at all",
            indicator="availability",
            objective=Decimal(99),
            window_days=28,
            least_events=20,
        ),
        "Failed completions are noticed at once.",
    ),
)


def add_estate() -> dict[str, Source]:
    """Teams, projects, the pool, its price and the sources; name → the sources that push."""
    with transaction.atomic():
        pool, _ = Pool.objects.get_or_create(
            name=POOL, defaults={"provider": "triton", "gpu_count": 2, "hardware": HARDWARE}
        )
        pushing = {}
        for slug, name, team_name in PROJECTS:
            team, _ = Team.objects.get_or_create(name=team_name)
            project, _ = Project.objects.get_or_create(
                slug=slug, defaults={"name": name, "team": team, "environment": "demo"}
            )
            pushing[slug], _ = Source.objects.get_or_create(
                name=f"{name} traffic",
                defaults={"kind": "otlp", "project": project, "is_sample": True},
            )
        pushing["gpus"], _ = Source.objects.get_or_create(
            name="Demo GPUs", defaults={"kind": "gpu", "pool": pool, "is_sample": True}
        )
        for name, kind in (
            ("Demo Triton", "prometheus_text"),
            ("Demo Triton statistics", "triton_statistics"),
        ):
            Source.objects.get_or_create(
                name=name,
                defaults={
                    "kind": kind,
                    "pool": pool,
                    "is_sample": True,
                    # Until Triton has told its address there is nothing to pull.
                    "enabled": False,
                    "interval_s": 15,
                },
            )
        for usage, provider, service in BILL_MATCHES:
            BillMatch.objects.get_or_create(
                usage_provider=usage, defaults={"bill_provider": provider, "bill_service": service}
            )
        if not HardwarePrice.objects.filter(hardware=HARDWARE).exists():
            book = price_book.set_hardware_price(HARDWARE, HARDWARE_HOURLY, note="Sample estate")
            detail = {"hardware": HARDWARE, "hourly": str(HARDWARE_HOURLY)}
            audit.record(None, "command", "price.set_hardware", book, detail)
    return pushing


def add_person(person: Person, password: str) -> User:
    """Safe to repeat; the password becomes the given one, so that the printed list is true."""
    with transaction.atomic():
        user = User.objects.filter(username=person.username).first()
        if user is None:
            user = people.add_user(
                person.username, password, full_name=person.full_name, via="command"
            )
        elif not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        if person.role == "admin" and not user.is_staff:
            User.objects.filter(pk=user.pk).update(is_staff=True)
        project = Project.objects.get(slug=person.project) if person.project else None
        role = Group.objects.get(name=person.role)
        if not Membership.objects.filter(user=user, role=role, project=project).exists():
            people.give_role(user, person.role, project=project, via="command")
    return user


def add_budgets() -> None:
    """One that is kept, and one for the project whose spend jumps; safe to repeat."""
    analyst = User.objects.get(username="asha")
    for name, scope, basis, amount in BUDGETS:
        if Budget.objects.filter(name=name).exists():
            continue
        draft = Draft(
            name=name,
            owner=analyst.username,
            scope=scope,
            basis=basis,
            currency="USD",
            period="monthly",
            starts_on=today().replace(day=1),
            amount_kind="fixed",
            amount=amount,
            thresholds=THRESHOLDS,
        )
        budgets.add(draft, by=analyst, via="command")


def add_objectives() -> None:
    """Two, each proposed by the engineer and approved by the approver; safe to repeat."""
    if Slo.objects.exists():
        return
    engineer, approver = (User.objects.get(username=name) for name in ("dev", "ben"))
    for slug, definition, why in OBJECTIVES:
        project = Project.objects.get(slug=slug)
        proposal = slos.propose(project, definition, by=engineer, via="command", why=why)
        slos.approve(proposal, by=approver, via="command", plan_hash=proposal.plan_hash)


def add_allocation() -> None:
    """Whose the bills and the GPUs are, and some requests; safe to repeat."""
    analyst = User.objects.get(username="asha")
    drafts = [
        rules.Draft(name=name, origin=origin, split=split, conditions=(condition,))
        for name, origin, split, condition in ALLOCATION
    ]
    for draft in (*drafts, SHARED_USERS):
        if not AllocationRule.objects.filter(name=draft.name).exists():
            rules.add(draft, by=analyst, via="command")


def add_labels() -> None:
    """What each customer of the sample estate cost; safe to repeat."""
    if not KeptLabel.objects.filter(project=None, name=CUSTOMER).exists():
        analyst = User.objects.get(username="asha")
        since = today() - timedelta(days=LABEL_DAYS)
        labels.keep(None, CUSTOMER, [CUSTOMER], since, by=analyst, via="command")


def issue_push_token(source: Source) -> str:
    scope = "gpu:write" if source.kind == "gpu" else "traces:write"
    _, text = tokens.issue(source, "Demo", scope, "setup --demo")
    return text
