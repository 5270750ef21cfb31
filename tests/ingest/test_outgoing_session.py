"""The guard under client libraries built on `requests`, tried against real sockets on loopback."""

import socket
import ssl
import threading
import time

import pytest
import requests

from ingest import outgoing
from ingest.outgoing import Refused
from ingest.outgoing_session import GuardedSession, TooLarge
from tests.ingest import test_outgoing as same_server

server, loopback_allowed = same_server.server, same_server.loopback_allowed
pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")


@pytest.fixture
def session():
    with GuardedSession(timeout_s=2.0, max_bytes=1_000_000) as session:
        yield session


def test_answer_is_fetched_and_kept_for_the_library(server, loopback_allowed, session):
    response = session.get(server.url)

    assert (response.status_code, len(response.content)) == (200, 100_000)
    assert session.answered is response
    assert session.requests_sent == 1


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "[::1]"])
def test_loopback_is_refused_however_it_is_spelt(settings, server, session, host):
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(Refused):
        session.get(f"http://{host}:{server.server_port}/")

    assert server.hosts == []


@pytest.mark.parametrize("url", ["http://u:p@127.0.0.1/", "ftp://127.0.0.1/", "http:///x"])
def test_url_of_another_form_is_refused(session, url):
    with pytest.raises((Refused, requests.RequestException)):
        session.get(url)


def test_what_a_library_mounts_does_not_unguard_it(settings, server, session):
    settings.PRIVATE_ADDRESSES = []
    session.mount(server.url, requests.adapters.HTTPAdapter(max_retries=3))

    with pytest.raises(Refused, match="not a public address"):
        session.get(server.url)

    assert server.hosts == []


def test_proxy_of_the_environment_is_not_used(server, loopback_allowed, session, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert session.get(server.url).status_code == 200


def test_each_request_is_looked_up_and_checked_anew(server, settings, session, monkeypatch):
    """A name that answers with a private address the second time gets no second request."""
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    answers = iter(["127.0.0.1", "10.0.0.1"])

    def look_up(host, port, *args, **kwargs):
        target = next(answers) if host == "prometheus.example" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (target, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = f"http://prometheus.example:{server.server_port}/"

    session.get(url)
    with pytest.raises(Refused, match=r"is at 10\.0\.0\.1"):
        session.get(url)

    assert server.hosts == [f"prometheus.example:{server.server_port}"]


def test_redirect_is_not_followed(server, loopback_allowed, session):
    with pytest.raises(Refused, match="redirects elsewhere"):
        session.get(server.url + "/elsewhere", allow_redirects=True)


@pytest.mark.parametrize("path", ["/", "/bomb"])
def test_large_answer_is_cut_off(server, loopback_allowed, session, path):
    session.max_bytes = 50_000

    with pytest.raises(TooLarge, match="50,000 bytes"):
        session.get(server.url + path)


@pytest.mark.parametrize("path", ["/silent", "/drip"])
def test_slow_server_is_given_up_as_a_whole(server, loopback_allowed, session, path):
    session.timeout_s = 0.2
    began = time.monotonic()

    with pytest.raises(Refused, match="did not answer in time"):
        session.get(server.url + path, timeout=60)

    assert time.monotonic() - began < 2


@pytest.mark.parametrize("door", ["session", "fetch"])
def test_dripping_headers_are_given_up(loopback_allowed, session, door):
    """Each wait alone is short: nothing but a limit on the whole ends this."""
    session.timeout_s = 0.3
    get = {
        "session": session.get,
        "fetch": lambda url: outgoing.fetch(url, timeout_s=0.3, max_bytes=1000),
    }[door]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def drip():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"X-A: b\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(Refused, match="did not answer in time"):
                get(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        finally:
            stop.set()
            thread.join()


def test_closed_port_is_one_sentence(loopback_allowed, session):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    with pytest.raises(Refused, match="cannot be reached"):
        session.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("name", "is_trusted"), [("metrics.example", True), ("other.example", False)]
)
def test_tls_verifies_the_name_and_not_the_address(
    server, settings, session, monkeypatch, tmp_path, name, is_trusted
):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    file = same_server.certificate_for("metrics.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(file))
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **options: real(
            "127.0.0.1" if host == name else host, *rest, **options
        ),
    )
    url = f"https://{name}:{server.server_port}/"

    if is_trusted:
        assert session.get(url, verify=False).status_code == 200
    else:
        with pytest.raises(Refused, match="cannot be reached"):
            session.get(url, verify=False)


def test_guard_is_the_one_of_outgoing():
    assert issubclass(TooLarge, outgoing.Refused)
