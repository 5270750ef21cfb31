"""Channels: where alerts are told, what was sent there and what came of it. For admins alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DictField,
    FloatField,
    IntegerField,
    Serializer,
)

from finops.actions.channels import managing
from finops.actions.channels.managing import NewChannel, Refused
from finops.models import Message
from finops.models.channels import CHANNEL_KINDS, CHANNEL_STATES, MESSAGE_STATES, REMOVED
from finops.problems import Problem
from finops.queries import channels as queries
from finops.queries.channels import ChannelRow
from finops.queries.filters import FilterError

from .base import Api, told
from .parameters import PAGE, limit_of, only, refuse, text_of, text_parameter
from .people import body_of
from .shapes import Instant

GROUP = "Channels"
MANAGE = "finops.manage_channels"
Done = TypeVar("Done")


class ChannelShape(Serializer):
    """Its secret goes in and never comes out."""

    id = IntegerField(source="channel.pk")
    kind = ChoiceField(source="channel.kind", choices=CHANNEL_KINDS)
    name = CharField(source="channel.name")
    config = DictField(source="channel.config")
    state = ChoiceField(source="channel.state", choices=CHANNEL_STATES)
    state_reason = CharField(source="channel.state_reason", help_text="Why it is off.")
    state_at = Instant(source="channel.state_at")
    paused_until = Instant(
        source="channel.paused_until",
        allow_null=True,
        help_text="The receiver asked for no message before this time.",
    )
    waiting = IntegerField(help_text="Messages that will be sent.")
    not_delivered = IntegerField(help_text="Messages kept while the channel was off.")
    last_sent_at = Instant(allow_null=True)
    created_at = Instant(source="channel.created_at")


class ChannelListShape(Serializer):
    data = ChannelShape(many=True)
    next = CharField(allow_null=True)


class NewChannelShape(Serializer):
    channel = ChannelShape()
    signing_key = CharField(
        allow_blank=True, help_text="Of a webhook: in this answer and nowhere else."
    )


class SigningKeyShape(Serializer):
    signing_key = CharField(
        allow_blank=True, help_text="Of a webhook; the one before signs beside it for 24 hours."
    )


class ChannelRequest(Serializer):
    kind = ChoiceField(choices=CHANNEL_KINDS)
    name = CharField(max_length=managing.NAME_LENGTH)
    config = DictField(
        default=dict,
        help_text='Of a webhook {"url": "…"}, of email {"to": ["…"]}, of slack_app'
        ' {"channel": "C…", "app_id": "A…"}.',
    )
    secret = DictField(
        default=dict,
        help_text='Of slack_webhook {"url": "…"}, of slack_app'
        ' {"bot_token": "xoxb-…", "signing_secret": "…"}.',
    )


class ChannelChangeRequest(Serializer):
    """What is left out stays as it is."""

    name = CharField(max_length=managing.NAME_LENGTH, default=None)
    config = DictField(default=None)
    enabled = BooleanField(default=None)
    send_again = BooleanField(
        default=False, help_text="When it is switched on: send what was not delivered."
    )
    why = CharField(default="", max_length=300, help_text="When it is switched off.")


class ChannelSecretRequest(Serializer):
    secret = DictField(
        default=dict,
        help_text='Of slack_webhook {"url": "…"}, of slack_app {"bot_token": "xoxb-…",'
        ' "signing_secret": "…"}; a webhook gets a new key.',
    )


class AttemptShape(Serializer):
    at = Instant()
    delivered = BooleanField()
    status_code = IntegerField(allow_null=True)
    retry_after_s = FloatField(allow_null=True)
    duration_ms = FloatField(allow_null=True, help_text="null: the worker was killed.")
    problem = CharField()
    response_excerpt = CharField()


class MessageShape(Serializer):
    id = IntegerField(source="pk")
    public_id = CharField(help_text="Sent with each attempt, so that a receiver can drop it.")
    alert_id = CharField()
    event = CharField()
    at = Instant()
    title = CharField(source="payload.title")
    state = ChoiceField(choices=MESSAGE_STATES)
    attempts = IntegerField(help_text="Since it began to wait.")
    next_try_at = Instant()
    created_at = Instant()
    sent_at = Instant(allow_null=True)
    last_problem = CharField()


class MessagePageShape(Serializer):
    data = MessageShape(many=True, source="rows")
    next = CharField(allow_null=True)


class OneMessageShape(Serializer):
    message = MessageShape()
    text = CharField()
    log = AttemptShape(many=True)


class ChannelApi(Api):
    over_everything = True
    write_scope = "admin"


class Channels(ChannelApi):
    permissions = {"GET": MANAGE, "POST": MANAGE}

    @told("The channels and how they do", ChannelListShape, name="channels", group=GROUP)
    def get(self, request: Request) -> Response:
        only(request)
        return self.answer(ChannelListShape, {"data": queries.channel_list(), "next": None})

    @told(
        "Add a channel; a webhook's signing key is in this answer and nowhere else",
        NewChannelShape,
        body=ChannelRequest,
        status=201,
        name="channels_create",
        group=GROUP,
    )
    def post(self, request: Request) -> Response:
        wanted = NewChannel(**body_of(ChannelRequest, request))
        channel, key = _sound(lambda: managing.add(wanted, by=request.user, via="api"))
        made = {"channel": row_of(channel.pk), "signing_key": key}
        return self.answer(NewChannelShape, made, status=201)


class OneChannel(ChannelApi):
    permissions = {"GET": MANAGE, "PATCH": MANAGE, "DELETE": MANAGE}

    @told("One channel and how it does", ChannelShape, name="channel", group=GROUP)
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return self.answer(ChannelShape, row_of(pk))

    @told(
        "Change a channel, or switch it on or off",
        ChannelShape,
        body=ChannelChangeRequest,
        name="channel_change",
        group=GROUP,
    )
    def patch(self, request: Request, pk: str) -> Response:
        wanted = body_of(ChannelChangeRequest, request)
        with transaction.atomic():
            _sound(lambda: changed(row_of(pk), wanted, request))
        return self.answer(ChannelShape, row_of(pk))

    @told(
        "Remove a channel for good; its log stays, its secret does not",
        None,
        status=204,
        name="channel_remove",
        group=GROUP,
    )
    def delete(self, request: Request, pk: str) -> Response:
        channel = row_of(pk).channel
        _sound(lambda: managing.remove(channel, by=request.user, via="api"))
        return Response(status=204)


class TestChannel(ChannelApi):
    permissions = {"POST": MANAGE}

    @told(
        "Send a test message now and say what came of it",
        AttemptShape,
        name="channel_test",
        group=GROUP,
    )
    def post(self, request: Request, pk: str) -> Response:
        channel = row_of(pk).channel
        attempt = _sound(lambda: managing.send_test(channel, by=request.user, via="api"))
        return self.answer(AttemptShape, attempt)


class RotateChannel(ChannelApi):
    permissions = {"POST": MANAGE}

    @told(
        "Give a channel another secret; a new signing key is in this answer and nowhere else",
        SigningKeyShape,
        body=ChannelSecretRequest,
        name="channel_rotate",
        group=GROUP,
    )
    def post(self, request: Request, pk: str) -> Response:
        given = body_of(ChannelSecretRequest, request)["secret"]
        channel = row_of(pk).channel
        key = _sound(lambda: managing.rotate(channel, given, by=request.user, via="api"))
        return self.answer(SigningKeyShape, {"signing_key": key})


class ChannelMessages(ChannelApi):
    permissions = {"GET": MANAGE}

    @told(
        "The messages of a channel, newest first",
        MessagePageShape,
        parameters=[
            text_parameter("state", "Only in this state.", enum=MESSAGE_STATES),
            *PAGE,
        ],
        name="channel_messages",
        group=GROUP,
    )
    def get(self, request: Request, pk: str) -> Response:
        only(request, "state", "limit", "cursor")
        state = text_of(request, "state")
        if state and state not in MESSAGE_STATES:
            refuse([FilterError("state", f"Use one of {', '.join(MESSAGE_STATES)}.")])
        found = queries.message_page(
            row_of(pk).channel,
            state=state,
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        return self.answer(MessagePageShape, found)


class OneMessage(ChannelApi):
    permissions = {"GET": MANAGE}

    @told("One message and each attempt", OneMessageShape, name="channel_message", group=GROUP)
    def get(self, request: Request, pk: str, message: str) -> Response:
        only(request)
        return self.answer(OneMessageShape, _whole(message_of(pk, message)))


class RedeliverMessage(ChannelApi):
    permissions = {"POST": MANAGE}

    @told(
        "Send a message again, with the id it had",
        OneMessageShape,
        name="channel_redeliver",
        group=GROUP,
    )
    def post(self, request: Request, pk: str, message: str) -> Response:
        one = message_of(pk, message)
        _sound(lambda: managing.redeliver(one, by=request.user, via="api"))
        return self.answer(OneMessageShape, _whole(message_of(pk, message)))


def changed(row: ChannelRow, wanted: dict[str, Any], request: Request) -> None:
    told_of = {"by": request.user, "via": "api"}
    channel = row.channel
    managing.change(channel, name=wanted["name"], config=wanted["config"], **told_of)
    if wanted["enabled"] is True:
        managing.enable(channel, send_again=wanted["send_again"], **told_of)
    elif wanted["enabled"] is False:
        managing.disable(channel, wanted["why"], **told_of)


def row_of(pk: str | int) -> ChannelRow:
    row = queries.one(int(pk))
    if row is None or row.channel.state == REMOVED:
        raise Problem(404, "There is no such channel.")
    return row


def message_of(pk: str, message: str) -> Message:
    found = queries.message(int(pk), int(message))
    if found is None:
        raise Problem(404, "There is no such message of this channel.")
    return found


def _whole(message: Message) -> dict[str, Any]:
    return {
        "message": message,
        "text": message.payload["text"],
        "log": queries.attempts(message),
    }


def _sound(act: Callable[[], Done]) -> Done:
    try:
        return act()
    except Refused as refused:
        if refused.field in ("channel", "message"):
            raise Problem(409, refused.message) from refused
        wrong = FilterError(refused.field, refused.message)
        raise Problem(400, "Some fields are wrong.", [wrong]) from refused
