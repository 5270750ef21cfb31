"""Which rule takes which charge, as SQL: the first one whose every condition holds.

Knows the columns behind the fields of a rule. Refuses values in the statement: they are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finops.costing.allocating import (
    BILL,
    CONTAINS,
    HARDWARE,
    IS,
    IS_NOT,
    KEYED,
    LABEL,
    MISSING,
    PRESENT,
    REQUESTS,
    STARTS,
    TAG,
    Condition,
    Rule,
)

NAMES_OF_KEYS = (
    "metadata.user_api_key_alias",
    "user_api_key_alias",
    "langfuse.observation.metadata.user_api_key_alias",
    "langfuse.trace.metadata.user_api_key_alias",
)
"""Where a gateway such as LiteLLM says by which of its keys a request came."""
KEY = "coalesce({})".format(", ".join(f"s.attributes ->> '{name}'" for name in NAMES_OF_KEYS))

COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    BILL: {
        "provider": ("l.provider_name",),
        "service": ("l.service_name",),
        "sku": ("l.sku_id",),
        "account": ("l.billing_account_id", "l.billing_account_name"),
        # People know the name, scripts the number.
        "sub_account": ("l.sub_account_id", "l.sub_account_name"),
        "region": ("l.region_id",),
        "resource": ("l.resource_id", "l.resource_name"),
        "charge_category": ("l.charge_category",),
    },
    HARDWARE: {
        "pool": ("p.name",),
        "model": ("q.model",),
        "hardware": ("p.hardware",),
        "provider": ("p.provider",),
    },
    REQUESTS: {
        # People know the name, scripts the slug.
        "project": ("p.slug", "p.name"),
        "service": ("s.service",),
        "provider": ("s.provider",),
        "model": ("s.model",),
        "user": ("s.user_id",),
        "key": (KEY,),
    },
}
KEYED_COLUMNS = {TAG: "l.tags", LABEL: "s.attributes"}
DAYS = {
    BILL: "(l.charge_period_start AT TIME ZONE %(zone)s)::date",
    HARDWARE: "(q.at AT TIME ZONE %(zone)s)::date",
    REQUESTS: "(s.started_at AT TIME ZONE %(zone)s)::date",
}
NO_RULE = -1


class Matcher:
    """Conditions as SQL over the columns of `columns()`, and the parameters that they name.

    A field is read and put in small letters once a row, however many rules look at it.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.values: dict[str, Any] = {}
        self._read: dict[str, str] = {}

    def columns(self) -> str:
        """To be selected, beside `day`, by the query that the conditions are asked of."""
        return "".join(f", {said} AS {name}" for said, name in self._read.items())

    def case(self, rules: Sequence[Rule], keys: Sequence[int] | None = None) -> str:
        """The key (its place, if none is given) of the rule that takes the row; else NO_RULE."""
        if not rules:
            return str(NO_RULE)
        arms = " ".join(
            f"WHEN {self._holds(rule)} THEN {key}"
            for rule, key in zip(rules, keys or range(len(rules)), strict=True)
        )
        return f"CASE {arms} ELSE {NO_RULE} END"

    def _holds(self, rule: Rule) -> str:
        read_from = dict(rule.read_from)
        said = [self._one(condition, read_from) for condition in rule.conditions]
        if rule.first_day:
            said.append(f"day >= {self._named(rule.first_day)}::date")
        if rule.last_day:
            said.append(f"day <= {self._named(rule.last_day)}::date")
        return " AND ".join(said) if said else "true"

    def _one(self, condition: Condition, read_from: Mapping[str, tuple[str, ...]]) -> str:
        names = self._names(condition.field, read_from)
        if condition.operator == PRESENT:
            return f"concat({', '.join(names)}) <> ''"
        if condition.operator == MISSING:
            return " AND ".join(f"{name} = ''" for name in names)
        values = [value.lower() for value in condition.values]
        if condition.operator == IS_NOT:
            said = self._named(values)
            return " AND ".join(f"{name} <> ALL({said}::text[])" for name in names)
        if condition.operator == IS:
            said = self._named(values)
            return f"({' OR '.join(f'{name} = ANY({said}::text[])' for name in names)})"
        pattern = {STARTS: "{}%", CONTAINS: "%{}%"}[condition.operator]
        said = self._named([pattern.format(_escaped(value)) for value in values])
        return f"({' OR '.join(f'{name} LIKE ANY({said}::text[])' for name in names)})"

    def _names(self, field: str, read_from: Mapping[str, tuple[str, ...]]) -> list[str]:
        columns = COLUMNS[self.origin].get(field, ())
        prefix = KEYED.get(self.origin)
        if prefix and field.startswith(prefix):
            wanted = field.removeprefix(prefix)
            source = KEYED_COLUMNS[prefix]
            keys = [self._key(key) for key in read_from.get(wanted, (wanted,))]
            told = ", ".join(f"nullif({source} ->> {key}::text, '')" for key in keys)
            columns = (f"coalesce({told})",)
        return [self._column(f"lower(coalesce({column}, ''))") for column in columns]

    def _key(self, wanted: str) -> str:
        """The same key has the same name, so that its column is read once."""
        name = next((name for name, value in self.values.items() if value == wanted), None)
        return f"%({name})s" if name else self._named(wanted)

    def _column(self, said: str) -> str:
        return self._read.setdefault(said, f"field{len(self._read)}")

    def _named(self, value: Any) -> str:
        name = f"m{len(self.values)}"
        self.values[name] = value
        return f"%({name})s"


def _escaped(text: str) -> str:
    """A sign of LIKE, taken as itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
