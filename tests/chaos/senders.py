"""Where the facts of a campaign come from: stubs that remember what they sent."""

from __future__ import annotations

import csv
import http.client
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.chaos.oracle import Sent
from tests.ingest.sources.langfuse_stub import Observation, Score, Stub, Trace, serving
from tests.ingest.sources.otlp_body import body

ANSWERS_WITHIN_S = 90.0
MOST_AHEAD = timedelta(minutes=4)
"""A sender's clock may be ahead by five minutes."""

_numbers = count(1)


def a_cost(dice: random.Random) -> Decimal:
    return Decimal(dice.randint(1, 10**9)).scaleb(-8)


def new_project(name: str) -> Any:
    from ingest.models import Project

    return Project.objects.create(slug=f"{name}-{next(_numbers)}", name=name)


# ---- pulled ------------------------------------------------------------------------------------


class Pulled:
    """A Langfuse server and the source that reads it."""

    def __init__(self, stack: ExitStack, dice: random.Random, interval_s: int | None) -> None:
        from ingest import source_secrets
        from ingest.models import Source
        from ingest.sources import REGISTRY

        self.dice, self.stub = dice, stack.enter_context(serving(Stub()))
        adapter = REGISTRY["langfuse"]
        config = {
            **self.stub.config, "late_days": 1, "page_size": 9,
            "requests_per_minute": 10_000, "requests_per_day": 10_000_000,
        }  # fmt: skip
        plain, secrets = source_secrets.split(adapter, adapter.check_config(config))
        project = new_project("pulled")
        self.source = Source.objects.create(
            kind="langfuse", name=project.slug, project=project, config=plain, secrets=secrets,
            interval_s=interval_s,
        )  # fmt: skip
        self.sent: list[Sent] = []

    def adds(self, rows: int = 9) -> None:
        """Calls of the last minutes, each with its evaluation."""
        start = datetime.now(UTC) - timedelta(minutes=4)
        start = start.replace(microsecond=start.microsecond // 1000 * 1000)
        for number in range(rows):
            name, at = f"c{next(_numbers)}", start + timedelta(seconds=25 * number)
            cost, given, said = a_cost(self.dice), self.dice.randint(1, 5000), number
            self.stub.add(
                Trace(f"t-{name}", at),
                Observation(
                    name, f"t-{name}", at, usage={"input": given, "output": said}, cost=str(cost)
                ),
                Score(f"s-{name}", f"t-{name}", at, value=number / 7),
            )
            self.sent.append(Sent(name, given, said, cost))

    def asks(self) -> None:
        """A pull is due."""
        from django.utils import timezone

        from ingest import jobs

        jobs.enqueue("pull", str(self.source.pk), timezone.now())

    def retires(self) -> None:
        self.source.enabled = False
        self.source.save(update_fields=["enabled"])


# ---- pushed ------------------------------------------------------------------------------------


@dataclass
class Pushed:
    """An application that sends its spans until they are acknowledged, and now and then again."""

    url: str
    dice: random.Random
    sent: list[Sent] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    dropped: int = 0
    """Requests that got no answer."""

    def __post_init__(self) -> None:
        from ingest import tokens
        from ingest.models import Source

        project = new_project("pushed")
        self.source = Source.objects.create(kind="otlp", name=project.slug, project=project)
        self.token = tokens.issue(self.source, "chaos", "traces:write", "chaos")[1]

    def writes(self, bodies: int = 3, spans: int = 8) -> list[bytes]:
        made = [body(*(self._span() for _ in range(spans))) for _ in range(bodies)]
        self.bodies += made
        return made

    def _span(self) -> dict[str, Any]:
        number, cost = next(_numbers), a_cost(self.dice)
        given, said = self.dice.randint(1, 5000), self.dice.randint(1, 500)
        span_id = number.to_bytes(8, "big")
        moment = datetime.now(UTC) + self.dice.uniform(-30, 1) * MOST_AHEAD
        start_ns = int(moment.timestamp() * 1e9)
        self.sent.append(Sent(span_id.hex(), given, said, cost))
        return {
            "_trace_id": number.to_bytes(16, "big"), "_span_id": span_id,
            "_start_ns": start_ns, "_end_ns": start_ns + 10_000_000,
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": said,
            "gen_ai.usage.cost": float(cost),
        }  # fmt: skip

    def delivers(self, fresh: list[bytes], place: str = "") -> None:
        """Everything at least once, some of it twice or thrice, some of long ago, in any order."""
        again = self.dice.choices(fresh, k=2) + self.dice.choices(self.bodies, k=2)
        letters = [(one, "") for one in fresh + again]
        self.dice.shuffle(letters)
        if place:
            at = self.dice.randrange(len(letters))
            letters[at] = (letters[at][0], place)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda letter: self._until_taken(*letter), letters))

    def _until_taken(self, payload: bytes, place: str) -> None:
        ends = time.monotonic() + ANSWERS_WITHIN_S
        while not self._post(payload, place):
            if time.monotonic() > ends:
                raise TimeoutError("the web server takes nothing any more")
            place = ""
            time.sleep(0.05)

    def _post(self, payload: bytes, place: str) -> bool:
        parts = urlsplit(self.url)
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/x-protobuf",
            **({"X-Failpoint": place} if place else {}),
        }
        line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            line.request("POST", "/v1/traces", payload, headers)
            answer = line.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.dropped += 1
            return False
        finally:
            line.close()
        if answer.status == 503:
            return False
        if answer.status != 200 or b"not taken" in content:
            raise RuntimeError(f"{answer.status}: {content[:300]!r}")
        return True


# ---- billed ------------------------------------------------------------------------------------

MONTHS = (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
LINES = 12


class Billed:
    """A provider that restates two months again and again."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        from ingest.models import Source

        self.folder, self.dice = folder, dice
        number = next(_numbers)
        self.source = Source.objects.create(kind="focus_csv", name=f"bills-{number}")
        self.account = f"account-{number}"
        self.files: list[tuple[Path, Decimal]] = []

    def writes(self) -> tuple[Path, Decimal]:
        """A file with both months, and what it adds up to."""
        rows = list(self._rows())
        path = self.folder / f"bill-{next(_numbers)}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        total = sum((Decimal(row["EffectiveCost"]) for row in rows), Decimal())
        self.files.append((path, total))
        return path, total

    def _rows(self) -> Iterator[dict[str, str]]:
        for begin in MONTHS:
            end = (begin + timedelta(days=32)).replace(day=1)
            for number in range(LINES):
                start = begin + timedelta(days=number)
                cost = str(a_cost(self.dice))
                yield {
                    "BillingAccountId": self.account,
                    "BillingCurrency": "USD",
                    "BillingPeriodStart": begin.isoformat(),
                    "BillingPeriodEnd": end.isoformat(),
                    "ChargePeriodStart": start.isoformat(),
                    "ChargePeriodEnd": (start + timedelta(days=1)).isoformat(),
                    "ChargeCategory": "Usage",
                    "BilledCost": cost,
                    "EffectiveCost": cost,
                    "ListCost": cost,
                    "ContractedCost": cost,
                    "ProviderName": "AWS",
                    "PublisherName": "AWS",
                    "InvoiceIssuerName": "AWS",
                    "ServiceName": "AmazonEC2",
                    "ServiceCategory": "Compute",
                }

    def believed(self) -> tuple[Decimal, int]:
        """What the books say now: the amount of the current periods, and their lines."""
        from django.db.models import Sum

        from ingest.models import BillDay

        found = BillDay.objects.filter(
            period__source_id=self.source.pk, period__known_to=None
        ).aggregate(cost=Sum("effective_cost"), lines=Sum("lines"))
        return found["cost"] or Decimal(), found["lines"] or 0
