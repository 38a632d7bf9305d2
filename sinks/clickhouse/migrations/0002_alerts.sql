-- One row per revision of an alert; merges and FINAL keep the highest. The column alert is the whole alert as JSON.
CREATE TABLE IF NOT EXISTS {db}.alerts
(
    id                    String CODEC(ZSTD(1)),
    revision              UInt64,
    state                 LowCardinality(String),
    rule_id               LowCardinality(String),
    rule_version          UInt32,
    rule_title            LowCardinality(String),
    severity              LowCardinality(String),
    severity_rank         UInt8,
    title                 String CODEC(ZSTD(1)),
    reason                LowCardinality(String),
    time                  DateTime64(3, 'UTC'),
    first_at              DateTime64(3, 'UTC'),
    observed_at           DateTime64(3, 'UTC'),
    emitted_at            DateTime64(3, 'UTC'),
    identity              String CODEC(ZSTD(1)),
    identity_name         String CODEC(ZSTD(1)),
    identity_display_name String CODEC(ZSTD(1)),
    tier                  LowCardinality(String),
    populations           Array(LowCardinality(String)),
    source                LowCardinality(String),
    tenant                LowCardinality(String),
    anchor                String CODEC(ZSTD(1)),
    method                LowCardinality(String),
    usual_method          LowCardinality(String),
    endpoint_ip           String CODEC(ZSTD(1)),
    endpoint_asn          UInt32,
    endpoint_as_org       LowCardinality(String),
    endpoint_country      LowCardinality(String),
    endpoint_city         LowCardinality(String),
    user_agent            String CODEC(ZSTD(1)),
    app_id                String CODEC(ZSTD(1)),
    app_name              LowCardinality(String),
    session_id            String CODEC(ZSTD(1)),
    attack_ids            Array(LowCardinality(String)),
    tags                  Array(LowCardinality(String)),
    evidence_event_ids    Array(String) CODEC(ZSTD(1)),
    alert                 String CODEC(ZSTD(3)),

    INDEX by_identity identity TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_time time TYPE minmax GRANULARITY 1,
    CONSTRAINT has_id CHECK notEmpty(id),
    CONSTRAINT has_revision CHECK revision > 0,
    CONSTRAINT has_time CHECK time >= toDateTime64('2000-01-01 00:00:00', 3, 'UTC')
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY id
TTL toDateTime(time) + toIntervalDay(1100)
SETTINGS non_replicated_deduplication_window = 10000;
