"""Which user of Slack acts as whom: read it and end it. Links are made on the page, signed in."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, IntegerField, Serializer

from finops.actions.slack import linking
from finops.problems import Problem
from finops.queries import slack as queries

from .base import Api, told
from .parameters import only
from .shapes import Instant

GROUP = "Slack"


class SlackUserShape(Serializer):
    id = IntegerField(source="pk")
    slack_name = CharField(help_text="As Slack told it when it was linked.")
    slack_user_id = CharField()
    team_id = CharField(help_text="Slack's id of the workspace.")
    user = CharField(source="user.username")
    linked_at = Instant()


class SlackUserListShape(Serializer):
    data = SlackUserShape(many=True)
    next = CharField(allow_null=True)


class SlackUsers(Api):
    permissions = {"GET": None}

    @told(
        "One's own users of Slack; everybody's for whoever manages people",
        SlackUserListShape,
        name="slack_users",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request)
        return self.answer(SlackUserListShape, {"data": queries.links(request.user), "next": None})


class OneSlackUser(Api):
    permissions = {"DELETE": None}

    @told("End it: that user of Slack acts for nobody", None, status=204,
          name="slack_user_remove", group=GROUP)  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        held = queries.one_link(request.user, int(pk))
        if held is None:
            raise Problem(404, "There is no such Slack user that you may see.")
        linking.unlink(held, by=request.user, via="api")
        return Response(status=204)
