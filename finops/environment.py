"""Every setting that comes from the environment: its name, meaning, default and check.

Knows text in, value out. Refuses guessing: an unknown or bad variable is one sentence and a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

PREFIX = "BREAKEVEN_"

LAUNCHER_ONLY = frozenset(
    {
        *("HOME", "PORT", "REQUIRE"),
        *("PROBE_URL", "PROBE_TOKEN", "PROBE_POOL", "PROBE_HOST", "PROBE_SPOOL"),
        *("PROBE_TOKEN_FILE", "PROBE_METRICS_ADDRESS"),
    }
)
"""Read by `./run`, the probe and the tests, not by the application."""


class BadEnvironment(Exception):
    """Says in one sentence which variable is wrong and what would be right."""


@dataclass(frozen=True)
class Variable:
    name: str
    help: str
    default: str | None = None
    """None: it must be set."""
    parse: Callable[[str], Any] = str
    secret: bool = False


def boolean(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.strip().lower() not in known:
        raise ValueError("use 1 or 0")
    return known[text.strip().lower()]


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError("use a whole number from 1")
    return int(text)


def url(*schemes: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text and not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"use a URL that starts with {schemes[0]}://")
        return text

    return check


def site(text: str) -> str:
    parts = urlsplit(text)
    if text and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError("use a URL such as https://finops.example")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("use the address alone, without a user, ? or #")
    return text.rstrip("/")


def port(text: str) -> int:
    if positive(text) > 65535:
        raise ValueError("use a port from 1 to 65535")
    return int(text)


def sender(text: str) -> str:
    if text and ("@" not in text or any(sign in text for sign in "\r\n")):
        raise ValueError("use a mail address such as breakeven@example.com")
    return text


def one_of(*choices: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return text

    return check


def time_zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError("use an IANA name such as Europe/Berlin")
    return ZoneInfo(text).key


def currency(text: str) -> str:
    if not (len(text) == 3 and text.isascii() and text.isupper()):
        raise ValueError("use an ISO 4217 code such as USD")
    return text


def long_secret(text: str) -> str:
    if len(text) < 32:
        raise ValueError("use at least 32 characters")
    return text


VARIABLES = (
    Variable(
        "DATABASE_URL",
        "PostgreSQL, as in `postgresql://user:password@host:5432/name`.",
        parse=url("postgresql", "postgres"),
        secret=True,
    ),
    Variable(
        "BROKER_URL",
        "Celery's broker: `amqp://…`, `redis://…` or `redis+socket://…`.",
        parse=url("amqp", "redis", "rediss", "redis+socket"),
        secret=True,
    ),
    Variable(
        "CACHE_URL",
        "Valkey or Redis for the cache: `redis://…` or `unix://…`.",
        parse=url("redis", "rediss", "unix"),
        secret=True,
    ),
    Variable("SECRET_KEY", "Signs sessions; at least 32 characters.", None, long_secret, True),
    Variable(
        "ENCRYPTION_KEYS",
        "Fernet keys, newest first, separated by commas; they encrypt secrets and quarantine.",
        parse=words,
        secret=True,
    ),
    Variable(
        "PRIVACY_KEY",
        "Key of the salted prompt hashes; at least 32 characters. Never stored in the database.",
        None,
        long_secret,
        True,
    ),
    Variable("METRICS_TOKEN", "Bearer token that may read /metrics; empty: nobody.", "", str, True),
    Variable(
        "ALLOWED_HOSTS", "Host names the site answers to.", "localhost,127.0.0.1,[::1]", words
    ),
    Variable(
        "TRUSTED_ORIGINS", "Origins behind a proxy, as in `https://finops.example`.", "", words
    ),
    Variable("HTTPS", "1 behind TLS: secure cookies, HSTS, redirects.", "1", boolean),
    Variable("DEBUG", "1 shows tracebacks in the browser; never in production.", "0", boolean),
    Variable(
        "FAILPOINT",
        "For tests, with `BREAKEVEN_DEBUG=1` alone: the step at which a process kills itself.",
        "",
    ),
    Variable("TIME_ZONE", "Accounting time zone: where a day begins.", "UTC", time_zone),
    Variable("CURRENCY", "The currency the overview opens with.", "USD", currency),
    Variable("LOG_FORMAT", "`json` or `console`.", "json", one_of("json", "console")),
    Variable(
        "LOG_LEVEL",
        "Least level that is logged.",
        "INFO",
        one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    Variable("SAMPLE_DATA", "1 marks every page as made-up sample data.", "0", boolean),
    Variable(
        "PRIVATE_ADDRESSES",
        "Private networks that sources may be fetched from, as in `10.0.0.0/8,127.0.0.1/32`.",
        "",
        words,
    ),
    Variable("SPAN_DAYS", "Days that raw spans are kept.", "90", positive),
    Variable("SAMPLE_DAYS", "Days that raw samples are kept.", "30", positive),
    Variable(
        "PUBLIC_URL",
        "Where people reach the site, as in `https://finops.example`; messages link there. Empty:"
        " the first trusted origin.",
        "",
        site,
    ),
    Variable(
        "SLACK_API_URL",
        "Slack's Web API, for channels of kind `slack_app`; of GovSlack"
        " `https://slack-gov.com/api`.",
        "https://slack.com/api",
        site,
    ),
    Variable("SMTP_HOST", "The server that email channels send through; empty: no email.", ""),
    Variable("SMTP_PORT", "Its port.", "587", port),
    Variable("SMTP_USER", "Signs in there; empty: nobody does.", ""),
    Variable("SMTP_PASSWORD", "Of that user.", "", str, True),
    Variable(
        "SMTP_SECURITY",
        "`starttls`, `tls` from the first byte, or `none`.",
        "starttls",
        one_of("starttls", "tls", "none"),
    ),
    Variable("SMTP_FROM", "Whom mail is from, as in `breakeven@example.com`.", "", sender),
    Variable("DATABASE_POOL", "Most database connections of one process.", "10", positive),
)


def read(environ: Mapping[str, str]) -> dict[str, Any]:
    """Name → value for every variable, taking `NAME_FILE` where a secret is mounted as a file."""
    known = {variable.name for variable in VARIABLES}
    for full in environ:
        if full.startswith(PREFIX):
            name = full.removeprefix(PREFIX)
            if name not in known | LAUNCHER_ONLY and name.removesuffix("_FILE") not in (
                known | LAUNCHER_ONLY
            ):
                raise BadEnvironment(f"{full} is not a setting of Breakeven; {_nearest(name)}")
    return {variable.name: _value(variable, environ) for variable in VARIABLES}


def _value(variable: Variable, environ: Mapping[str, str]) -> Any:
    full = PREFIX + variable.name
    text, file = environ.get(full), environ.get(f"{full}_FILE")
    if text is not None and file is not None:
        raise BadEnvironment(f"{full} and {full}_FILE are both set; keep one of them.")
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadEnvironment(f"{full}_FILE cannot be read: {error.strerror}.") from error
    if text is None:
        text = variable.default
    if text is None:
        raise BadEnvironment(f"{full} is not set: {variable.help}")
    try:
        return variable.parse(text)
    except ValueError as error:
        shown = "" if variable.secret else f" is {text!r}"
        raise BadEnvironment(f"{full}{shown}: {error}.") from error


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, [variable.name for variable in VARIABLES], n=1)
    return f"did you mean {PREFIX}{close[0]}?" if close else "docs/settings.md lists them."
