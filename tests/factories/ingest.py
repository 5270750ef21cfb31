"""Owners, sources and tokens for any test that needs them in the database."""

import factory

from ingest import tokens
from ingest.models import Pool, Project, Source, Team


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


def push_token(source: Source, scope: str = "traces:write", **changes) -> str:
    """The text of a new token for the source."""
    return tokens.issue(source, "test", scope, "Ada", **changes)[1]
