-- One row per report of an input's health: once a minute, and when its state changes.
CREATE TABLE IF NOT EXISTS {db}.source_health
(
    input        LowCardinality(String),
    sources      Array(LowCardinality(String)),
    tenants      Array(LowCardinality(String)),
    time         DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    state        LowCardinality(String),
    detail       String CODEC(ZSTD(1)),
    read_through Nullable(DateTime64(3, 'UTC')),
    last_event   Nullable(DateTime64(3, 'UTC')),
    lag_seconds  Nullable(Float64),
    records      UInt64,
    malformed    UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (input, time)
TTL toDateTime(time) + toIntervalDay(90)
SETTINGS non_replicated_deduplication_window = 10000;

-- One row per interval of event time whose records were read late, or not at all. A gap is open while to_time is
-- NULL; its end is a higher revision under the same id.
CREATE TABLE IF NOT EXISTS {db}.source_gaps
(
    id        String CODEC(ZSTD(1)),
    revision  UInt64,
    input     LowCardinality(String),
    sources   Array(LowCardinality(String)),
    tenants   Array(LowCardinality(String)),
    kind      LowCardinality(String),
    from_time DateTime64(3, 'UTC'),
    to_time   Nullable(DateTime64(3, 'UTC')),
    opened_at DateTime64(3, 'UTC'),
    detail    String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY id
TTL toDateTime(opened_at) + toIntervalDay(400)
SETTINGS non_replicated_deduplication_window = 10000;
