"""The partitioned tables.

Written by hand, for Django knows no PARTITION BY. Partitions are made by `ingest.partitions` when
the first fact of a day arrives. Primary keys hold owner and partition key and no constraint
crosses owners, so that the tables can be distributed by owner one day.
"""

from django.db import migrations

TABLES = """
CREATE TABLE ingest_span (
    project_id integer NOT NULL,
    day date NOT NULL,
    key uuid NOT NULL,
    source_id integer NOT NULL,
    version bigint NOT NULL,
    trace_id text NOT NULL,
    span_id text NOT NULL,
    parent_span_id text NOT NULL,
    external_id text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    service text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    request_model text NOT NULL,
    tier text NOT NULL,
    status text NOT NULL,
    error_type text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    latency_ms double precision,
    ttft_ms double precision,
    input_band integer NOT NULL,
    input_tokens bigint,
    cache_read_tokens bigint,
    cache_write_5m_tokens bigint,
    cache_write_1h_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    audio_input_tokens bigint,
    audio_output_tokens bigint,
    image_input_tokens bigint,
    usage_convention text NOT NULL,
    source_cost_usd numeric(38, 20),
    prompt_hash bytea,
    prefix_hashes bytea[],
    input_chars integer,
    output_chars integer,
    attributes jsonb,
    received_at timestamptz NOT NULL,
    raw_usage jsonb,
    parameters_hash bytea,
    prompt_signature bytea,
    removable_tokens bigint,
    PRIMARY KEY (project_id, day, key),
    CONSTRAINT span_kind_known CHECK (kind IN (
        'agent', 'chain', 'embedding', 'evaluator', 'guardrail', 'inference', 'llm', 'rerank',
        'retriever', 'span', 'tool')),
    CONSTRAINT span_status_known CHECK (status IN ('error', 'ok')),
    -- LEAST passes over NULL, so one check serves every class and unknown stays allowed.
    CONSTRAINT span_tokens_not_negative CHECK (LEAST(
        input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
        output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,
        image_input_tokens, input_chars, output_chars) >= 0),
    -- NaN sorts above every number, so an upper bound keeps it out as well.
    CONSTRAINT span_times_sane CHECK (
        LEAST(latency_ms, ttft_ms) >= 0 AND GREATEST(latency_ms, ttft_ms) < 1e12),
    CONSTRAINT span_ends_after_start CHECK (ended_at >= started_at),
    CONSTRAINT span_source_cost_sane CHECK (
        source_cost_usd >= 0 AND source_cost_usd < 1000000000000),
    CONSTRAINT span_removable_not_negative CHECK (removable_tokens >= 0)
) PARTITION BY RANGE (day);

-- Prompts and answers, of projects that keep them.
CREATE TABLE ingest_span_text (
    project_id integer NOT NULL,
    day date NOT NULL,
    key uuid NOT NULL,
    version bigint NOT NULL,
    texts jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (project_id, day, key)
) PARTITION BY RANGE (day);

CREATE TABLE ingest_metric_sample (
    pool_id integer NOT NULL,
    day date NOT NULL,
    series_id bigint NOT NULL,
    at timestamptz NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (pool_id, day, series_id, at),
    CONSTRAINT metric_sample_value_finite CHECK (value > '-Infinity' AND value < 'Infinity')
) PARTITION BY RANGE (day);

CREATE TABLE ingest_gpu_sample (
    pool_id integer NOT NULL,
    day date NOT NULL,
    gpu_id bigint NOT NULL,
    at timestamptz NOT NULL,
    utilization_pct double precision,
    memory_used_bytes bigint,
    power_w double precision,
    power_limit_w double precision,
    energy_mj bigint,
    sm_clock_mhz integer,
    temperature_c double precision,
    clock_event_reasons bigint,
    ecc_uncorrected bigint,
    memory_reserved_bytes bigint,
    ecc_corrected bigint,
    remapped_corrected integer,
    remapped_uncorrected integer,
    remap_pending boolean,
    remap_failed boolean,
    xid_errors integer,
    last_xid integer,
    process_count integer,
    is_mig boolean,
    is_lost boolean NOT NULL DEFAULT false,
    PRIMARY KEY (pool_id, day, gpu_id, at),
    CONSTRAINT gpu_sample_utilization_sane CHECK (utilization_pct BETWEEN 0 AND 100),
    CONSTRAINT gpu_sample_not_negative CHECK (
        LEAST(memory_used_bytes, energy_mj, ecc_uncorrected, sm_clock_mhz) >= 0),
    CONSTRAINT gpu_sample_power_sane CHECK (
        LEAST(power_w, power_limit_w) >= 0 AND GREATEST(power_w, power_limit_w) < 100000),
    CONSTRAINT gpu_sample_temperature_sane CHECK (temperature_c BETWEEN -50 AND 500),
    CONSTRAINT gpu_sample_health_not_negative CHECK (
        LEAST(memory_reserved_bytes, ecc_corrected, remapped_corrected, remapped_uncorrected,
            xid_errors, last_xid, process_count) >= 0)
) PARTITION BY RANGE (day);

CREATE TABLE ingest_bill_line (
    source_id integer NOT NULL,
    billing_month date NOT NULL,
    delivery_id bigint NOT NULL,
    line bigint NOT NULL,
    period_id bigint NOT NULL,
    billing_account_id text NOT NULL,
    billing_account_name text NOT NULL,
    billing_period_start timestamptz NOT NULL,
    billing_period_end timestamptz NOT NULL,
    charge_period_start timestamptz NOT NULL,
    charge_period_end timestamptz NOT NULL,
    billing_currency text NOT NULL,
    billed_cost numeric(38, 20),
    effective_cost numeric(38, 20),
    list_cost numeric(38, 20),
    contracted_cost numeric(38, 20),
    charge_category text NOT NULL,
    charge_class text NOT NULL,
    charge_description text NOT NULL,
    charge_frequency text NOT NULL,
    commitment_discount_id text NOT NULL,
    commitment_discount_status text NOT NULL,
    consumed_quantity numeric,
    consumed_unit text NOT NULL,
    pricing_category text NOT NULL,
    pricing_quantity numeric,
    pricing_unit text NOT NULL,
    provider_name text NOT NULL,
    publisher_name text NOT NULL,
    invoice_issuer_name text NOT NULL,
    invoice_id text NOT NULL,
    region_id text NOT NULL,
    resource_id text NOT NULL,
    resource_name text NOT NULL,
    resource_type text NOT NULL,
    service_category text NOT NULL,
    service_name text NOT NULL,
    sku_id text NOT NULL,
    sku_price_id text NOT NULL,
    sub_account_id text NOT NULL,
    sub_account_name text NOT NULL,
    tags jsonb NOT NULL,
    extra jsonb NOT NULL,
    repairs jsonb NOT NULL,
    content_hash bytea NOT NULL,
    PRIMARY KEY (source_id, billing_month, delivery_id, line),
    CONSTRAINT bill_line_billed_cost_finite CHECK (billed_cost > -1000000000000 AND billed_cost < 1000000000000),
    CONSTRAINT bill_line_effective_cost_finite CHECK (effective_cost > -1000000000000 AND effective_cost < 1000000000000),
    CONSTRAINT bill_line_list_cost_finite CHECK (list_cost > -1000000000000 AND list_cost < 1000000000000),
    CONSTRAINT bill_line_contracted_cost_finite CHECK (contracted_cost > -1000000000000 AND contracted_cost < 1000000000000),
    CONSTRAINT bill_line_quantities_finite CHECK (
        GREATEST(abs(consumed_quantity), abs(pricing_quantity)) < 1e24),
    CONSTRAINT bill_line_currency_named CHECK (billing_currency <> ''),
    CONSTRAINT bill_line_period_forward CHECK (charge_period_end >= charge_period_start)
) PARTITION BY RANGE (billing_month);

CREATE INDEX span_started ON ingest_span (project_id, started_at);
CREATE INDEX span_trace ON ingest_span (project_id, trace_id);
CREATE INDEX metric_sample_at ON ingest_metric_sample USING brin (at);
CREATE INDEX bill_line_charge ON ingest_bill_line (period_id, charge_period_start);
-- Dropping a day's partition also forgets its keys; they arrive in time order, so BRIN suffices.
CREATE INDEX span_key_day ON ingest_span_key USING brin (day);
CREATE INDEX usage_parent_day ON ingest_usage_parent USING brin (day);
CREATE INDEX span_sighting_day ON ingest_span_sighting USING brin (day);
"""

DROP = """
DROP TABLE ingest_span, ingest_span_text, ingest_metric_sample, ingest_gpu_sample, ingest_bill_line;
DROP INDEX span_key_day, usage_parent_day, span_sighting_day;
"""


class Migration(migrations.Migration):
    dependencies = [("ingest", "0001_tables")]

    operations = [
        migrations.RunSQL(TABLES, DROP),
    ]
