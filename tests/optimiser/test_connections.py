"""Adding servers and targets on the pages: who may, what is refused, what is kept."""

from __future__ import annotations

import pytest

from finops.models import Audit
from ingest.encryption import decrypt
from optimiser.models import Server, Target
from tests.factories.ingest import PoolFactory, ProjectFactory
from tests.finops.reading import Page
from tests.optimiser import made

pytestmark = pytest.mark.django_db


def test_admin_adds_a_server_and_then_a_model_of_it(sign_in):
    ada = sign_in("ada")
    assert "Add a server" in Page(ada.get("/targets").text).words
    given = {"name": "triton-eu", "url": "http://triton:8000", "timeout_s": "10"}
    answer = ada.post("/servers/new", {**given, "admin_key": "open sesame"}, follow=True)
    assert "“triton-eu” is added. Now name a model on it." in Page(answer.text).words
    server = Server.objects.get()
    assert decrypt(server.admin_key) == b"open sesame"
    record = Audit.objects.latest("id")
    assert (record.action, record.actor_name) == ("server.add", "ada")
    assert "sesame" not in str(record.detail)

    project, pool = ProjectFactory(), PoolFactory()
    given = {"server": server.pk, "model": "chat", "kind": "model", "project": project.pk}
    answer = ada.post("/targets/new", {**given, "pool": pool.pk}, follow=True)
    words = Page(answer.text).words
    assert "Its live config has not been read yet." in words
    assert "Admin key kept, encrypted" in words
    target = Target.objects.get()
    assert (target.request_model, target.live_state) == ("chat", "unknown")
    assert Audit.objects.latest("id").detail["pool"] == pool.name


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://triton", "Only http:// and https:// addresses are fetched; change the URL."),
        ("http://a:b@triton", "A user name or password in the URL is not taken; remove it."),
        ("http://triton/v2", "Give the server alone, as in http://triton:8000."),
    ],
)
def test_address_that_may_not_be_fetched_is_refused_with_the_fix(sign_in, url, said):
    given = {"name": "a", "url": url, "timeout_s": "10", "admin_key": "open sesame"}
    answer = sign_in("ada").post("/servers/new", given)
    assert answer.status_code == 422
    assert said in Page(answer.text).words
    assert "sesame" not in answer.text
    assert not Server.objects.exists()


def test_target_is_there_once(sign_in, target):
    given = {"server": target.server_id, "model": "chat", "kind": "model"}
    given |= {"project": target.project_id, "pool": target.pool_id}
    answer = sign_in("ada").post("/targets/new", given)
    assert answer.status_code == 422
    assert "This model of the server is a target already." in Page(answer.text).words
    answer = sign_in("ada").post("/targets/new", {**given, "model": "b", "shadow_model": "b"})
    assert "Give another name: measuring loads and unloads it." in Page(answer.text).words


@pytest.mark.parametrize("name", ["asha", "ben", "dev", "cleo"])
def test_others_add_nothing(sign_in, name):
    made.ServerFactory()
    client = sign_in(name)
    given = {"name": "a", "url": "http://triton:8000", "timeout_s": "10"}
    assert client.post("/servers/new", given).status_code == 403
    assert client.post("/targets/new", {}).status_code == 403
    assert "Add a target" not in client.get("/targets").text
    assert Server.objects.count() == 1
