#!/usr/bin/env bash
# 200 sessions with an agent at once: `make bench-agents`. No server is needed; with TRANSPORT=rabbitmq one is started.
#
# settings: those of benches/src/bin/agents.rs, and PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."
PROFILE=${PROFILE:-release}
cargo build --quiet --profile "${PROFILE/debug/dev}" -p asya-gateway -p asya-crew -p asya-benches
if [ "${TRANSPORT:-local}" = rabbitmq ] && [ -z "${ASYA_TEST_RABBITMQ_URL:-}" ]; then
    ASYA_TEST_SERVERS=rabbitmq exec tests/servers/all.sh run "${CARGO_TARGET_DIR:-target}/$PROFILE/agents"
fi
exec "${CARGO_TARGET_DIR:-target}/$PROFILE/agents"
