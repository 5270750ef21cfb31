"""Trying refused rows again: first what is meant, then what came of it.

Without a script: the question is a page, its answer a post, and the same page tells the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from finops.actions import replays
from finops.queries.sources import SourceRow
from ingest import again
from ingest.again import Tally

from .connecting import demand, found
from .page import View, link, needs, page
from .tables import Column, Row, Table, count_cell, words_cell


@dataclass(frozen=True, slots=True)
class Meant:
    """Which rows: one, those of a reason, or all of the source."""

    reject_id: int | None
    reason: str
    after: int

    @classmethod
    def of(cls, said: Any) -> Meant:
        row, after = str(said.get("row", "")), str(said.get("after", ""))
        return cls(_whole(row), str(said.get("reason", ""))[:60], _whole(after) or 0)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


@needs("finops.manage_sources")
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, "finops.manage_sources")
    view = View.of(request, "row", "reason", "after")
    row = found(view, pk)
    if request.method != "POST":
        return again_page(view, row, Meant.of(request.GET))
    meant = Meant.of(request.POST)
    tally = replays.replay(
        row.source, reject_id=meant.reject_id, reason=meant.reason, after=meant.after,
        by=request.user, via="page",
    )  # fmt: skip
    return again_page(view, row, meant, tally)


def again_page(
    view: View, row: SourceRow, meant: Meant, tally: Tally | None = None
) -> HttpResponse:
    source = row.source
    back = link(reverse("finops:source", args=[source.pk]), view.filters)
    rows = again.waiting(source, reject_id=meant.reject_id, reason=meant.reason)
    return page(
        view,
        "finops/source_again.html",
        "Try refused rows again",
        lead=question(meant, rows.count()) if tally is None else answer(tally),
        crumbs=(("Sources", view.to("sources")), (source.name, back)),
        with_bar=False,
        is_sample=source.is_sample,
        meant=meant,
        tally=tally,
        count=rows.count(),
        can_be_tried=rows.exclude(form="").count(),
        facts=facts(tally) if tally else (),
        still=still_table(tally) if tally and tally.reasons else None,
        action=reverse("finops:source-again", args=[source.pk]),
        back_href=back,
    )


def question(meant: Meant, count: int) -> str:
    if not count:
        return "There is nothing to try: no such row is in quarantine any more."
    rows = "1 refused row" if count == 1 else f"{count:,} refused rows"
    why = f" refused as “{meant.reason.replace('_', ' ')}”" if meant.reason else ""
    return f"{rows}{why} will be read once more, as if just received."


def answer(tally: Tally) -> str:
    if not tally.tried:
        return "There was nothing to try: no such row is in quarantine any more."
    said = f"{tally.taken:,} of {tally.tried:,} {'row' if tally.tried == 1 else 'rows'} taken now."
    return f"{said} {tally.left:,} are left to try." if tally.left else said


def facts(tally: Tally) -> list[tuple[str, str]]:
    return [
        ("Tried", f"{tally.tried:,}"),
        ("Taken now", f"{tally.taken:,}"),
        ("Still refused", f"{tally.refused:,}"),
        ("Nothing kept to try again", f"{tally.nothing_kept:,}"),
        ("Left to try", f"{tally.left:,}"),
    ]


def still_table(tally: Tally) -> Table:
    columns = (Column("Reason"), Column("What to mend"), Column("Rows", number=True))
    made = tuple(
        Row((words_cell(reason.replace("_", " ")), words_cell(detail), count_cell(rows)))
        for (reason, detail), rows in tally.reasons.most_common(50)
    )
    return Table("still", "Why the others are not taken", columns, made)
