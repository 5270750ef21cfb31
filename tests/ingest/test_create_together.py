import pytest
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from ingest.create_together import CreateTogether


def points_at(name):
    return models.ForeignKey(to=f"ingest.{name}", on_delete=models.CASCADE, null=True)


def table(name, *fields):
    return migrations.CreateModel(name, [("id", models.BigAutoField(primary_key=True)), *fields])


HEN_AND_EGG = CreateTogether(
    [
        table("Hen", ("egg", points_at("egg")), ("house", points_at("house"))),
        table("Egg", ("hen", points_at("hen"))),
    ]
)


@pytest.fixture
def before():
    """With a model that is there already, made for whoever asks for it."""
    state = ProjectState()
    table("House").state_forwards("ingest", state)
    assert [model.__name__ for model in state.apps.get_models()] == ["House"]
    return state


@pytest.fixture
def after(before):
    state = before.clone()
    HEN_AND_EGG.state_forwards("ingest", state)
    return state


def tables():
    return {name for name in connection.introspection.table_names() if name[:7] == "ingest_"}


def targets(cursor, name):
    found = connection.introspection.get_relations(cursor, name)
    return {column: target for column, (_, target, *_) in found.items()}


def test_tables_that_point_at_each_other_are_made_and_taken_away(db, before, after):
    at_first = tables()
    with connection.schema_editor() as editor:
        editor.create_model(before.apps.get_model("ingest", "House"))
    with connection.schema_editor() as editor:
        HEN_AND_EGG.database_forwards("ingest", editor, before, after)
    assert tables() - at_first == {"ingest_house", "ingest_hen", "ingest_egg"}
    with connection.cursor() as cursor:
        assert targets(cursor, "ingest_hen") == {
            "egg_id": "ingest_egg",
            "house_id": "ingest_house",
        }
        assert targets(cursor, "ingest_egg") == {"hen_id": "ingest_hen"}

    with connection.schema_editor() as editor:
        HEN_AND_EGG.database_backwards("ingest", editor, after, before)
    assert tables() - at_first == {"ingest_house"}


def test_models_of_before_know_the_new_ones(before, after):
    house = after.apps.get_model("ingest", "House")
    assert [one.related_model.__name__ for one in house._meta.related_objects] == ["Hen"]
    assert before.apps.get_model("ingest", "House")._meta.related_objects == ()


def test_what_is_made_is_told():
    assert HEN_AND_EGG.describe() == "Create 2 tables together"
