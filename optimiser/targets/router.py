"""What a router's config says: which model answers, which one is tried, for how much and how long.

A router is the public model whose requests its `base` answers, except that `weight` of them go to
`canary` until `lease_expires_at`, by the clock of the machine it runs on. Pure. Knows the four
parameters that say so; refuses to touch anything else of the config.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

PARAMETERS = ("base", "canary", "weight", "lease_expires_at")
NO_LEASE = datetime.fromtimestamp(0, UTC)


class NoRouter(ValueError):
    """The config is not one of a router, or says something a router cannot do."""


@dataclass(frozen=True, slots=True)
class Arms:
    """Who answers. Without a canary, or once the lease has lapsed, the base answers everything."""

    base: str
    canary: str = ""
    weight: float = 0.0
    lease_expires_at: datetime = NO_LEASE

    def is_splitting(self, now: datetime) -> bool:
        return bool(self.canary) and self.weight > 0 and now < self.lease_expires_at


def is_router(config: Mapping[str, Any]) -> bool:
    parameters = config.get("parameters")
    return isinstance(parameters, Mapping) and all(name in parameters for name in PARAMETERS)


def arms(config: Mapping[str, Any]) -> Arms:
    """What the parameters say; NoRouter names the one that cannot be."""
    if not is_router(config):
        raise NoRouter(
            f"{config.get('name', 'This model')} is no router: its parameters do not name "
            f"{', '.join(PARAMETERS)}."
        )
    said = {name: _text(config["parameters"][name]) for name in PARAMETERS}
    found = Arms(
        said["base"],
        said["canary"],
        _number("weight", said["weight"]),
        _moment(_number("lease_expires_at", said["lease_expires_at"])),
    )
    _check(found, str(config.get("name", "")))
    return found


def split(
    config: Mapping[str, Any], canary: str, weight: float, lease_expires_at: datetime
) -> dict[str, Any]:
    """The same config with a share of the traffic on the canary until the lease ends.

    Called again with a later end it renews the lease.
    """
    return _with(config, Arms(arms(config).base, canary, weight, lease_expires_at))


def promoted(config: Mapping[str, Any], new_base: str) -> dict[str, Any]:
    """The same config with another model answering everything."""
    return _with(config, Arms(new_base))


def settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same config without an experiment: what the router does when no lease runs."""
    return _with(config, Arms(arms(config).base))


def _with(config: Mapping[str, Any], wanted: Arms) -> dict[str, Any]:
    arms(config)
    _check(wanted, str(config.get("name", "")))
    said = {
        "base": wanted.base,
        "canary": wanted.canary,
        "weight": f"{wanted.weight:g}",
        # Whole microseconds, written out: 17 digits of a float would read back differently.
        "lease_expires_at": f"{wanted.lease_expires_at.timestamp():.6f}".rstrip("0").rstrip("."),
    }
    parameters = {name: {"string_value": value} for name, value in said.items()}
    return {**config, "parameters": {**config["parameters"], **parameters}}


def _check(wanted: Arms, router: str) -> None:
    if not wanted.base:
        raise NoRouter("A router needs a base, which answers when nothing else does.")
    if router in (wanted.base, wanted.canary):
        raise NoRouter(f"The router {router} cannot send requests to itself.")
    if wanted.canary == wanted.base:
        raise NoRouter(f"{wanted.base} cannot be base and canary at once.")
    if not 0 <= wanted.weight <= 1:
        raise NoRouter(f"The weight is {wanted.weight:g}: use a share from 0 to 1.")
    if wanted.weight > 0 and not wanted.canary:
        raise NoRouter("A weight above 0 needs a canary to go to.")


def _text(parameter: Any) -> str:
    value = parameter.get("string_value", "") if isinstance(parameter, Mapping) else None
    if not isinstance(value, str):
        raise NoRouter('A parameter is written {"string_value": "text"}.')
    return value


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise NoRouter(f"{name} is {text!r}: use a number.")
    return number


def _moment(unix_s: float) -> datetime:
    try:
        return datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError):
        raise NoRouter(f"lease_expires_at is {unix_s:g}: use seconds since 1970.") from None
