"""What was agreed with providers, from its entry to the cost of a request, to the last digit."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from finops.actions import price_book, price_terms
from finops.actions.alerting import producers
from finops.actions.price_book import (
    OwnPrice,
    seed_price_book,
    set_hardware_price,
    set_own_price,
    set_own_prices,
)
from finops.actions.price_terms import Refused, RegionDraft, TermDraft
from finops.actions.pricing import price_hours, reprice
from finops.actions.span_costs import span_costs
from finops.models import Alert, Audit, BuyingRegion, CostDay, CostQuarter, PriceBook, PriceTerm
from finops.queries import repricing
from finops.queries.repricing_plan import Scope
from ingest import store
from ingest.models import Span
from ingest.rollup import roll_up
from tests.factories.finops import person
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db

QUARTER_OFF = TermDraft(contract="C-2026", provider="openai", percent=Decimal(25))


@pytest.fixture
def asha(db):
    return person("asha", "analyst")


def enter(draft, by):
    return price_terms.add(draft, by=by, via="command")


def price(source, *records):
    store.spans(source, records)
    roll_up()
    return price_hours()


def test_contract_is_priced_to_the_last_digit_and_the_list_cost_stays_beside_it(source, book, asha):
    term = enter(QUARTER_OFF, asha)
    assert (term.book.version, term.since) == (2, 2)
    price(source, span(1), span(2, model="gpt-4o"))
    mini = CostQuarter.objects.get(model="gpt-4o-mini")
    assert (mini.cost, mini.list_cost) == (Decimal("0.00002025"), Decimal("0.000027"))
    day = {row.model: (row.cost, row.list_cost) for row in CostDay.objects.all()}
    assert day == {
        "gpt-4o-mini": (Decimal("0.00002025"), Decimal("0.000027")),
        "gpt-4o": (Decimal("0.0003375"), Decimal("0.00045")),
    }
    costs = [
        (one.money.amount, one.listed.amount) for one in span_costs(Span.objects.all()).values()
    ]
    assert sorted(costs) == sorted(day.values())


def test_list_cost_is_unknown_where_a_price_is_only_ours(source, book, asha):
    set_own_price(OwnPrice("vllm", "ours", "input", Decimal(1)))
    price(source, span(1, provider="vllm", model="ours"), span(2))
    found = {row.model: (row.cost, row.list_cost) for row in CostDay.objects.all()}
    assert found == {
        "ours": (Decimal("0.0001"), None),
        "gpt-4o-mini": (Decimal("0.000027"), Decimal("0.000027")),
    }


def test_terms_and_regions_go_on_through_every_other_change_of_the_book(book, asha, few_models):
    term = enter(QUARTER_OFF, asha)
    region = enter(RegionDraft(provider="openai", region="eu"), asha)
    set_own_price(OwnPrice("openai", "gpt-4o", "input", Decimal(2)))
    set_hardware_price("H100", Decimal("2.5"))
    PriceBook.objects.update(source="genai-prices 0.1.0")
    newest = seed_price_book().book
    assert newest.version == 6
    kept = (PriceTerm.objects.get(book=newest), BuyingRegion.objects.get(book=newest))
    assert [(one.uid, one.since) for one in kept] == [(term.uid, 2), (region.uid, 3)]
    assert not book.terms.exists()
    assert len(price_book.agreed_of(newest).terms) == 1


def test_priced_hours_keep_their_version_until_the_preview_is_confirmed(source, book, asha):
    price(source, span(1))
    newer = enter(QUARTER_OFF, asha).book
    assert price_hours() == 0
    scope = Scope(NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    plan = repricing.preview(scope, newer)
    assert [(one.before, one.after) for one in plan.totals] == [
        (Decimal("0.000027"), Decimal("0.00002025"))
    ]
    reprice("project", [source.project_id], scope.start, scope.end)
    price_hours()
    assert CostQuarter.objects.get().cost == plan.totals[0].after


def test_project_pays_by_its_own_term_and_region(source, book, asha):
    set_own_price(
        OwnPrice("openai", "gpt-4o-mini", "input", Decimal("0.18"), region="eu", is_list_price=True)
    )
    slug = source.project.slug
    enter(QUARTER_OFF, asha)
    enter(RegionDraft(provider="openai", region="eu", project=slug), asha)
    enter(replace(QUARTER_OFF, contract="EU", project=slug, percent=Decimal(50)), asha)
    price(source, span(1))
    row = CostQuarter.objects.get()
    # 100 input tokens at half of 0.18, 20 of output at half of 0.60.
    assert (row.cost, row.list_cost) == (Decimal("0.000015"), Decimal("0.00003"))


def test_term_holds_from_its_first_day_to_its_last(source, book, asha):
    days = {"first_day": date(2026, 11, 10), "last_day": date(2026, 11, 10)}
    enter(replace(QUARTER_OFF, **days), asha)
    moments = [NOON - timedelta(days=1), NOON, NOON + timedelta(days=1)]
    price(source, *(span(n, started_at=at) for n, at in enumerate(moments)))
    costs = [row.cost for row in CostDay.objects.order_by("day")]
    assert costs == [Decimal("0.000027"), Decimal("0.00002025"), Decimal("0.000027")]


def test_change_and_removal_make_versions_and_leave_the_old_ones_alone(book, asha):
    term = enter(QUARTER_OFF, asha)
    draft = price_terms.draft_of(term)
    assert draft == QUARTER_OFF
    changed = price_terms.change(
        term.uid, replace(draft, percent=Decimal(30)), by=asha, via="command", revision=2
    )
    assert (changed.uid, changed.since, changed.percent) == (term.uid, 3, Decimal(30))
    same = price_terms.change(term.uid, price_terms.draft_of(changed), by=asha, via="command")
    assert same.since == 3
    with pytest.raises(Refused, match="Somebody has changed it"):
        price_terms.change(term.uid, draft, by=asha, via="command", revision=2)
    gone = price_terms.remove(TermDraft, term.uid, by=asha, via="command", revision=3)
    assert (gone.version, gone.terms.count()) == (4, 0)
    assert [one.percent for one in PriceTerm.objects.order_by("since")] == [25, 30]
    acts = Audit.objects.order_by("id").values_list("action", flat=True)
    assert list(acts) == ["price_term.add", "price_term.change", "price_term.remove"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"provider": "opnai"}, "provider", "The book has no price of 'opnai'"),
        ({"model": "no-such-model"}, "model", "openai has no price of no-such-model"),
        ({"tier": "night"}, "tier", "there are: batch, fast, flex, priority, standard"),
        ({"unit": "words"}, "unit", "words is no unit"),
        ({"project": "nobody"}, "project", "There is no project nobody"),
        ({"percent": Decimal(101)}, "percent", "up to 100"),
        ({"percent": Decimal("NaN")}, "percent", "up to 100"),
        ({"percent": Decimal("0.1234567")}, "percent", "at most 6 decimals"),
        ({"percent": None}, "percent", "one of the two"),
        ({"percent": None, "amount": Decimal(1)}, "model", "one model and one token class"),
        ({"contract": " "}, "contract", "Give the contract's number"),
        ({"region": "x" * 61}, "region", "at most 60"),
        (
            {"first_day": date(2026, 2, 1), "last_day": date(2026, 1, 1)},
            "last_day",
            "not before the first",
        ),
        (
            {"percent": None, "amount": Decimal(1), "currency": "EUR", "model": "gpt-4o",
             "unit": "input"},
            "currency",
            "The book has this model in USD",
        ),
    ],
)  # fmt: skip
def test_term_that_could_never_hold_is_refused_with_its_field(book, asha, change, field, said):
    with pytest.raises(Refused) as refused:
        enter(replace(QUARTER_OFF, **change), asha)
    assert refused.value.field == field
    assert said in str(refused.value)
    assert PriceBook.objects.count() == 1


def test_second_term_of_one_scope_and_start_is_refused(book, asha):
    enter(QUARTER_OFF, asha)
    with pytest.raises(Refused, match="already that starts on this day"):
        enter(replace(QUARTER_OFF, contract="other"), asha)
    enter(replace(QUARTER_OFF, first_day=date(2026, 6, 1)), asha)


def test_names_are_kept_as_the_book_has_them(book, asha):
    draft = replace(QUARTER_OFF, provider="azure.ai.openai", model="gpt-4o", tier="Standard")
    term = enter(draft, asha)
    assert (term.provider, term.model, term.tier) == ("azure", "openai/gpt-4o", "standard")


def test_usage_without_a_price_is_alarmed_from_span_to_alert_until_it_has_one(source, book):
    """The whole way: a span comes in, is rolled up, priced, watched; then its price is entered."""
    price(source, span(1), span(2, provider="acme", model="new-1"))
    later = NOON + timedelta(hours=1)
    producers.watch_unpriced(later)
    alert = Alert.objects.get()
    assert (alert.kind, alert.project, alert.state) == ("unpriced", source.project, "open")
    assert alert.figures["Models"] == "acme/new-1"
    prices = [OwnPrice("acme", "new-1", unit, Decimal(1)) for unit in ("input", "output")]
    newer = set_own_prices(prices)
    producers.watch_unpriced(later)
    assert Alert.objects.get().state == "open"  # its hour still has the version without it
    reprice("project", [source.project_id], NOON - timedelta(hours=1), later, newer)
    price_hours()
    producers.watch_unpriced(later)
    assert Alert.objects.get().state == "resolved"
    assert CostQuarter.objects.get(model="new-1").cost == Decimal("0.00012")
