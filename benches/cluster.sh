#!/usr/bin/env bash
# A thousand actors on a real API server: `make bench-cluster`.
#
# The time until all are ready to scale (queue, workload and ScaledObject exist, the status says Napping), the operator's
# peak resident memory, its calls to the API server by verb and kind, and its writes in the quiet minutes after; then the
# peak of an operator that starts and finds them all. KEDA itself does not run: its resources exist, nobody acts on them.
#
# settings: ACTORS=1000, QUIET=300 (seconds), PROFILE=release
set -euo pipefail
cd "$(dirname "$0")/.."
ACTORS=${ACTORS:-1000} QUIET=${QUIET:-300} SETTLED=60 PROFILE=${PROFILE:-release}
OPERATOR=target/$PROFILE/asya-operator
export ASYA_TEST_KUBERNETES_AUDIT=1

if [ -z "${ASYA_TEST_KUBECONFIG:-}" ]; then
    cargo build --quiet ${PROFILE:+--profile "${PROFILE/debug/dev}"} -p asya-operator
    ASYA_TEST_SERVERS="rabbitmq kubernetes" exec tests/servers/all.sh run "$0"
fi
export KUBECONFIG=$ASYA_TEST_KUBECONFIG PATH=$ASYA_TEST_KUBERNETES_TOOLS:$PATH
NAMESPACE=bench
WORK=$(mktemp -d)
AUDIT=$(dirname "$ASYA_TEST_KUBECONFIG")/audit.log
now() { date +%s%3N; }
finish() {
    [ -z "${PID:-}" ] || kill "$PID" 2>/dev/null || true
    rm -rf "$WORK"
}
trap finish EXIT

kubectl apply --server-side -f crds/asya.sh_asyncactors.yaml -f "$ASYA_TEST_KEDA_CRDS" >/dev/null
kubectl wait --for=condition=Established crd --all --timeout=60s >/dev/null
kubectl create namespace "$NAMESPACE" >/dev/null
python3 runtime-py/build_zipapp.py "$WORK/asya_runtime.py" >/dev/null
address=${ASYA_TEST_RABBITMQ_URL##*@} address=${address%%/*}
export ASYA_TRANSPORT_CONFIG="{\"transports\":{\"rabbitmq\":{\"enabled\":true,\"config\":{\"host\":\"${address%:*}\",\"port\":${address##*:},\
\"username\":\"guest\",\"managementURL\":\"http://${ASYA_TEST_RABBITMQ_MANAGEMENT##*@}\"}}}}"
export ASYA_OPERATOR_NAMESPACE=$NAMESPACE ASYA_RUNTIME_NAMESPACE=$NAMESPACE ASYA_RUNTIME_SCRIPT_PATH=$WORK/asya_runtime.py
export ASYA_METRICS_BIND_ADDRESS=127.0.0.1:0 ASYA_HEALTH_PROBE_BIND_ADDRESS=127.0.0.1:0 ASYA_LOG_FORMAT=json
start() {
    "$OPERATOR" 2>>"$WORK/log" &
    PID=$!
}
peak() { awk '/^VmHWM/ {printf "%.1f", $2 / 1024}' "/proc/$PID/status"; }
start

for i in $(seq "$ACTORS"); do
    cat <<ACTOR
{apiVersion: asya.sh/v1alpha1, kind: AsyncActor, metadata: {name: actor-$i, namespace: $NAMESPACE}, spec: {transport: rabbitmq,
  scaling: {enabled: true, maxReplicas: 20}, workload: {template: {spec: {containers: [{name: asya-runtime,
  image: "python:3.13-slim", env: [{name: ASYA_HANDLER, value: handlers.echo}]}]}}}}}
---
ACTOR
done >"$WORK/actors.yaml"
started=$(now)
kubectl apply --server-side -f "$WORK/actors.yaml" >/dev/null
applied=$(now)
napping() { kubectl get asyncactors -n "$NAMESPACE" -o 'jsonpath={range .items[*]}{.status.status}{"\n"}{end}' | grep -c '^Napping$' || true; }
until [ "$(napping)" -eq "$ACTORS" ]; do
    [ $(($(now) - applied)) -lt 600000 ] || { tail -3 "$WORK/log" >&2; echo "only $(napping) of $ACTORS nap" >&2; exit 1; }
    sleep 1
done
ready=$(now)
objects=$(kubectl get scaledobjects -n "$NAMESPACE" -o name | wc -l)
# Status that still settles is work, not quiet.
sleep 10
python3 tests/cluster/calls.py "$AUDIT" asya-operator >"$WORK/before"
sleep "$QUIET"
python3 tests/cluster/calls.py "$AUDIT" asya-operator >"$WORK/after"
first=$(peak)
kill "$PID"
wait "$PID" || true
python3 tests/cluster/calls.py "$AUDIT" asya-operator >"$WORK/stopped"
start
# Every actor's queue is looked at after a start, and each look takes its turn.
sleep "$SETTLED"
second=$(peak)
python3 tests/cluster/calls.py "$AUDIT" asya-operator >"$WORK/restarted"
changes() { diff <(sort "$1") <(sort "$2") | sed -n 's/^> /  /p' || true; }

printf '%s actors (%s ScaledObjects), operator built as %s\n' "$ACTORS" "$objects" "$PROFILE"
printf 'applied by kubectl in %.1f s; all nap %.1f s after that\n' "$((applied - started))e-3" "$((ready - applied))e-3"
printf 'peak resident memory of the operator: %s MiB; started again with all of them there: %s MiB\n' "$first" "$second"
echo "calls to the API server until then, and per actor:"
awk -v actors="$ACTORS" '{printf "  %-8s %-36s %7d %8.2f\n", $1, $2, $3, $3 / actors; sum += $3} END {printf "  %-45s %7d %8.2f\n", "all", sum, sum / actors}' "$WORK/before"
echo "calls in the $QUIET s after:"
changes "$WORK/before" "$WORK/after"
echo "calls after the new start, with those before:"
changes "$WORK/stopped" "$WORK/restarted"
