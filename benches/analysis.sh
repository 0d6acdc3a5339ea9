#!/usr/bin/env bash
# A watched cluster of thousands of objects: `make bench-analysis`.
#
# The time from the start of k8s-watch until every object was looked at and sent, its peak resident memory, its calls to the
# API server by verb and kind, and what it uses of a processor in the quiet time after, in which nothing may be listed a
# second time. What it sends stays in a queue file: nobody analyses it. Pods have a status as a kubelet writes it; no
# kubelet runs, and no controllers: they would write an event of every claim without a volume, every fifteen seconds.
#
# The program is built as for the image, with musl, where Rust has that target (rustup target add, and musl-tools of
# Debian), else for this machine: how much memory stays with the allocator is a matter of the C library.
#
# settings: PODS=5000, OTHERS=2000 (Services, ConfigMaps, Ingresses and claims), QUIET=60 (seconds), PROFILE=release,
# TARGET (a target of Rust)
set -euo pipefail
cd "$(dirname "$0")/.."
PODS=${PODS:-5000} OTHERS=${OTHERS:-2000} QUIET=${QUIET:-60} PROFILE=${PROFILE:-release}
HOST=$(rustc -vV | sed -n 's/^host: //p')
MUSL=${HOST/-gnu/-musl}
if [ -z "${TARGET:-}" ]; then
    [ -d "$(rustc --print sysroot)/lib/rustlib/$MUSL/lib" ] && TARGET=$MUSL || TARGET=$HOST
fi
export TARGET
CREW=target/$TARGET/$PROFILE/asya-crew
export ASYA_TEST_KUBERNETES_AUDIT=1 ASYA_TEST_KUBERNETES_BARE=1

if [ -z "${ASYA_TEST_KUBECONFIG:-}" ]; then
    cargo build --quiet --profile "${PROFILE/debug/dev}" --target "$TARGET" -p asya-crew
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
queue() { python3 benches/queue_file.py "$WORK/queues.db" "$1"; }
queues() { queue asya-k8s-analyze; }
until queues >/dev/null 2>&1; do sleep 0.1; done
kill "$PID"
wait "$PID" || true
queue asya-k8s-watch >/dev/null

began=$(date +%s%3N)
"$CREW" k8s-watch 2>"$WORK/log" &
PID=$!
peak() { awk '/^VmHWM/ {printf "%.1f", $2 / 1024}' "/proc/$PID/status"; }
resident() { awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$PID/status"; }
ticks() { awk '{print $14 + $15}' "/proc/$PID/stat"; }
calls() { python3 tests/cluster/calls.py "$AUDIT" asya-k8s-watch; }
gone_on() { kill -0 "$PID" && [ $(($(date +%s%3N) - began)) -lt 600000 ]; }
# The last ones may be on their way when all were looked at.
until grep -q "every object was looked at" "$WORK/log" && [ "${sent:-}" = "$(queues)" ]; do
    gone_on || { tail -3 "$WORK/log" >&2; echo "no complete pass in ten minutes, $(queues) sent" >&2; exit 1; }
    sent=$(queues) last=$(date +%s%3N)
    sleep 0.2
done
[ "$sent" -ge "$PODS" ] || { echo "only $sent were sent" >&2; exit 1; }
# What follows the pass: what it wrote is on the disk, and what it asked for once is answered.
sleep 5
used=$(ticks)
calls >"$WORK/before"
sleep "$QUIET"
quiet=$(($(ticks) - used))
calls >"$WORK/after"

printf '%s pods and %s other objects, k8s-watch built as %s for %s\n' "$PODS" "$OTHERS" "$PROFILE" "$TARGET"
printf 'the first complete pass: %s messages in %.1f s, with %.1f s of a processor\n' \
    "$sent" "$((last - began))e-3" "$(awk -v ticks="$used" -v hertz="$(getconf CLK_TCK)" 'BEGIN {print ticks / hertz}')"
printf 'resident memory: %s MiB at its peak, %s MiB at rest\n' "$(peak)" "$(resident)"
echo "calls to the API server until then:"
awk '{printf "  %-8s %-40s %5d\n", $1, $2, $3; sum += $3} END {printf "  %-49s %5d\n", "all", sum}' "$WORK/before"
awk -v ticks="$quiet" -v hertz="$(getconf CLK_TCK)" -v quiet="$QUIET" \
    'BEGIN {printf "in %d s of rest: %.2f %% of a processor, and these calls:\n", quiet, 100 * ticks / hertz / quiet}'
{ diff <(sort "$WORK/before") <(sort "$WORK/after") || true; } | sed -n 's/^> //p' >"$WORK/rest"
sed 's/^/  /' "$WORK/rest"
# A kind that somebody asks for the first time is no list per interval.
again=$(awk 'NR == FNR {was[$1, $2]; next} $1 == "list" && ($1, $2) in was' "$WORK/before" "$WORK/rest")
[ -z "$again" ] || { printf 'listed again while nothing happened:\n%s\n' "$again" >&2; exit 1; }
