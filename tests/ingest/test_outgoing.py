"""The guard is tried against real sockets on loopback, which the tests must first allow."""

import gzip
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.exceptions import ImproperlyConfigured

from ingest import outgoing


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.hosts.append(self.headers["Host"])
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/")
            self.end_headers()
            return
        if self.path == "/silent":
            self.server.wait.wait(5)
            return
        if self.path == "/drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.server.wait.wait(0.02):
                self.wfile.write(b"x")
            return
        body = b"x" * 100_000
        if self.path == "/bomb":
            body = gzip.compress(body * 100)
        self.send_response(200)
        if self.path == "/bomb":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hosts, server.wait = [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.wait.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def loopback_allowed(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.0/8"]


def get(url, timeout_s=2.0, max_bytes=1_000_000):
    return outgoing.fetch(url, timeout_s=timeout_s, max_bytes=max_bytes)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1",
        "2002:7f00:1::", "2001::1", "::127.0.0.1", "ff02::1",
    ],
)  # fmt: skip
def test_private_address_is_refused(settings, address):
    settings.PRIVATE_ADDRESSES = []

    assert not outgoing.may_fetch(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_address_may_be_fetched(settings, address):
    settings.PRIVATE_ADDRESSES = []

    assert outgoing.may_fetch(ip_address(address))


def test_administrator_may_allow_a_private_network(settings):
    settings.PRIVATE_ADDRESSES = ["10.0.0.0/8", "fc00::/7"]

    assert outgoing.may_fetch(ip_address("10.1.2.3"))
    assert outgoing.may_fetch(ip_address("::ffff:10.1.2.3"))
    assert outgoing.may_fetch(ip_address("fc00::1"))
    assert not outgoing.may_fetch(ip_address("192.168.1.1"))


def test_bad_network_is_named(settings):
    settings.PRIVATE_ADDRESSES = ["10.0.0.0/99"]

    with pytest.raises(ImproperlyConfigured, match="PRIVATE_ADDRESSES"):
        outgoing.may_fetch(ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "[::1]"]
)
def test_loopback_is_refused_however_it_is_spelt(settings, server, host):
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(outgoing.Refused):
        get(f"http://{host}:{server.server_port}/")

    assert server.hosts == []


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://host/", "//host/", "metrics", "",
     "http://", "http://user:secret@example.com/", "http://exa mple/"],
)  # fmt: skip
def test_url_of_another_form_is_refused_in_one_sentence(url):
    with pytest.raises(outgoing.Refused) as refused:
        get(url)

    assert str(refused.value).endswith(".")
    assert "secret" not in str(refused.value)


def test_answer_is_fetched(server, loopback_allowed):
    answer = get(server.url)

    assert (answer.status, len(answer.content)) == (200, 100_000)


def test_name_is_looked_up_once_and_the_checked_address_is_used(server, settings, monkeypatch):
    """A name that points elsewhere at the second look-up is never looked up a second time."""
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    asked = []

    def look_up(host, port, *args, **kwargs):
        asked.append(host)
        address = "127.0.0.1" if asked.count("metrics.example") == 1 else "10.0.0.1"
        target = address if host == "metrics.example" else host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (target, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    get(f"http://metrics.example:{server.server_port}/")

    assert asked.count("metrics.example") == 1
    assert server.hosts == [f"metrics.example:{server.server_port}"]


def test_name_with_one_private_address_among_public_ones_is_refused(settings, monkeypatch):
    settings.PRIVATE_ADDRESSES = []
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("93.184.215.14", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

    with pytest.raises(outgoing.Refused, match="PRIVATE_ADDRESSES"):
        get("http://metrics.example/")


def test_redirect_is_not_followed(server, loopback_allowed):
    with pytest.raises(outgoing.Refused, match="redirects elsewhere"):
        get(server.url + "/elsewhere")


@pytest.mark.parametrize("path", ["/", "/bomb"])
def test_large_answer_is_cut_off(server, loopback_allowed, path):
    with pytest.raises(outgoing.Refused, match="50,000 bytes"):
        get(server.url + path, max_bytes=50_000)


@pytest.mark.parametrize("path", ["/silent", "/drip"])
def test_slow_server_is_given_up(server, loopback_allowed, path):
    with pytest.raises(outgoing.Refused, match="did not answer in time"):
        get(server.url + path, timeout_s=0.1)


def certificate_for(name, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


@pytest.mark.parametrize(
    ("name", "is_trusted"), [("metrics.example", True), ("other.example", False)]
)
def test_tls_verifies_the_name_and_not_the_address(
    server, settings, monkeypatch, tmp_path, name, is_trusted
):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    file = certificate_for("metrics.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    trusting = ssl.create_default_context(cafile=file)
    monkeypatch.setattr(outgoing, "trusted", lambda: trusting)
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
        assert get(url).status == 200
    else:
        with pytest.raises(outgoing.Refused, match="cannot be reached"):
            get(url)


def test_closed_port_is_one_sentence(loopback_allowed):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    with pytest.raises(outgoing.Refused, match="cannot be reached"):
        get(f"http://127.0.0.1:{port}/")


def test_unknown_name_is_one_sentence(loopback_allowed):
    with pytest.raises(outgoing.Refused, match="not known"):
        get("http://no-such-host.invalid/")


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "127.0.0.1", "10.1.2.3", "2130706433", "0x7f.1", "127.1", "localhost",
        "LocalHost.", "api.localhost", "[::1]", "[fd00::1]", "[fe80::1%25eth0]",
        "[::ffff:169.254.169.254]", "0.0.0.0",
    ],
)  # fmt: skip
def test_number_that_is_not_public_is_refused_while_it_is_entered(host, settings):
    settings.PRIVATE_ADDRESSES = []
    with pytest.raises(outgoing.Refused, match=r"not a public address; an administrator can"):
        outgoing.check_entered(f"https://{host}:8443/hook")


def test_names_public_and_allowed_numbers_can_be_entered(settings):
    """A name may stand for another address by the time it is fetched, so it is not looked up."""
    settings.PRIVATE_ADDRESSES = ["10.0.0.0/8", "127.0.0.0/8"]
    for host in ("93.184.215.14", "[2606:4700::1111]", "10.1.2.3", "localhost", "hooks.example"):
        assert outgoing.check_entered(f"https://{host}/hook").host == host.strip("[]")
    with pytest.raises(outgoing.Refused, match=r"^192\.168\.0\.1 is not a public address"):
        outgoing.check_entered("http://192.168.0.1/")
