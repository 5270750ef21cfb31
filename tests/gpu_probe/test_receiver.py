"""The probe and the real server: what was read while it was away arrives once, in order."""

import socket

import pytest

from gpu_probe.send import Outcome, Sender
from ingest.models import Gpu, GpuProcess, GpuSample
from ingest.store import Counts
from tests.factories.ingest import PoolFactory, SourceFactory, push_token
from tests.gpu_probe.conftest import make_batch
from tests.pulled import pulled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def token():
    return push_token(SourceFactory(kind="gpu", pool=PoolFactory(name="h100")), "gpu:write")


@pytest.fixture
def sender_to(token, tmp_path):
    made = []

    def sender_to(url, **more):
        if made:
            made.pop().close()
        more = {"max_spool_age_s": 1e12, "token": lambda: token, **more}
        sender = Sender(url, spool_dir=tmp_path / "spool", jitter=lambda: 0.0, **more)
        made.append(sender)
        return sender

    yield sender_to
    for sender in made:
        sender.close()


def test_an_outage_is_made_up_for_in_order_and_nothing_twice(sender_to, live_server):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = sender_to(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        for sequence in range(5):
            away.keep(make_batch(sequence))
        assert away.drain().outcome is Outcome.FAILED
    back = sender_to(live_server.url)  # a restart in between: the spool is all there is
    arrived = []
    while (step := back.send_next()).outcome is Outcome.SENT:
        arrived.append(GpuSample.objects.latest("at").at.timestamp())
    assert step.outcome is Outcome.EMPTY
    assert arrived == [make_batch(n).readings[0].at for n in range(5)]
    for sequence in range(5):  # an answer that was lost on the way
        back.keep(make_batch(sequence))
    assert back.drain().outcome is Outcome.EMPTY
    assert GpuSample.objects.count() == 5
    assert pulled() == Counts(inserted=5, unchanged=5)


def test_a_spool_that_overflows_drops_the_oldest_and_says_so(sender_to, live_server, caplog):
    one = len_of_one(sender_to(live_server.url))
    sender = sender_to(live_server.url, max_spool_bytes=int(2.5 * one))
    for sequence in range(1, 5):
        sender.keep(make_batch(sequence))
    assert (sender.spool.dropped_count, sender.spool.waiting_count) == (2, 2)
    assert "the spool is full: dropped the 1 oldest waiting batches unsent" in caplog.text
    assert sender.drain().outcome is Outcome.EMPTY
    moments = sorted(sample.at.timestamp() for sample in GpuSample.objects.all())
    assert moments == [make_batch(n).readings[0].at for n in (0, 3, 4)]


def len_of_one(sender):
    """Bytes that a batch takes on disk; it is sent, so that the spool is empty again."""
    sender.keep(make_batch(0))
    size = sender.spool.waiting_bytes
    assert sender.drain().outcome is Outcome.EMPTY
    return size


def test_a_token_without_the_right_holds_the_batches_back(sender_to, live_server):
    wrong = push_token(SourceFactory(kind="otlp"), "traces:write")
    sender = sender_to(live_server.url, token=lambda: wrong)
    sender.keep(make_batch())
    assert sender.drain().outcome is Outcome.TOKEN_REFUSED
    assert (sender.spool.waiting_count, GpuSample.objects.count()) == (1, 0)


def test_the_real_probe_tells_the_real_server_who_uses_its_gpus(host, token, live_server):
    host.token_path.write_text(token)
    done = host.probe(*host.push_arguments(live_server, "--once"))
    assert (done.returncode, done.stderr) == (0, "")
    assert Gpu.objects.filter(process_count=3, is_mig=False, is_lost=False).count() == 2
    assert GpuProcess.objects.count() == 6
    sample = GpuSample.objects.first()
    assert (sample.ecc_corrected, sample.ecc_uncorrected, sample.xid_errors) == (40, 2, 0)
    assert (sample.memory_reserved_bytes, sample.remap_failed) == (600_000_000, False)
