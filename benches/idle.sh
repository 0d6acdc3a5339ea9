#!/usr/bin/env bash
# Memory and processor time of an idle asya-sidecar (release) that is connected to its broker and its runtime.
# Goals: at most 15 MiB resident, no measurable processor time over SECONDS (30).
set -euo pipefail
cd "$(dirname "$0")/.."
: "${ASYA_TEST_RABBITMQ_URL:?start one: tests/servers/rabbitmq.sh start}"
seconds=${SECONDS_IDLE:-30}
sockets=$(mktemp -d /tmp/asya-idle.XXXXXX)

PYTHONPATH=runtime-py/src:benches ASYA_HANDLER=handlers.echo ASYA_SOCKET_DIR=$sockets python3 -m asya_runtime &
runtime=$!
ASYA_ACTOR_NAME=bench-in ASYA_TRANSPORT=rabbitmq ASYA_RABBITMQ_URL=$ASYA_TEST_RABBITMQ_URL \
    ASYA_SOCKET_DIR=$sockets ASYA_METRICS_ADDR=127.0.0.1:0 target/release/asya-sidecar >/dev/null 2>&1 &
sidecar=$!
trap 'kill $sidecar $runtime 2>/dev/null; wait 2>/dev/null; rm -rf "$sockets"' EXIT

sleep 5
ticks() { awk '{print $14 + $15}' "/proc/$sidecar/stat"; }
before=$(ticks)
sleep "$seconds"
after=$(ticks)
awk -v kb="$(awk '/VmRSS/{print $2}' "/proc/$sidecar/status")" -v t=$((after - before)) -v s="$seconds" -v hz="$(getconf CLK_TCK)" \
    'BEGIN{printf "resident %.1f MiB (goal: at most 15), processor time %.2f s in %d s\n", kb/1024, t/hz, s}'
