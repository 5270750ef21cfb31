"""Trying a source's connection out, and reading its past."""

from __future__ import annotations

from datetime import UTC

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    DictField,
    Field,
    FloatField,
    IntegerField,
    Serializer,
)

from finops.actions import backfills, replays, trying
from finops.problems import Problem
from finops.queries.filters import FilterError
from ingest import backfill
from ingest.models import Source
from ingest.models.work import JOB_STATES
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, PullSource, TracePullSource

from .base import Api, told
from .parameters import only
from .people import body_of
from .shapes import Instant
from .source_shapes import CountsShape
from .traffic import visible_source

MANAGE = "finops.manage_sources"
NOT_PULLED = "Nothing is fetched for this source, so there is no connection to test."
NO_PAST = "This source keeps no past that could be read."


class TriedShape(Serializer):
    works = BooleanField()
    said = CharField(help_text="What was found, or what is wrong with the fix.")
    setting = CharField(allow_blank=True, help_text="The setting to mend; empty: not one alone.")


class TryRequest(Serializer):
    kind = CharField(max_length=40, help_text="As of a source that is pulled.")
    config = DictField(default=dict, help_text="Its settings, secrets too; nothing is saved.")


class BackfillRequest(Serializer):
    """`from` is no name that Python allows for an attribute."""

    to = DateTimeField(default_timezone=UTC, help_text="The moment to stop before.")

    def get_fields(self) -> dict[str, Field]:
        begin = DateTimeField(default_timezone=UTC, help_text="The first moment to read.")
        return {"from": begin, **super().get_fields()}


class BackfillShape(Serializer):
    id = IntegerField(source="job_id")
    to = Instant(source="end")
    reached = Instant(help_text="Everything before this has been read.")
    share = FloatField(help_text="From 0 to 1.")
    state = ChoiceField(choices=JOB_STATES)
    waits_until = Instant(allow_null=True, help_text="Where it must wait before it goes on.")
    note = CharField(allow_blank=True, help_text="Why it waits or ended early.")
    counts = CountsShape()
    began_at = Instant()
    finished_at = Instant(allow_null=True)

    def get_fields(self) -> dict[str, Field]:
        return {"from": Instant(source="start"), **super().get_fields()}


class BackfillListShape(Serializer):
    data = BackfillShape(many=True)
    next = CharField(allow_null=True)


class TrySettings(Api):
    permissions = {"POST": MANAGE}
    over_everything = True

    @told(
        "Test the connection of settings that are not saved",
        TriedShape,
        body=TryRequest,
        name="sources_test",
        group="Sources",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(TryRequest, request)
        adapter = REGISTRY.get(wanted["kind"])
        if not isinstance(adapter, PullSource):
            kinds = ", ".join(kind for kind, one in REGISTRY.items() if isinstance(one, PullSource))
            refusal = FilterError("kind", f"Nothing is fetched for it; use one of {kinds}.")
            raise Problem(400, "Some fields are wrong.", [refusal])
        try:
            config = adapter.check_entered(wanted["config"])
        except BadConfig as bad:
            message = bad.message[:1].upper() + bad.message[1:]
            refusal = FilterError(f"config.{bad.field[:40]}", message)
            raise Problem(400, "Some fields are wrong.", [refusal]) from bad
        tried = trying.settings(adapter, config, by=request.user, via="api")
        return self.answer(TriedShape, tried)


class TrySource(Api):
    permissions = {"POST": MANAGE}
    over_everything = True

    @told(
        "Test the connection of a source as it stands",
        TriedShape,
        name="source_test",
        group="Sources",
    )
    def post(self, request: Request, pk: int) -> Response:
        source = visible_source(request, pk)
        if not trying.can_be_tried(source.kind):
            raise Problem(409, NOT_PULLED)
        return self.answer(TriedShape, trying.source(source, by=request.user, via="api"))


class Backfills(Api):
    permissions = {"GET": "finops.view_sources", "POST": MANAGE}

    @told(
        "What is or was read of a source's past in the last day, newest first",
        BackfillListShape,
        name="source_backfills",
        group="Sources",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        found = {"data": backfill.progress(visible_source(request, pk)), "next": None}
        return self.answer(BackfillListShape, found)

    @told(
        "Read a stretch of a source's past; the workers do it",
        BackfillShape,
        body=BackfillRequest,
        status=201,
        name="source_backfills_create",
        group="Sources",
    )
    def post(self, request: Request, pk: int) -> Response:
        if not request.user.has_perm(MANAGE):
            raise Problem(403, "Your role does not allow this: it must be over the organisation.")
        wanted = body_of(BackfillRequest, request)
        source = visible_source(request, pk)
        _demand_past(source)
        try:
            begun = backfills.start(
                source, wanted["from"], wanted["to"], by=request.user, via="api"
            )
        except backfill.Refused as refused:
            raise Problem(409, str(refused)) from refused
        return self.answer(BackfillShape, begun, status=201)


class OneBackfill(Api):
    permissions = {"DELETE": MANAGE}
    over_everything = True

    @told(
        "Stop reading a source's past; what was read stays",
        None,
        status=204,
        name="source_backfills_stop",
        group="Sources",
    )
    def delete(self, request: Request, pk: int, job: int) -> Response:
        source = visible_source(request, pk)
        if not backfills.stop(source, int(job), by=request.user, via="api"):
            raise Problem(404, "Nothing of this source's past is being read by that number.")
        return Response(status=204)


class ReplayRequest(Serializer):
    row = IntegerField(required=False, min_value=1, help_text="Only the row of this id.")
    reason = CharField(required=False, max_length=60, help_text="Only rows refused for this.")
    after = IntegerField(
        required=False, min_value=0, help_text="Go on after this row: `last_id` of the answer."
    )


class StillShape(Serializer):
    reason = CharField()
    detail = CharField(help_text="What to mend, or why it cannot be tried again.")
    rows = IntegerField()


class ReplayShape(Serializer):
    """What became of the rows; each was a transaction of its own."""

    taken = IntegerField(help_text="Facts now.")
    refused = IntegerField(help_text="Still not taken.")
    nothing_kept = IntegerField(help_text="Not enough was kept to try them; send them again.")
    left = IntegerField(help_text="Not tried yet: ask again with `after`.")
    last_id = IntegerField()
    still = StillShape(many=True)


class Replay(Api):
    permissions = {"POST": MANAGE}
    over_everything = True

    @told(
        "Try refused rows again, from what quarantine kept of them: one, those of a reason, or all",
        ReplayShape,
        body=ReplayRequest,
        name="source_rejects_replay",
        group="Sources",
    )
    def post(self, request: Request, pk: int) -> Response:
        source = visible_source(request, pk)
        wanted = body_of(ReplayRequest, request)
        tally = replays.replay(
            source,
            reject_id=wanted.get("row"),
            reason=wanted.get("reason", ""),
            after=wanted.get("after", 0),
            by=request.user,
            via="api",
        )
        still = [
            {"reason": reason, "detail": detail, "rows": rows}
            for (reason, detail), rows in tally.reasons.most_common()
        ]
        told = {name: getattr(tally, name) for name in COUNTED}
        return self.answer(ReplayShape, {**told, "still": still})


COUNTED = ("taken", "refused", "nothing_kept", "left", "last_id")


def _demand_past(source: Source) -> None:
    if not isinstance(REGISTRY.get(source.kind), TracePullSource):
        raise Problem(409, NO_PAST)
