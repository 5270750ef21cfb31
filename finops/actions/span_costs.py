"""What single spans cost, derived when somebody looks: no span carries a price.

Knows the book that a span's hour is pinned to. Refuses other rates than those of the rollup, so the
spans of a row add up to it exactly. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from finops.actions.book_rates import BookRates, quarter_of
from finops.actions.pricing import PAID, pool_providers
from finops.costing.lines import PAID_BY_USAGE, Usage, cost_of_spans
from finops.models import PricedHour
from finops.money import Money
from ingest.models import Span, UsageParent
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.store.counting import hour_of

NO_PRICE = "No price for this model and tier"
NOT_SAID = "Its usage was not reported"
NOT_PRICED_YET = "Not priced yet"
BY_THE_HOUR = "Paid by the hour"
AT_ITS_CHILD = "Counted at the span below it"
NOT_CHARGED = "Not charged by usage"


@dataclass(frozen=True, slots=True)
class SpanCost:
    """What one span cost; without money, the note says why."""

    money: Money | None
    note: str = ""
    listed: Money | None = None
    """At list prices; None where no list says."""


def span_costs(spans: Sequence[Span]) -> dict[tuple[int, UUID], SpanCost]:
    """Each span's share of what its quarter hour cost, by (project, key).

    Derived with the same rates and the same pinned book as the rollup, so the spans of a row add
    up to it exactly. Nothing is written.
    """
    keys = [span.key for span in spans]
    parents = set(UsageParent.objects.filter(key__in=keys).values_list("project_id", "key"))
    pins = {
        (hour.owner_id, hour.hour): hour.book
        for hour in PricedHour.objects.select_related("book").filter(
            owner_kind="project",
            owner_id__in={span.project_id for span in spans},
            hour__in={hour_of(span.started_at) for span in spans},
        )
    }
    served = pool_providers()
    rates = {
        book.pk: BookRates(book, {(span.provider, span.model) for span in spans}, store=False)
        for book in {book.pk: book for book in pins.values()}.values()
    }
    costs = {}
    for span in spans:
        book = pins.get((span.project_id, hour_of(span.started_at)))
        is_parent = (span.project_id, span.key) in parents
        costs[span.project_id, span.key] = _span_cost(
            span, is_parent, rates[book.pk] if book else None, served
        )
    return costs


def _span_cost(
    span: Span, is_parent: bool, rates: BookRates | None, served: frozenset[str]
) -> SpanCost:
    if span.provider.casefold() in served:
        return SpanCost(None, BY_THE_HOUR)
    counts = [getattr(span, name) for name in TOKEN_FIELDS]
    if is_parent and any(counts):
        return SpanCost(None, AT_ITS_CHILD)
    if span.kind not in PAID and not any(counts):
        return SpanCost(None, NOT_CHARGED)
    name = (span.provider, span.model)
    if rates is None or not rates.knows(name):
        return SpanCost(None, NOT_PRICED_YET)
    failed = span.status == "error"
    unknown = (
        span.kind in PAID_BY_USAGE
        and not failed
        and span.input_tokens is None
        and span.output_tokens is None
    )
    usage = Usage(
        span.kind,
        {token_class: count or 0 for token_class, count in zip(TOKEN_CLASSES, counts, strict=True)},
        errors=int(failed),
        usage_unknown=int(unknown),
    )
    at = quarter_of(span.started_at)
    card = rates.card(span.project_id, name, span.tier, span.input_band, at)
    cost = cost_of_spans(usage, card)
    if cost.unknown_spans:
        return SpanCost(None, NOT_SAID)
    if cost.unpriced_spans:
        return SpanCost(None, NO_PRICE)
    if not cost.line.currency:
        return SpanCost(None, NOT_CHARGED)
    note = f"{cost.line.unpriced_tokens} tokens have no price" if cost.line.unpriced_tokens else ""
    listed = cost.line.listed
    return SpanCost(
        Money(cost.line.total, cost.line.currency),
        note,
        None if listed is None else Money(listed, cost.line.currency),
    )
