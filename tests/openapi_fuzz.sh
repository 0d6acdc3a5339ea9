#!/usr/bin/env bash
# The gateway's routes, those of the Go system among them, against their own description: starts the binary on a
# database and a queue file of its own and lets schemathesis send what fits the description and what does not, for at
# most ASYA_FUZZ_SECONDS (20). Nothing may end in 5xx, and every answer has a status and a shape that the description
# names.
#
# Needs `cargo build -p asya-gateway` and schemathesis of tests/requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_AT_MOST=${ASYA_FUZZ_SECONDS:-20}
SCHEMATHESIS=${SCHEMATHESIS:-$PWD/target/venv/bin/schemathesis}
GATEWAY=${ASYA_GATEWAY:-$PWD/target/debug/asya-gateway}
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
FOLDER=$(mktemp -d)
GATEWAY_PID=
trap 'kill "$GATEWAY_PID" 2>/dev/null || true; wait "$GATEWAY_PID" 2>/dev/null || true; rm -rf "$FOLDER"' EXIT

cat > "$FOLDER/tools.yaml" <<'TOOLS'
tools:
  - name: ocr
    description: Reads the text of a page.
    route: [split, read]
    timeout: 1
    parameters:
      page: {type: integer, required: true}
      language: {type: string, options: [de, en], default: en}
TOOLS
export ASYA_GATEWAY_BIND=127.0.0.1 ASYA_GATEWAY_PORT=$PORT ASYA_TRANSPORT=local ASYA_LOCAL_PATH=$FOLDER/queue.db \
    ASYA_DATABASE_URL=$FOLDER/gateway.db ASYA_CONFIG_PATH=$FOLDER/tools.yaml ASYA_LOG_LEVEL=warn
"$GATEWAY" >"$FOLDER/log" 2>&1 &
GATEWAY_PID=$!
for _ in $(seq 100); do
    curl -fsS "http://127.0.0.1:$PORT/readyz" >/dev/null 2>&1 && break
    kill -0 "$GATEWAY_PID" 2>/dev/null || { cat "$FOLDER/log" >&2; exit 1; }
    sleep 0.1
done

# Sent before, so that some ids and calls are known ones.
post() { curl -fsS -H 'Content-Type: application/json' -d "$2" "http://127.0.0.1:$PORT/api/v1$1"; }
post /envelopes '{"id": "known", "route": "split,read", "payload": {"page": 1}}' >/dev/null
post /tools/ocr '{"arguments": {"page": 1}}' >/dev/null

# That all that fits is taken is not asked for: tools have arguments, and pages places, that no description of the API
# knows. Streams last as long as their envelopes: tests of the gateway follow them. /health answers any method.
# It leaves a folder where it runs.
cd "$FOLDER"
status=0
timeout $((SECONDS_AT_MOST + 60)) "$SCHEMATHESIS" run "http://127.0.0.1:$PORT/api/v1/openapi.json" \
    --url "http://127.0.0.1:$PORT" --exclude-operation-id followEnvelope --exclude-operation-id followRecord \
    --exclude-operation-id followEnvelopeBySocket --exclude-operation-id health --max-time "$SECONDS_AT_MOST" --request-timeout 10 --warnings off \
    --exclude-checks positive_data_acceptance \
    --generation-database none --no-color >"$FOLDER/report" 2>&1 || status=$?
kill -0 "$GATEWAY_PID" 2>/dev/null || { echo "the gateway has ended" >&2; status=1; }
[ "$status" = 0 ] || { cat "$FOLDER/report" "$FOLDER/log" >&2; exit "$status"; }
tail -n 3 "$FOLDER/report"
