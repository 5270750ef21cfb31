"""Owners, sources and tokens for any test that needs them in the database."""

import factory
from django.db import connection

from ingest import tokens
from ingest.models import GpuQuarter, Pool, Project, Source, Team
from ingest.rollup import gpu_days


class TeamFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Team

    name = factory.Sequence(lambda n: f"Team {n}")


class ProjectFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Project

    slug = factory.Sequence(lambda n: f"project-{n}")
    name = factory.LazyAttribute(lambda project: project.slug.title())
    team = factory.SubFactory(TeamFactory)


class PoolFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Pool

    name = factory.Sequence(lambda n: f"pool-{n}")
    provider = "triton"
    gpu_count = 2
    hardware = "H100"


class SourceFactory(factory.django.DjangoModelFactory):
    """A source of traces; `kind="gpu", pool=…` makes another."""

    class Meta:
        model = Source

    kind = "otlp"
    name = factory.Sequence(lambda n: f"Source {n}")
    project = factory.Maybe(
        "pool", yes_declaration=None, no_declaration=factory.SubFactory(ProjectFactory)
    )
    pool = None


def gpus_by_day() -> None:
    """The days of all quarter hours, as rolling up leaves them; for who wrote quarters itself."""
    with connection.cursor() as cursor:
        for pool, at in GpuQuarter.objects.order_by("at").values_list("pool_id", "at"):
            gpu_days.write(cursor, pool, [at.replace(minute=0)])


def push_token(source: Source, scope: str = "traces:write", **changes) -> str:
    """The text of a new token for the source."""
    return tokens.issue(source, "test", scope, "Ada", **changes)[1]
