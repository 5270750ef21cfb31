import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from finops import audit
from finops.models import Audit, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def asha():
    return User.objects.create_user("asha", password=None)


def add(asha, number=1):
    return audit.record(asha, "page", "price.set", asha, {"n": number})


def tamper(sql):
    """As a database superuser would, behind the trigger."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE finops_audit DISABLE TRIGGER audit_is_append_only")
        cursor.execute(sql)
        cursor.execute("ALTER TABLE finops_audit ENABLE TRIGGER audit_is_append_only")


def test_each_record_follows_the_one_before(asha):
    first, second = add(asha), add(asha, 2)
    assert bytes(second.previous_hash) == bytes(first.hash)
    assert audit.verify() == audit.Check(2, second.hash)


@pytest.mark.parametrize(
    "verb", ["UPDATE finops_audit SET action = 'x'", "DELETE FROM finops_audit"]
)
def test_database_refuses_to_change_the_chain(asha, verb):
    add(asha)
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
        connection.cursor().execute(verb)


def test_edit_behind_the_trigger_is_found(asha):
    add(asha)
    edited = add(asha, 2)
    tamper(f"UPDATE finops_audit SET actor_name = 'ben' WHERE id = {edited.pk}")
    check = audit.verify()
    assert (check.broken_at, check.reason) == (edited.pk, "was changed after it was written")
    with pytest.raises(CommandError, match=str(edited.pk)):
        call_command("audit_verify")


def test_removed_record_is_found(asha):
    add(asha)
    middle, last = add(asha, 2), add(asha, 3)
    tamper(f"DELETE FROM finops_audit WHERE id = {middle.pk}")
    assert audit.verify().broken_at == last.pk


def test_unknown_door_is_refused(asha):
    with pytest.raises(ValueError, match="no door"):
        audit.record(asha, "window", "price.set", asha)
    assert not Audit.objects.exists()
