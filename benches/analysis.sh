#!/usr/bin/env bash
# A watched cluster of thousands of objects: `make bench-analysis`.
#
# The time from the start of k8s-watch until every object was sent once, its peak resident memory, its calls to the API
# server by verb and kind, and what it uses of a processor in the quiet time after; then the same of a resync that a
# message asks for. What it sends stays in a queue file: nobody analyses it. Pods have a status as a kubelet writes it; no
# kubelet runs.
#
# settings: PODS=5000, OTHERS=2000 (Services, ConfigMaps, Ingresses and claims), QUIET=60 (seconds), PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."
PODS=${PODS:-5000} OTHERS=${OTHERS:-2000} QUIET=${QUIET:-60} PROFILE=${PROFILE:-release}
CREW=target/$PROFILE/asya-crew
export ASYA_TEST_KUBERNETES_AUDIT=1

if [ -z "${ASYA_TEST_KUBECONFIG:-}" ]; then
    cargo build --quiet ${PROFILE:+--profile "${PROFILE/debug/dev}"} -p asya-crew
    ASYA_TEST_SERVERS="kubernetes" exec tests/servers/all.sh run "$0"
fi
export KUBECONFIG=$ASYA_TEST_KUBECONFIG PATH=$ASYA_TEST_KUBERNETES_TOOLS:$PATH
WORK=$(mktemp -d)
AUDIT=$(dirname "$ASYA_TEST_KUBECONFIG")/audit.log
finish() {
    [ -z "${PID:-}" ] || kill "$PID" 2>/dev/null || true
    [ -z "${PROXY:-}" ] || kill "$PROXY" 2>/dev/null || true
    rm -rf "$WORK"
}
trap finish EXIT

kubectl proxy --unix-socket="$WORK/api" >/dev/null 2>&1 &
PROXY=$!
python3 benches/analysis_objects.py "$WORK/api" "$PODS" "$OTHERS"

export ASYA_TRANSPORT=local ASYA_LOCAL_PATH=$WORK/queues.db ASYA_METRICS_ENABLED=false ASYA_WATCH_RESYNC=24h
# Makes the queue file; nobody makes queues in it but `asya up`, and this.
"$CREW" k8s-analyze 2>"$WORK/analyze.log" &
PID=$!
queues() { python3 benches/queue_file.py "$WORK/queues.db" asya-k8s-analyze; }
until queues >/dev/null 2>&1; do sleep 0.1; done
kill "$PID"
wait "$PID" || true
queues >/dev/null

began=$(date +%s%3N)
"$CREW" k8s-watch 2>"$WORK/log" &
PID=$!
peak() { awk '/^VmHWM/ {printf "%.1f", $2 / 1024}' "/proc/$PID/status"; }
resident() { awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$PID/status"; }
ticks() { awk '{print $14 + $15}' "/proc/$PID/stat"; }
calls() { python3 tests/cluster/calls.py "$AUDIT" asya-k8s-watch; }
sent=0 last=$began
# Complete when nothing more came for five seconds and every pod must have.
until [ "$sent" -ge "$PODS" ] && [ $(($(date +%s%3N) - last)) -gt 5000 ]; do
    kill -0 "$PID" || { tail -3 "$WORK/log" >&2; exit 1; }
    [ $(($(date +%s%3N) - began)) -lt 600000 ] || { tail -3 "$WORK/log" >&2; echo "only $sent were sent" >&2; exit 1; }
    count=$(queues)
    [ "$count" -eq "$sent" ] || { sent=$count last=$(date +%s%3N); }
    sleep 0.2
done
used=$(ticks)
calls >"$WORK/before"
sleep "$QUIET"
quiet=$(($(ticks) - used))
calls >"$WORK/after"

printf '%s pods and %s other objects, k8s-watch built as %s\n' "$PODS" "$OTHERS" "$PROFILE"
printf 'the first complete pass: %s messages in %.1f s, with %.1f s of a processor\n' \
    "$sent" "$((last - began))e-3" "$(awk -v ticks="$used" -v hertz="$(getconf CLK_TCK)" 'BEGIN {print ticks / hertz}')"
printf 'resident memory: %s MiB at its peak, %s MiB at rest\n' "$(peak)" "$(resident)"
echo "calls to the API server until then:"
awk '{printf "  %-8s %-40s %5d\n", $1, $2, $3; sum += $3} END {printf "  %-49s %5d\n", "all", sum}' "$WORK/before"
awk -v ticks="$quiet" -v hertz="$(getconf CLK_TCK)" -v quiet="$QUIET" \
    'BEGIN {printf "in %d s of rest: %.2f %% of a processor, and these calls:\n", quiet, 100 * ticks / hertz / quiet}'
diff <(sort "$WORK/before") <(sort "$WORK/after") | sed -n 's/^> /  /p' || true
