"""Many tables made in one step of a migration.

Knows Django's state of migrations. Refuses everything but CreateModel: a table that is there
already is altered by Django's own operations.
"""

from collections.abc import Sequence

from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation, OperationCategory


class CreateTogether(Operation):
    """Each CreateModel alone makes every model anew that it is related to, and with a hundred
    related models that took most of a first start. Here all are made once, whatever their order:
    foreign keys are added when all tables are there.
    """

    category = OperationCategory.ADDITION

    def __init__(self, tables: Sequence[CreateModel]):
        self.tables = list(tables)

    def state_forwards(self, app_label, state):
        # Whoever asks for it next has the state make all its models, these among them.
        state.__dict__.pop("apps", None)
        for table in self.tables:
            table.state_forwards(app_label, state)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        for table in self.tables:
            table.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        for table in reversed(self.tables):
            table.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self):
        return f"Create {len(self.tables)} tables together"
