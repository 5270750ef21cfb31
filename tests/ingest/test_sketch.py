import numpy as np
import pytest
from ddsketch import DDSketch
from django.db import connection

from ingest import sketch


def sketched(values):
    return sketch.merge(([sketch.bucket(value)], [1]) for value in values)


@pytest.mark.parametrize("q", [0.0, 0.5, 0.95, 0.99, 1.0])
def test_quantile_is_right_to_the_promised_accuracy(q):
    values = np.random.default_rng(7).lognormal(4, 1.5, 5000)
    keys, counts = sketched(values)
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert sketch.quantile(keys, counts, q) == pytest.approx(exact, rel=sketch.ACCURACY * 1.0001)


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1050, 1500])
@pytest.mark.parametrize("percent", [1, 7, 50, 95, 99, 100])
def test_quantile_is_the_nearest_rank(count, percent):
    values = [1.5**n for n in range(count)] if count < 200 else [float(n + 1) for n in range(count)]
    keys, counts = sketched(values)
    exact = values[-(-percent * count // 100) - 1]
    assert sketch.quantile(keys, counts, percent / 100) == pytest.approx(
        exact, rel=sketch.ACCURACY * 1.0001
    )


def test_quantile_equals_the_reference_implementation():
    values = np.random.default_rng(8).lognormal(3, 1, 2000)
    reference = DDSketch(sketch.ACCURACY)
    for value in values:
        reference.add(value)
    keys, counts = sketched(values)
    for q in (0.1, 0.5, 0.9, 0.99):
        assert sketch.quantile(keys, counts, q) == pytest.approx(
            reference.get_quantile_value(q), rel=2 * sketch.ACCURACY
        )


def test_merging_equals_sketching_together():
    values = np.random.default_rng(9).exponential(100, 1000)
    apart = sketch.merge([sketched(values[:300]), sketched(values[300:])])
    assert apart == sketched(values)


def test_zero_has_a_bucket_and_nothing_has_no_quantile():
    assert sketch.quantile([sketch.bucket(0.0)], [3], 0.5) == 0.0
    assert sketch.quantile([], [], 0.5) is None


@pytest.mark.django_db
def test_database_puts_values_into_the_same_buckets():
    values = [0.0, 1e-7, 0.5, 1.0, 3.3, 250.0, 1e6]
    with connection.cursor() as cursor:
        bucket = sketch.BUCKET_SQL.format(x="v")
        cursor.execute(f"SELECT {bucket} FROM unnest(%s::float8[]) AS v", [values])
        assert [key for (key,) in cursor.fetchall()] == [sketch.bucket(v) for v in values]


@pytest.mark.django_db
@pytest.mark.parametrize("size", [4, 8])
def test_arrays_as_the_database_sends_them_are_merged_alike(size):
    sketches = [([sketch.ZERO_BUCKET, -3, 0, 700], [1, 2**31 - 1, 3, 4]), ([0, 5], [7, 1])]
    with connection.cursor() as cursor:
        sent = []
        for parts in sketches:
            cursor.execute(f"SELECT array_send(%s::int2[]), array_send(%s::int{size}[])", parts)
            sent.append(cursor.fetchone())
    assert sketch.merge_sent(sent) == sketch.merge(sketches)
    assert sketch.merge_sent(sent[:1]) == sketches[0]
