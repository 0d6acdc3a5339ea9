#!/usr/bin/env bash
# Builds what the benchmarks measure, starts a RabbitMQ, and runs them one after the other: `make bench`.
# Settings of the single benchmarks: see the first lines of benches/src/bin/*.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${ASYA_TEST_RABBITMQ_URL:-}" ]; then
    cargo build --release --quiet -p asya-sidecar -p asya-benches
    ASYA_TEST_SERVERS=rabbitmq exec tests/servers/all.sh run "$0"
fi

echo "== socket: sidecar's end and one Python worker"
target/release/socket
echo "== relay: queue to queue, beside a bare lapin relay"
target/release/relay
echo "== idle: resident memory and processor time of asya-sidecar"
benches/idle.sh
