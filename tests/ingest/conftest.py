import pytest

from ingest.models import Pool, Project, Source
from tests.conftest import require
from tests.ingest import environments


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """The Python of an environment by its name in `environments.PINS`, made when first asked."""
    made = {}
    root = tmp_path_factory.mktemp("sdks")

    def ready(name):
        if name not in made:
            made[name] = environments.make(root / name, environments.PINS[name])
        python, reason = made[name]
        require("pypi", reason)
        return python

    return ready


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
