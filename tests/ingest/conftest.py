import pytest

from ingest.models import Pool, Project, Source


@pytest.fixture
def project(db):
    return Project.objects.create(slug="search", name="Search")


@pytest.fixture
def source(project):
    return Source.objects.create(kind="otlp", name="Search traffic", project=project)


@pytest.fixture
def pool(db):
    return Pool.objects.create(name="h100", provider="triton", gpu_count=2, hardware="H100")


@pytest.fixture
def pool_source(pool):
    return Source.objects.create(kind="prometheus_text", name="Triton", pool=pool)
