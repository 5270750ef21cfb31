"""What answers about contracts and regions look like, and what may be sent. Knows names, types."""

from __future__ import annotations

from typing import Any

from rest_framework.serializers import (
    CharField,
    ChoiceField,
    DateField,
    DecimalField,
    IntegerField,
    Serializer,
    UUIDField,
)

from finops.models.price_terms import LONGEST_REGION
from finops.models.prices import PRICE_UNITS

from .shapes import BookShape, Instant, MaybeMoney, Money

EVERY = "Empty: every one."
SINCE = "Version of the book that entered or changed it last: what a change names in If-Match."


def _text(length: int, help: str = "", **more: Any) -> CharField:
    return CharField(max_length=length, help_text=help, allow_blank=True, **more)


def _percent(**more: Any) -> DecimalField:
    return DecimalField(
        max_digits=9, decimal_places=6, allow_null=True,
        help_text="Off the list price; below 0 it is a surcharge.", **more,
    )  # fmt: skip


def _amount(**more: Any) -> DecimalField:
    return DecimalField(
        max_digits=38, decimal_places=20, allow_null=True,
        help_text="Instead of a percentage: of one model and one token class.", **more,
    )  # fmt: skip


class RegionShape(Serializer):
    id = UUIDField()
    provider = CharField()
    region = CharField()
    project = CharField(help_text="Its slug; empty: every project without one of its own.")
    first_day = DateField(allow_null=True)
    last_day = DateField(allow_null=True)
    note = CharField()
    revision = IntegerField(help_text=SINCE)


class TermShape(RegionShape):
    contract = CharField()
    model = CharField(help_text=EVERY)
    tier = CharField(help_text=EVERY)
    unit = CharField(help_text=EVERY)
    percent = MaybeMoney(help_text="Off the list price; below 0 it is a surcharge.")
    amount = MaybeMoney(help_text="Per million tokens, or per thousand requests.")
    currency = CharField()


class TermListShape(Serializer):
    data = TermShape(many=True)
    next = CharField(allow_null=True)


class RegionListShape(Serializer):
    data = RegionShape(many=True)
    next = CharField(allow_null=True)


class RegionRequest(Serializer):
    provider = CharField(max_length=100)
    region = CharField(max_length=LONGEST_REGION)
    project = _text(100, "Its slug.", default="")
    first_day = DateField(default=None, allow_null=True)
    last_day = DateField(default=None, allow_null=True)
    note = _text(200, default="")


class TermRequest(RegionRequest):
    contract = CharField(max_length=100)
    region = _text(LONGEST_REGION, "Only what is bought there.", default="")
    model = _text(200, EVERY, default="")
    tier = _text(40, EVERY, default="")
    unit = ChoiceField(choices=PRICE_UNITS, allow_blank=True, default="", help_text=EVERY)
    percent = _percent(default=None)
    amount = _amount(default=None)
    currency = _text(20, "Of the amount.", default="")


class RegionChangeRequest(Serializer):
    """What is left out stays as it is; null takes a value away."""

    provider = CharField(max_length=100, required=False)
    region = CharField(max_length=LONGEST_REGION, required=False)
    project = _text(100, "Its slug.", required=False)
    first_day = DateField(required=False, allow_null=True)
    last_day = DateField(required=False, allow_null=True)
    note = _text(200, required=False)
    revision = IntegerField(required=False, help_text="The one you have read, or If-Match.")


class TermChangeRequest(RegionChangeRequest):
    contract = CharField(max_length=100, required=False)
    region = _text(LONGEST_REGION, "Only what is bought there.", required=False)
    model = _text(200, EVERY, required=False)
    tier = _text(40, EVERY, required=False)
    unit = ChoiceField(choices=PRICE_UNITS, allow_blank=True, required=False, help_text=EVERY)
    percent = _percent(required=False)
    amount = _amount(required=False)
    currency = _text(20, "Of the amount.", required=False)


class ModelEffectShape(Serializer):
    provider = CharField()
    model = CharField()
    currency = CharField()
    at_list = MaybeMoney(source="listed", help_text="null: the list has no price for a part.")
    before = Money(help_text="At the newest version, without it.")
    after = Money()
    difference = Money()


class EffectTotalShape(Serializer):
    currency = CharField()
    before = Money()
    after = Money()
    difference = Money()


class EffectShape(Serializer):
    first_day = DateField(source="first")
    last_day = DateField(source="last")
    version = IntegerField(source="book.version")
    totals = EffectTotalShape(many=True, help_text="One for each currency.")
    models = ModelEffectShape(many=True)
    same = IntegerField(help_text="Models of the provider that it leaves as they are.")


class ExplainedPriceShape(Serializer):
    unit = CharField(help_text="A token class; or request.")
    billed_as = CharField(help_text="Under which price; empty when it has none.")
    at_list = MaybeMoney(source="listed")
    paid = MaybeMoney(help_text="null: used without a price.")
    source = CharField()
    term = UUIDField(source="term.uid", default=None, allow_null=True)


class ExplainedShape(Serializer):
    book = BookShape(allow_null=True)
    provider = CharField(help_text="As the book names it.")
    model = CharField()
    tier = CharField()
    input_over = IntegerField(help_text="The step of prompt size that holds.")
    at = Instant(help_text="The quarter hour.")
    region = CharField()
    currency = CharField()
    prices = ExplainedPriceShape(many=True, help_text="Per million tokens, or thousand requests.")
    reason = CharField(help_text="Why there is no price; empty when there is one.")
