#!/usr/bin/env bash
# Tool calls through gateway, queue file, sidecar and one Python actor, and back: `make bench-gateway`. No server is needed.
#
# settings: those of benches/src/bin/gateway.rs, and PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."
PROFILE=${PROFILE:-release}
cargo build --quiet --profile "${PROFILE/debug/dev}" -p asya-gateway -p asya-sidecar -p asya-crew -p asya-benches
exec "target/$PROFILE/gateway"
