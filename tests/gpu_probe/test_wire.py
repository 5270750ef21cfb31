import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_probe import wire
from gpu_probe.wire import (
    Batch,
    GpuProcess,
    GpuReading,
    MigInstance,
    WireError,
    check_reading,
    decode,
    encode,
)
from tests.gpu_probe.conftest import make_batch

# Letters, marks, numbers, punctuation and symbols of every script: what isprintable() lets through.
texts = st.text(st.characters(categories=["L", "M", "N", "P", "S"]), min_size=1, max_size=20)
counters = st.none() | st.integers(0, wire.MAX_COUNTER)
watts = st.none() | st.floats(0, wire.MAX_POWER_W)
rows = st.none() | st.integers(0, wire.MAX_ROWS)
memories = st.none() | st.integers(0, wire.MAX_MEMORY_BYTES)
processes = st.builds(
    GpuProcess,
    pid=st.integers(0, wire.MAX_PID),
    memory_used_bytes=memories,
    name=st.none() | texts,
    mig_uuid=st.none() | texts,
)
mig_instances = st.builds(
    MigInstance,
    uuid=texts,
    profile=st.none() | texts,
    gpu_instance_id=st.none() | st.integers(0, 1023),
    compute_instance_id=st.none() | st.integers(0, 1023),
    memory_used_bytes=memories,
    memory_total_bytes=memories,
    memory_reserved_bytes=memories,
)


@st.composite
def readings(draw):
    total = draw(st.none() | st.integers(0, wire.MAX_MEMORY_BYTES))
    return GpuReading(
        uuid=draw(texts),
        index=draw(st.integers(0, wire.MAX_GPU_INDEX)),
        name=draw(texts),
        at=draw(st.floats(wire.EARLIEST_AT, wire.LATEST_AT)),
        utilization_pct=draw(st.none() | st.floats(0, 100)),
        memory_total_bytes=total,
        memory_used_bytes=draw(
            st.none() | st.integers(0, wire.MAX_MEMORY_BYTES if total is None else total)
        ),
        memory_reserved_bytes=draw(st.none() | st.integers(0, wire.MAX_MEMORY_BYTES)),
        power_w=draw(watts),
        power_limit_w=draw(watts),
        energy_mj=draw(counters),
        sm_clock_mhz=draw(st.none() | st.integers(0, wire.MAX_CLOCK_MHZ)),
        temperature_c=draw(st.none() | st.integers(wire.MIN_TEMPERATURE_C, wire.MAX_TEMPERATURE_C)),
        clock_event_reasons=draw(counters),
        ecc_uncorrected_errors=draw(counters),
        mig_mode=draw(st.none() | st.booleans()),
        process_count=draw(st.none() | st.integers(0, wire.MAX_PROCESS_COUNT)),
        lost=draw(st.booleans()),
        ecc_corrected_errors=draw(counters),
        remapped_rows_corrected=draw(rows),
        remapped_rows_uncorrected=draw(rows),
        remapped_rows_pending=draw(st.none() | st.booleans()),
        remapped_rows_failed=draw(st.none() | st.booleans()),
        xid_errors=draw(st.none() | st.integers(0, wire.MAX_XID_ERRORS)),
        last_xid=draw(st.none() | st.integers(0, wire.MAX_XID)),
        mig_instances=draw(st.none() | st.lists(mig_instances, max_size=2).map(tuple)),
        processes=draw(st.none() | st.lists(processes, max_size=2).map(tuple)),
    )


batches = st.builds(
    Batch,
    host=texts,
    pool=texts,
    probe_version=texts,
    driver_version=st.none() | texts,
    boot_id=texts,
    sequence=st.integers(0, wire.MAX_COUNTER),
    simulated=st.booleans(),
    version=st.just(wire.WIRE_VERSION),
    readings=st.lists(
        readings(), min_size=1, max_size=4, unique_by=lambda reading: (reading.uuid, reading.at)
    ).map(tuple),
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(batches)
def test_decode_gives_back_what_encode_took(batch):
    assert decode(encode(batch)) == batch


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_decode_answers_rubbish_with_a_wire_error(body):
    with pytest.raises(WireError):
        decode(body)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_decode_survives_any_value_in_any_field(data):
    plain = json.loads(encode(make_batch()))
    where = data.draw(st.sampled_from([plain, plain["readings"][0]]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(anything)
    try:
        batch = decode(json.dumps(plain).encode())
    except WireError:
        return
    assert decode(encode(batch)) == batch


def changed(in_batch=None, in_reading=None):
    plain = json.loads(encode(make_batch()))
    plain.update(in_batch or {})
    plain["readings"][0].update(in_reading or {})
    return json.dumps(plain).encode()


def refusal(body):
    with pytest.raises(WireError) as caught:
        decode(body)
    return str(caught.value)


@pytest.mark.parametrize(
    ("in_reading", "said"),
    [
        ({"utilization_pct": 101}, "must be from 0 to 100; the unit is percent"),
        ({"utilization_pct": True}, "must be a number, not true/false; the unit is percent"),
        ({"utilization_pct": float("nan")}, None),
        ({"power_w": float("inf")}, None),
        ({"power_w": 412_345}, "must be from 0 to 10000; the unit is watts"),
        ({"power_limit_w": -1}, "must be from 0 to 10000; the unit is watts"),
        ({"memory_used_bytes": -1}, f"must be from 0 to {2**50}; the unit is bytes"),
        ({"memory_used_bytes": 1.5}, "must be a whole number, not a fraction; the unit is bytes"),
        ({"energy_mj": 2**63}, f"must be from 0 to {2**63 - 1}"),
        ({"sm_clock_mhz": "1755"}, "must be a whole number, not text; the unit is MHz"),
        ({"temperature_c": 3330}, "must be from -60 to 250; the unit is °C"),
        ({"process_count": -3}, "must be from 0 to 1000000"),
    ],
)
def test_a_wrong_measure_is_refused_with_its_unit_and_null_as_the_fix(in_reading, said):
    (field,) = in_reading
    if said is None:  # JSON has no such number, so the text around it is at fault
        name = "NaN" if field == "utilization_pct" else "Infinity"
        wanted = f"body: holds {name}, which is no JSON number; send null for unknown"
    else:
        wanted = f"readings[0].{field}: {said}".removesuffix(";")
        wanted += (", " if "unit" in said else "; ") + "send null for unknown"
    assert refusal(changed(in_reading=in_reading)) == wanted


@pytest.mark.parametrize(
    ("in_reading", "said"),
    [
        ({"uuid": ""}, "uuid: is empty; every batch must say it"),
        ({"uuid": None}, "uuid: must be text, not null"),
        ({"name": "H100\x00"}, "name: holds control or broken characters; send printable text"),
        ({"name": "\ud800"}, "name: holds control or broken characters; send printable text"),
        ({"name": "x" * 129}, "name: has 129 characters; at most 128 are taken"),
        ({"index": None}, "index: must be a whole number, not null; it is NVML's device index"),
        (
            {"at": 1_750_000_000_000},
            "at: must be from 1577836800 to 4102444800;"
            " the unit is epoch seconds (UTC), set the host's clock",
        ),
        ({"mig_mode": 1}, "mig_mode: must be true or false, not a whole number"),
        (
            {"memory_used_bytes": 81, "memory_total_bytes": 80},
            "memory_used_bytes: is more than memory_total_bytes (81 > 80); send null for unknown",
        ),
        ({"fan_pct": 30}, "fan_pct: is not a field of version 2; leave it out"),
    ],
)
def test_a_wrong_reading_is_refused_by_the_name_of_its_field(in_reading, said):
    assert refusal(changed(in_reading=in_reading)) == f"readings[0].{said}"


@pytest.mark.parametrize(
    ("in_batch", "said"),
    [
        (
            {"version": 3},
            "version: says 3, this side speaks 1 to 2; bring probe and server to one release",
        ),
        (
            {"version": True},
            "version: says True, this side speaks 1 to 2; bring probe and server to one release",
        ),
        ({"host": "  "}, "host: is empty; every batch must say it"),
        ({"pool": 7}, "pool: must be text, not a whole number"),
        (
            {"sequence": -1},
            f"sequence: must be from 0 to {2**63 - 1}; it counts the batches of one boot_id",
        ),
        ({"simulated": None}, "simulated: must be true or false, not null"),
        ({"readings": {}}, "readings: must be a list, not an object"),
        ({"readings": ["GPU-1"]}, "readings[0]: must be an object, not text"),
        ({"readings": []}, "readings: is empty; send no batch when no GPU answered"),
        (
            {"readings": [{}] * 1025},
            "readings: has 1025; at most 1024 are taken, split the batch",
        ),
    ],
)
def test_a_wrong_batch_is_refused_by_the_name_of_its_field(in_batch, said):
    body = json.dumps({**json.loads(encode(make_batch())), **in_batch}).encode()
    assert refusal(body) == said


# As gpu_probe 0.1.0 sent it, byte for byte but for the readings' order.
VERSION_1 = (
    '{"host":"gpu-7","pool":"h100","probe_version":"0.1.0","driver_version":"570.124.06",'
    '"boot_id":"b0","sequence":0,"simulated":false,"readings":[{"uuid":"GPU-1","index":0,'
    '"name":"NVIDIA H100 80GB HBM3","at":1750000000.0,"utilization_pct":50.0,'
    '"memory_used_bytes":null,"memory_total_bytes":null,"memory_reserved_bytes":null,'
    '"power_w":412.345,"power_limit_w":null,"energy_mj":null,"sm_clock_mhz":null,'
    '"temperature_c":null,"clock_event_reasons":null,"ecc_uncorrected_errors":null,'
    '"mig_mode":null,"process_count":null}],"version":1}'
)


def test_a_batch_of_an_older_probe_is_taken_and_what_it_did_not_know_is_unknown():
    assert decode(VERSION_1.encode()) == make_batch()
    assert make_batch().readings[0].xid_errors is None


def test_an_older_batch_with_newer_fields_is_refused():
    body = VERSION_1.replace('"mig_mode":null', '"mig_mode":null,"xid_errors":1')
    assert refusal(body.encode()) == (
        "readings[0].xid_errors: is not a field of version 1; leave it out"
    )


@pytest.mark.parametrize(
    ("in_reading", "said"),
    [
        ({"lost": None}, "lost: must be true or false, not null"),
        ({"xid_errors": -1}, "xid_errors: must be from 0 to 1000000; send null for unknown"),
        ({"processes": 3}, "processes: must be a list, not a whole number"),
        ({"processes": [{}] * 101}, "processes: has 101; at most 100 are taken"),
        ({"processes": [7]}, "processes[0]: must be an object, not a whole number"),
        (
            {"processes": [{"pid": 7, "memory_used_bytes": 1, "name": ""}]},
            "processes[0].mig_uuid: is missing; every field is sent, null where unknown",
        ),
        (
            {"mig_instances": [dict.fromkeys(wire._MIG_CHECKS)]},
            "mig_instances[0].uuid: must be text, not null",
        ),
    ],
)
def test_a_wrong_list_is_refused_by_the_place_in_it(in_reading, said):
    assert refusal(changed(in_reading=in_reading)) == f"readings[0].{said}"


def test_a_missing_field_is_named():
    plain = json.loads(encode(make_batch()))
    del plain["readings"][0]["power_w"]
    assert refusal(json.dumps(plain).encode()) == (
        "readings[0].power_w: is missing; every field is sent, null where unknown"
    )


def test_the_same_gpu_twice_at_one_moment_is_refused():
    reading = make_batch().readings[0]
    with pytest.raises(WireError, match=r"^readings\[1\]\.at: is the second reading"):
        encode(make_batch(readings=(reading, reading)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff", "body: is not UTF-8 JSON"),
        (b'{"version":1', "body: is not UTF-8 JSON"),
        (b"[]", "body: must be one JSON object, not a list"),
        (b'{"version":1,"version":1}', "version: is written twice in one object; send it once"),
        (b'{"a":1e999}', "version: says nothing, this side speaks 1 to 2"),
        (b'{"a":' + b"9" * 5000 + b"}", "body: is not UTF-8 JSON"),
        (b"[" * 200_000, "body: is nested too deeply; send one batch object"),
        (b" " * (wire.MAX_BATCH_BYTES + 1), "body: has 4194305 bytes; at most 4194304 are taken"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_in_words(body, said):
    assert refusal(body).startswith(said)


def test_infinity_hidden_in_a_large_exponent_is_refused():
    body = encode(make_batch()).replace(b'"power_w":412.345', b'"power_w":1e999')
    assert refusal(body) == ("readings[0].power_w: must be finite, not inf; send null for unknown")


def test_encode_refuses_what_decode_would():
    with pytest.raises(WireError, match=r"^pool: is empty"):
        encode(make_batch(pool=""))


def test_check_reading_names_the_bare_field():
    with pytest.raises(WireError) as caught:
        check_reading(GpuReading(uuid="GPU-1", index=0, name="H100", at=1.75e9, power_w=-1.0))
    assert caught.value.field == "power_w"


def test_a_full_batch_of_the_longest_readings_fits_the_limit():
    reading = GpuReading(
        uuid="u" * 92, index=0, name="😀" * 128, at=4_102_444_799.123, energy_mj=wire.MAX_COUNTER
    )
    many = tuple(
        GpuReading(
            **{f.name: getattr(reading, f.name) for f in fields(reading)} | {"uuid": f"{i:096d}"}
        )
        for i in range(wire.MAX_READINGS)
    )
    assert len(decode(encode(make_batch(readings=many))).readings) == wire.MAX_READINGS
