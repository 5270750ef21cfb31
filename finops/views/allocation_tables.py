"""Rules, the bucket, showback and statements as tables. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlencode

from django.urls import reverse

from finops.allocation_forms import FIELD_LABELS, OPERATORS, SPLITS
from finops.costing.allocating import (
    LABEL,
    ONE,
    REQUESTS,
    SHARE,
    TAG,
    WITHOUT_VALUES,
    Condition,
)
from finops.models import AllocationRule, Audit
from finops.queries.allocation.bucket import Held, TagValue
from finops.queries.allocation.preview import Met, Moved
from finops.queries.allocation.rules import conditions_of
from finops.queries.amounts import SpendRow, SpendTable
from finops.queries.group_names import ORIGINS
from finops.templatetags import words
from ingest.models.owners import UNALLOCATED

from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    money_cell,
    time_cell,
    words_cell,
)

SAID = dict(OPERATORS)
SPLIT_LABELS = dict(SPLITS)
ORIGIN_LABELS = {"bill": "Bills", "hardware": "Hardware", "requests": "Requests"}
ACTS = {
    "allocation.add": "Added",
    "allocation.change": "Changed",
    "allocation.switch_on": "Switched on",
    "allocation.switch_off": "Switched off",
    "allocation.order": "Moved",
    "allocation.remove": "Removed",
    "chargeback.close": "Month closed",
}
MOST_NAMED = 4
ON = Cell("On", "on", "on", tone="good")
OFF = Cell("Off", "off", "off", tone="quiet")


def condition_said(one: Condition) -> str:
    """`Tag team is one of search, api`."""
    name = one.field
    label = FIELD_LABELS.get(name, "")
    for prefix, what in ((TAG, "Tag"), (LABEL, "Label")):
        if name.startswith(prefix):
            label = f"{what} {name.removeprefix(prefix)}"
    values = "" if one.operator in WITHOUT_VALUES else f" {shortened(one.values)}"
    operator = SAID[one.operator]
    if len(one.values) == 1:
        operator = operator.replace("is one of", "is").replace("is none of", "is not")
    return f"{label} {operator}{values}"


def shortened(values: Sequence[str]) -> str:
    named = ", ".join(values[:MOST_NAMED])
    rest = len(values) - MOST_NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def conditions_said(rule: AllocationRule) -> str:
    return "; ".join(condition_said(one) for one in conditions_of(rule))


def lands_said(rule: AllocationRule) -> str:
    """`Search`, or `Evenly over Chat, Search`."""
    targets = list(rule.targets.all())
    if rule.split == ONE:
        return targets[0].project.name if targets else "Nobody"
    if rule.split == SHARE:
        said = [f"{one.project.name} {one.percent.normalize():f}%" for one in targets]
        return shortened(said)
    names = shortened([one.project.name for one in targets]) if targets else "every project"
    return f"{SPLIT_LABELS[rule.split]}: {names}"


def days_said(rule: AllocationRule) -> str:
    first = words.day(rule.valid_from) if rule.valid_from else ""
    last = words.day(rule.last_day) if rule.last_day else ""
    if first and last:
        return f"{first} to {last}"
    return f"from {first}" if first else f"until {last}" if last else "Always"


def rule_table(rules: Sequence[AllocationRule], may_manage: bool) -> Table:
    """In the order in which they are asked."""
    return Table(
        "rules",
        "Rules, in order",
        (
            Column("Order"),
            Column("Rule"),
            Column("Takes"),
            Column("When"),
            Column("Lands on"),
            Column("Days"),
            Column("State"),
        ),
        tuple(Row(_rule_cells(at, rule, may_manage)) for at, rule in enumerate(rules, 1)),
    )


def _rule_cells(at: int, rule: AllocationRule, may_manage: bool) -> tuple[Cell, ...]:
    href = reverse("finops:allocation-edit", args=[rule.pk]) if may_manage else ""
    return (
        count_cell(at),
        words_cell(rule.name, href=href, note=rule.note),
        Cell(ORIGIN_LABELS[rule.origin], rule.origin, rule.origin),
        words_cell(conditions_said(rule), prose=True),
        words_cell(lands_said(rule), prose=True),
        words_cell(days_said(rule)),
        ON if rule.is_on else OFF,
    )


# Before saving


def moved_table(moved: Iterable[Moved]) -> Table:
    return Table(
        "moved",
        "What each project would cost",
        (
            Column("Project"),
            Column("Of these charges now", number=True),
            Column("Then", number=True),
            Column("Difference", number=True),
            Column("Currency"),
        ),
        tuple(
            Row(
                (
                    words_cell(one.project.name),
                    money_cell(one.before, one.currency),
                    money_cell(one.after, one.currency),
                    money_cell(one.difference, one.currency),
                    words_cell(one.currency),
                )
            )
            for one in moved
        ),
        empty="It would move nothing in these days.",
    )


def met_table(met: Sequence[Met], origin: str = "") -> Table:
    is_requests = origin == REQUESTS
    return Table(
        "met",
        "What it takes",
        (
            Column("Provider"),
            Column("Sent by" if is_requests else "Service or pool"),
            Column("Model" if is_requests else "SKU or model"),
            Column("Taken until now by"),
            Column("Requests" if is_requests else "Lines", number=True),
            Column("Cost", number=True),
            Column("Currency"),
            Column("Stays because"),
        ),
        tuple(
            Row(
                (
                    words_cell(one.provider),
                    words_cell(one.service),
                    words_cell(one.sku),
                    words_cell(one.taken_from) if one.taken_from else Cell("No rule", ""),
                    count_cell(one.lines),
                    money_cell(one.cost, one.currency) if one.currency else Cell("No price", ""),
                    words_cell(one.currency) if one.currency else NONE,
                    words_cell(one.why, prose=True) if one.why else NONE,
                )
            )
            for one in met
        ),
        empty="Nothing in these days meets its conditions, or rules before it take all of it.",
    )


# The bucket


def bucket_table(found: SpendTable, may_manage: bool) -> Table:
    rows = [_bucket_row(row, found.currency, may_manage) for row in found.rows]
    total = found.total
    return Table(
        "bucket",
        "What is in it",
        (
            Column("Provider", "provider"),
            Column("Service", "service"),
            Column("SKU", "sku"),
            Column("From", "origin"),
            Column("Cost", "cost", number=True),
            Column("Share", "share", number=True),
            Column("Rule"),
        ),
        tuple(rows),
        total=(
            Cell("Total", ""),
            NONE,
            NONE,
            NONE,
            money_cell(total.cost, found.currency),
            NONE,
            NONE,
        )
        if rows
        else (),
        empty="Nothing is unallocated in this period.",
    )


def _bucket_row(row: SpendRow, currency: str, may_manage: bool) -> Row:
    origin, provider = row.keys[:2]
    share = row.share
    make = Cell("Make a rule", "", href=rule_href(row.keys)) if may_manage else NONE
    return Row(
        (
            words_cell(provider or "Unknown"),
            words_cell(row.labels[2]),
            words_cell(row.labels[3]),
            Cell(ORIGINS[origin], origin, origin),
            money_cell(row.cost, currency),
            NONE if share is None else Cell(words.percent(share), f"{share:.6f}", share),
            make,
        )
    )


def rule_href(keys: Sequence[str]) -> str:
    """The form, filled in for a row of the bucket."""
    origin, _, service, sku = keys
    asked = {"origin": REQUESTS if origin == "usage" else origin}
    if origin == "usage":
        asked |= {"project": UNALLOCATED} | ({"service": service} if service else {})
    elif origin == "bill":
        asked |= {"service": service} | ({"sku": sku} if sku else {})
    elif sku:
        asked |= {"hardware": sku}
    return f"{reverse('finops:allocation-new')}?{urlencode(asked)}"


def held_table(found: Sequence[Held], rules: dict[int, str]) -> Table:
    return Table(
        "held",
        "What a rule met and could not split",
        (
            Column("Rule"),
            Column("From"),
            Column("Why"),
            Column("Cost", number=True),
            Column("Currency"),
        ),
        tuple(
            Row(
                (
                    words_cell(rules.get(one.rule_id, "")),
                    Cell(ORIGIN_LABELS[one.origin], one.origin, one.origin),
                    words_cell(one.why, prose=True),
                    money_cell(one.amount, one.currency),
                    words_cell(one.currency),
                )
            )
            for one in found
        ),
    )


def tag_table(found: Sequence[TagValue], may_manage: bool) -> Table:
    def cell(one: TagValue) -> Cell:
        if not may_manage or not one.key:
            return NONE
        asked = urlencode({"origin": "bill", "tag": one.key, "value": one.value})
        return Cell("Make a rule", "", href=f"{reverse('finops:allocation-new')}?{asked}")

    return Table(
        "tags",
        "Tags of bill lines that no rule takes",
        (
            Column("Tag"),
            Column("Value"),
            Column("Lines", number=True),
            Column("Cost", number=True),
            Column("Currency"),
            Column("Rule"),
        ),
        tuple(
            Row(
                (
                    words_cell(one.key or "No tag at all"),
                    words_cell(one.value) if one.value else NONE,
                    count_cell(one.lines),
                    money_cell(one.cost, one.currency),
                    words_cell(one.currency),
                    cell(one),
                )
            )
            for one in found
        ),
        empty="Every bill line of this period is taken by a rule, or there is none.",
    )


def history_table(records: Iterable[Audit], detail: Callable[[Audit], str]) -> Table:
    return Table(
        "history",
        "What was changed",
        (Column("When"), Column("Who"), Column("What"), Column("Rule or month")),
        tuple(
            Row(
                (
                    time_cell(one.at),
                    words_cell(one.actor.get_username() if one.actor else "Breakeven"),
                    words_cell(ACTS.get(one.action, one.action)),
                    words_cell(detail(one), prose=True),
                )
            )
            for one in records
        ),
        empty="Nothing was changed yet.",
    )
