"""Push tokens: `brk_<id>_<secret>`, of which only the SHA-256 is kept.

Knows how a machine proves that it may push for a source. Refuses people: they have accounts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from ingest.models import Source, Token
from ingest.models.owners import TOKEN_SCOPES

PREFIX = "brk"
KNOWN_FOR_S = 3.0
"""How long a token is not looked up again. A revoked one works at most this much longer."""
MOST_KNOWN = 1000
TOUCH_EVERY = timedelta(minutes=1)


class NotAuthenticated(Exception):
    """Who sends this is unknown; one sentence for its log."""


class NotPermitted(Exception):
    """The sender is known and may not do this; one sentence for its log."""


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    until: float


_known: dict[str, _Known] = {}


def issue(
    source: Source,
    name: str,
    scope: str,
    created_by: str,
    expires_at: datetime | None = None,
) -> tuple[Token, str]:
    """A new token and its text, which nobody can show again."""
    if scope not in TOKEN_SCOPES:
        raise ValueError(f"{scope} is no scope; use one of {', '.join(TOKEN_SCOPES)}.")
    # 256 random bits need no slow hash: there is nothing to guess.
    secret = secrets.token_urlsafe(32)
    token = Token.objects.create(
        id=secrets.token_hex(8),
        source=source,
        name=name,
        secret_sha256=_sha256(secret),
        scope=scope,
        created_by=created_by,
        expires_at=expires_at,
    )
    return token, f"{PREFIX}_{token.pk}_{secret}"


def revoke(token: Token) -> bool:
    """End a token at once here, and within seconds in other processes. False: it had ended."""
    now = timezone.now()
    ended = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now)
    _known.pop(token.pk, None)
    return bool(ended)


def authenticate(header: str | None, scope: str) -> Token:
    """The token in an Authorization header, with its source, if it may do `scope`."""
    token_id, secret = _parse(header or "")
    known = _known.get(token_id)
    if known is None or known.until < time.monotonic():
        known = _look_up(token_id)
    token = known.token if known else None
    digest = bytes(token.secret_sha256) if token else b""
    # Compared even when there is no such token, so that the answer takes as long.
    is_right = hmac.compare_digest(digest, _sha256(secret))
    if token is None or not is_right:
        raise NotAuthenticated("This push token is unknown; make one under Settings, Tokens.")
    now = timezone.now()
    if token.revoked_at is not None:
        raise NotAuthenticated("This push token was revoked; make a new one.")
    if token.expires_at is not None and token.expires_at <= now:
        raise NotAuthenticated("This push token has expired; make a new one.")
    if token.scope != scope:
        raise NotPermitted(f"This push token may only do {token.scope}, and this needs {scope}.")
    if not token.source.enabled:
        raise NotPermitted(f"The source {token.source.name} is switched off; switch it on first.")
    _touch(token, now)
    return token


def forget() -> None:
    """Look every token up again."""
    _known.clear()


def _look_up(token_id: str) -> _Known | None:
    token = (
        Token.objects.select_related("source__project", "source__pool").filter(pk=token_id).first()
    )
    if token is None:
        return None
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    known = _Known(token, time.monotonic() + KNOWN_FOR_S)
    _known[token_id] = known
    return known


def _touch(token: Token, now: datetime) -> None:
    """Note the use, at most once a minute: a row written by every push would be a queue."""
    if token.last_used_at is not None and token.last_used_at > now - TOUCH_EVERY:
        return
    token.last_used_at = now
    Token.objects.filter(
        Q(last_used_at=None) | Q(last_used_at__lt=now - TOUCH_EVERY), pk=token.pk
    ).update(last_used_at=now)


def _parse(header: str) -> tuple[str, str]:
    """(id, secret) from `Bearer brk_…` or from Basic with the token as password."""
    scheme, _, rest = header.strip().partition(" ")
    text = rest.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            raise NotAuthenticated(
                "The Basic credentials cannot be read; send user:token in base64."
            ) from None
        text = decoded.partition(":")[2]
    elif scheme.lower() != "bearer":
        raise NotAuthenticated("Send a push token: Authorization: Bearer brk_….")
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != PREFIX or len(token_id) != 16 or not secret or not text.isascii():
        raise NotAuthenticated("This is no push token; it starts with brk_ and is shown once.")
    return token_id, secret


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
