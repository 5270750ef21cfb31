"""Why a bill differs from priced usage: the gap by class, to the last digit.

Knows sums per SKU and per model, and how their names meet. Refuses to guess: what no class claims
is unexplained, and classes plus unexplained are always exactly bill − usage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from finops.money import CONTEXT, SCALE

from .lines import EXACT

UNPRICED, LATE, CREDITS, OTHER = "unpriced", "late", "credits", "other_charges"
ROUNDING, UNTRACKED, PRICE = "rounding", "untracked", "price"
CLASSES = (UNPRICED, LATE, CREDITS, OTHER, ROUNDING, UNTRACKED, PRICE)
"""What a part of the gap can be; the rest is unexplained."""

USAGE = "usage"
"""What a bill line is about, where it is neither credits nor other charges."""

MODEL, SKU, NOT_BILLED, UNNAMED = "model", "sku", "not_billed", "unnamed"

ZERO = Decimal(0)

DATED = re.compile(r"(?<=[a-z0-9])[-@_](20\d{2}-?[01]\d-?[0-3]\d)(?=$|[^0-9])")
WORDS = re.compile(r"[a-z0-9]+(?:\.[0-9]+)*")
SAYS_HOW = frozenset(
    WORDS.findall(
        "input output prompt completion cached cache read write hit miss token tokens text in out"
        " standard batch flex priority on demand usage api per 1k 1m 5m 1h hour hours instance"
        " openai azure anthropic google vertex ai amazon aws bedrock"
    )
)
"""Words of a SKU that tell how it was used or who sells it; any other names another thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillSum:
    """The lines of one SKU and kind of charge."""

    kind: str
    """`usage`, `credits` or `other_charges`."""
    name: str
    """The SKU; of what is no usage, the kind of charge."""
    cost: Decimal
    lines: int
    decimals: int
    """Of the cost with the most of them: to there the bill was rounded."""
    tokens: Decimal | None = None
    """None unless every line counts tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """What we saw of one model, in the bill's currency."""

    model: str
    cost: Decimal = ZERO
    """Of the time that the bill covers."""
    late: Decimal = ZERO
    """Of the time that it does not cover."""
    tokens: int = 0
    """Priced, in the time that the bill covers."""
    unpriced_tokens: int = 0
    unpriced: int = 0
    """Requests without a price or without known usage, in that time."""
    elsewhere: bool = False
    """Some of it is priced in another currency, which cannot be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the comparison: bill and usage that belong together, and the gap between them."""

    kind: str
    """`model`, `sku`, `not_billed`, `unnamed`, `credits` or `other_charges`."""
    name: str
    skus: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    bill: Decimal = ZERO
    usage: Decimal = ZERO
    classes: Mapping[str, Decimal] = field(default_factory=dict)
    """Only those that hold something."""
    unpriced: int = 0

    @property
    def gap(self) -> Decimal:
        return EXACT.subtract(self.bill, self.usage)

    @property
    def unexplained(self) -> Decimal:
        return EXACT.subtract(self.gap, total(self.classes.values()))

    def amount(self, name: str) -> Decimal:
        return self.classes.get(name, ZERO)


def total(amounts: Iterable[Decimal]) -> Decimal:
    found = ZERO
    for amount in amounts:
        found = EXACT.add(found, amount)
    return found


def reconcile(
    bills: Sequence[BillSum], usage: Sequence[UsageSum], minor_units: int = 2
) -> tuple[Item, ...]:
    """The comparison item by item, the largest gap first. The recipe:

    1. Credits and other charges stand alone: no usage belongs to them.
    2. A SKU meets the model whose name it holds, when nothing else is left of the SKU than words
       for how it was used. A dated snapshot counts as its model.
    3. SKUs that meet no model stand alone when every model was met, and models alone when every
       SKU was; otherwise the rest of both is one item, for one may be the other under its name.
    """
    items = [
        Item(kind=one.kind, name=one.name, bill=one.cost, classes={one.kind: one.cost})
        for one in bills
        if one.kind != USAGE
    ]
    charged = [one for one in bills if one.kind == USAGE]
    models: dict[str, list[UsageSum]] = {}
    for one in usage:
        models.setdefault(model_key(one.model), []).append(one)
    met: dict[str, list[BillSum]] = {}
    rest: list[BillSum] = []
    for line in charged:
        key = meets(line.name, models)
        if key is None:
            rest.append(line)
        else:
            met.setdefault(key, []).append(line)
    items += [_item(MODEL, key, met[key], models[key], minor_units) for key in met]
    alone = {key: found for key, found in models.items() if key not in met}
    if rest and alone:
        left = [one for found in alone.values() for one in found]
        items.append(_item(UNNAMED, "", rest, left, minor_units))
    elif rest:
        items += [_item(SKU, line.name, [line], [], minor_units) for line in rest]
    else:
        items += [_item(NOT_BILLED, key, [], alone[key], minor_units) for key in alone]
    return tuple(sorted(items, key=lambda item: (-item.gap.copy_abs(), item.kind, item.name)))


def _item(
    kind: str, name: str, lines: list[BillSum], usage: list[UsageSum], minor_units: int
) -> Item:
    billed = total(line.cost for line in lines)
    priced = total(one.cost for one in usage)
    late = total(one.late for one in usage)
    models = tuple(sorted({one.model for one in usage}))
    classes = _classes(kind, lines, usage, minor_units)
    classes[LATE] = EXACT.subtract(ZERO, late)
    return Item(
        kind=kind,
        name=models[0] if len(models) == 1 and kind != UNNAMED else name,
        skus=tuple(sorted({line.name for line in lines})),
        models=models,
        bill=billed,
        usage=EXACT.add(priced, late),
        classes={name: amount for name, amount in classes.items() if amount},
        unpriced=sum(one.unpriced for one in usage),
    )


def _classes(
    kind: str, lines: Sequence[BillSum], usage: Sequence[UsageSum], minor_units: int
) -> dict[str, Decimal]:
    """What is known of billed − priced, in the time that the bill covers; see the docs page."""
    if not lines:
        return {}
    billed = total(line.cost for line in lines)
    if not usage:
        return {UNTRACKED: billed}
    priced = total(one.cost for one in usage)
    gap = EXACT.subtract(billed, priced)
    allowed = tolerance(lines, minor_units)
    is_close = gap.copy_abs() <= allowed
    if kind == UNNAMED or any(one.elsewhere for one in usage):
        return {ROUNDING: gap} if priced and is_close else {}
    in_bill = _tokens(lines)
    without = sum(one.unpriced_tokens for one in usage)
    has_unpriced = any(one.unpriced for one in usage)
    if not priced:
        return _of_unpriced(billed, in_bill, without, has_unpriced)
    if is_close and not has_unpriced:
        return {ROUNDING: gap}
    seen = sum(one.tokens for one in usage)
    if not in_bill or not seen:
        return {}
    return _by_quantity(billed, priced, in_bill, seen, without, allowed)


def _of_unpriced(
    billed: Decimal, in_bill: Decimal | None, without: int, has_unpriced: bool
) -> dict[str, Decimal]:
    """A model with no price at all: the bill tells what it cost, as far as we saw it used."""
    if not has_unpriced:
        return {}
    if not in_bill or not without or without >= in_bill:
        return {UNPRICED: billed}
    seen = share(billed, Decimal(without), in_bill)
    return {UNPRICED: seen, UNTRACKED: EXACT.subtract(billed, seen)}


def _by_quantity(
    billed: Decimal, priced: Decimal, in_bill: Decimal, seen: int, without: int, allowed: Decimal
) -> dict[str, Decimal]:
    """More tokens than we priced are first those without a price, then untracked, each at the
    bill's own average price; fewer stay unexplained at ours. What is left is the price."""
    found: dict[str, Decimal] = {}
    more = CONTEXT.subtract(in_bill, Decimal(seen))
    gap = EXACT.subtract(billed, priced)
    if more >= 0:
        unpriced = min(Decimal(without), more)
        found[UNPRICED] = share(billed, unpriced, in_bill)
        found[UNTRACKED] = share(billed, CONTEXT.subtract(more, unpriced), in_bill)
        rest = EXACT.subtract(gap, total(found.values()))
    else:
        rest = EXACT.add(gap, share(priced, more.copy_negate(), Decimal(seen)))
    found[ROUNDING if rest.copy_abs() <= allowed else PRICE] = rest
    return found


def _tokens(lines: Sequence[BillSum]) -> Decimal | None:
    found = ZERO
    for line in lines:
        if line.tokens is None:
            return None
        found = CONTEXT.add(found, line.tokens)
    return found if found > 0 else None


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """To the last decimal that is kept; whoever takes it gives the rest of `amount` elsewhere."""
    found = CONTEXT.divide(CONTEXT.multiply(amount, part), whole)
    return found.quantize(SCALE, context=CONTEXT)


def tolerance(lines: Iterable[BillSum], minor_units: int) -> Decimal:
    """How much rounding can make of it: half of a line's last decimal, and never more than half
    of the currency's smallest coin, so that a bill in whole dollars explains nothing away."""
    found = ZERO
    for line in lines:
        half = Decimal(5).scaleb(-max(line.decimals, minor_units) - 1)
        found = EXACT.add(found, EXACT.multiply(half, Decimal(line.lines)))
    return found


# Names


def model_key(name: str) -> str:
    """A model without its maker's folder, its date and its spelling: `gpt-4o` of
    `openai/GPT-4o-2024-08-06`."""
    return " ".join(_words(name.rpartition("/")[2] or name))


def meets(sku: str, keys: Iterable[str]) -> str | None:
    """The model that a SKU names, the longest name first; None when another word is left over."""
    words = _words(sku.rpartition("/")[2] or sku)
    for key in sorted(keys, key=lambda key: (-len(key), key)):
        wanted = key.split(" ")
        for at in range(len(words) - len(wanted) + 1):
            left = words[:at] + words[at + len(wanted) :]
            if words[at : at + len(wanted)] == wanted and SAYS_HOW.issuperset(left):
                return key
    return None


def _words(name: str) -> list[str]:
    text = name.casefold()
    return WORDS.findall(DATED.sub(" ", text)) or WORDS.findall(text)
