"""The command that frees an installation from an old encryption key."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command

from finops.models import Audit
from ingest import encryption
from optimiser.models import Server

pytestmark = pytest.mark.django_db


def test_rotate_keys_moves_each_secret_and_leaves_a_record(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    locked = Server.objects.create(
        name="locked", url="http://a", admin_key=encryption.encrypt(b"key")
    )
    Server.objects.create(name="open", url="http://b")
    settings.ENCRYPTION_KEYS = [new, old]
    said = StringIO()

    call_command("rotate_keys", stdout=said)

    settings.ENCRYPTION_KEYS = [new]
    locked.refresh_from_db()
    assert encryption.decrypt(locked.admin_key) == b"key"
    assert said.getvalue() == "Secrets now under the newest key: 1.\n"
    assert list(Audit.objects.values_list("action", "object_id")) == [
        ("server.rotate_key", str(locked.pk))
    ]
