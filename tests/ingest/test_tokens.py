import base64
import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from ingest import tokens
from ingest.models import Token
from tests.factories.ingest import SourceFactory, push_token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_known():
    tokens.forget()


def authenticate(text, scope="traces:write"):
    return tokens.authenticate(f"Bearer {text}", scope)


def test_token_opens_the_door_of_its_source():
    source = SourceFactory()
    token, text = tokens.issue(source, "collector", "traces:write", "Ada")

    assert authenticate(text).source == source
    assert text.startswith(f"brk_{token.pk}_")
    assert token.created_by == "Ada"


def test_only_the_hash_of_the_secret_is_kept():
    token, text = tokens.issue(SourceFactory(), "collector", "traces:write", "Ada")
    secret = text.split("_", 2)[2]

    row = Token.objects.filter(pk=token.pk).values().get()

    assert secret not in repr(row)
    assert bytes(row["secret_sha256"]) == hashlib.sha256(secret.encode()).digest()
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32


def test_basic_credentials_carry_the_token_as_password():
    text = push_token(SourceFactory())
    basic = base64.b64encode(f"anything:{text}".encode()).decode()

    assert tokens.authenticate(f"basic {basic}", "traces:write")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer brk_", "Bearer brk_0123456789abcdef_", "Basic !!!",
     "Basic Z2VoZWlt", "Digest x", "Bearer brk_0123456789abcdef_unknown",
     "Bearer brk_0123456789abcdéf_x"],
)  # fmt: skip
def test_anything_else_is_not_authenticated(header):
    with pytest.raises(tokens.NotAuthenticated):
        tokens.authenticate(header, "traces:write")


def test_wrong_secret_is_told_like_an_unknown_token():
    text = push_token(SourceFactory())

    with pytest.raises(tokens.NotAuthenticated) as wrong:
        authenticate(text[:-1] + ("a" if text[-1] != "a" else "b"))
    with pytest.raises(tokens.NotAuthenticated) as unknown:
        authenticate("brk_0123456789abcdef_x")

    assert str(wrong.value) == str(unknown.value)


def test_expired_token_is_refused():
    text = push_token(SourceFactory(), expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(tokens.NotAuthenticated, match="expired"):
        authenticate(text)


def test_token_of_another_scope_is_not_permitted():
    with pytest.raises(tokens.NotPermitted, match="gpu:write"):
        authenticate(push_token(SourceFactory()), "gpu:write")


def test_token_of_a_source_that_is_off_is_not_permitted():
    with pytest.raises(tokens.NotPermitted, match="switched off"):
        authenticate(push_token(SourceFactory(enabled=False)))


def test_revoked_token_stops_at_once_here():
    text = push_token(SourceFactory())
    token = authenticate(text)

    assert tokens.revoke(token)
    assert not tokens.revoke(token)
    with pytest.raises(tokens.NotAuthenticated, match="revoked"):
        authenticate(text)


def test_token_revoked_by_another_process_stops_within_five_seconds(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(tokens.time, "monotonic", lambda: clock[0])
    text = push_token(SourceFactory())
    authenticate(text)
    Token.objects.update(revoked_at=timezone.now())

    clock[0] += 5

    with pytest.raises(tokens.NotAuthenticated, match="revoked"):
        authenticate(text)


def test_second_use_asks_the_database_nothing(django_assert_num_queries):
    text = push_token(SourceFactory())
    authenticate(text)

    with django_assert_num_queries(0):
        source = authenticate(text).source
        assert source.project.slug


def test_use_is_noted_at_most_once_a_minute(django_assert_num_queries):
    text = push_token(SourceFactory())
    first = authenticate(text).last_used_at
    tokens.forget()

    with django_assert_num_queries(1):  # the look-up alone
        assert authenticate(text).last_used_at == first

    Token.objects.update(last_used_at=first - timedelta(seconds=61))
    tokens.forget()
    authenticate(text)
    assert Token.objects.get().last_used_at > first


def test_unknown_scope_cannot_be_issued():
    with pytest.raises(ValueError, match="use one of traces:write, gpu:write"):
        tokens.issue(SourceFactory(), "x", "everything", "Ada")
