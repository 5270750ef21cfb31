from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder


def waiting():
    executor = MigrationExecutor(connection)
    return [key for key, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]


def test_a_home_that_applied_what_the_first_migrations_replace_goes_on(db):
    replacing = MigrationExecutor(connection).loader.replacements
    assert {app for app, _ in replacing} == {"ingest", "finops", "optimiser"}
    for app, name in replacing:
        MigrationRecorder(connection).record_unapplied(app, name)
    assert waiting() == []

    call_command("migrate", verbosity=0)
    assert MigrationRecorder(connection).applied_migrations().keys() >= replacing.keys()


def test_models_are_as_migrations_say(db):
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
