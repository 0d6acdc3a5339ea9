#!/usr/bin/env bash
# KEDA's own operator, metrics adapter and admission webhooks as processes, working on the API server of kubernetes.sh.
#
# usage: keda.sh start|stop|kill|restart|status|env|purge
#   start    build what is missing (6 minutes, once), start the API server if it is down, install KEDA's CRDs, roles,
#            APIService and webhook configuration, start the three, wait until the external metrics API answers; does
#            nothing when running
#   stop     stop them and delete the APIService and the webhook configuration, which would hinder everybody without them
#   kill     SIGKILL, and nothing is deleted: what a cluster is like whose KEDA has crashed
#   restart  stop and start
#   status   exit 0 and the environment when running, else exit 3
#   purge    stop and delete certificates, logs and remembered ports
#
# The environment is also in STATE/env: ASYA_TEST_KEDA_CTL (this script), ASYA_TEST_KEDA_VERSION.
#
# Settings: as kubernetes.sh, and ASYA_TEST_KEDA_PORTS="OPERATOR HEALTH METRICS ADAPTER ADAPTER_METRICS WEBHOOKS
# WEBHOOKS_HEALTH".

set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COMMAND=${1:---help}
STATE=$STATE_ROOT/keda
TLS=$STATE/tls
BIN=$STATE/bin
TOOLS=$SERVERS_DIR/../cluster/tools.sh
KUBERNETES=$SERVERS_DIR/kubernetes.sh
PORTS=(OPERATOR HEALTH METRICS ADAPTER ADAPTER_METRICS WEBHOOKS WEBHOOKS_HEALTH)
read -r "${PORTS[@]}" <<<"${ASYA_TEST_KEDA_PORTS:-}" || true

k() { "$KUBERNETES" kubectl "$@"; }
version() { grep -m1 -oP 'kedacore/keda/v2 v\K[0-9.]+' "$SERVERS_DIR/../cluster/tools/keda/go.mod"; }

# One certificate for all: the adapter is a client and a server, the operator its server, the webhooks are called by the API
# server. Self-signed, and its own authority.
make_certificates() {
    [ ! -e "$TLS/tls.crt" ] || return 0
    mkdir -p "$TLS"
    local names=DNS:localhost service
    for service in operator metrics-apiserver admission-webhooks; do names+=,DNS:keda-$service.keda.svc; done
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=keda -keyout "$TLS/tls.key" \
        -out "$TLS/ca.crt" -addext extendedKeyUsage=serverAuth,clientAuth \
        -addext "subjectAltName=$names" 2>"$TLS/openssl.log" || die "making the certificate failed, see $TLS/openssl.log"
    cp "$TLS/ca.crt" "$TLS/tls.crt"
}

# What its chart would install, but for the Deployments: the Services lead to this machine, as nothing routes here.
install_objects() {
    local config=$BIN/keda-config ca here='{type: ExternalName, externalName: localhost}'
    ca=$(base64 -w0 "$TLS/ca.crt")
    k create namespace keda --dry-run=client -o json | k apply -f - >/dev/null
    # Server-side: the CRDs are too large for the annotation of a client-side apply.
    k apply --server-side --force-conflicts -f "$config/crd/bases" >/dev/null
    # As its chart and its release files do: others tell the version by it.
    k label --overwrite -f "$config/crd/bases" "app.kubernetes.io/version=$(version)" >/dev/null
    k create serviceaccount keda-operator -n keda --dry-run=client -o json | k apply -f - >/dev/null
    k apply -f "$config/rbac/role.yaml" -f "$config/rbac/role_binding.yaml" -f "$config/metrics-server/role.yaml" \
        -f "$config/metrics-server/role_binding.yaml" >/dev/null
    k apply -f - >/dev/null <<OBJECTS
{apiVersion: v1, kind: Service, metadata: {name: keda-metrics-apiserver, namespace: keda}, spec: $here}
---
{apiVersion: v1, kind: Service, metadata: {name: keda-admission-webhooks, namespace: keda}, spec: $here}
---
{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1beta1.external.metrics.k8s.io}, spec: {
  group: external.metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, caBundle: $ca,
  service: {name: keda-metrics-apiserver, namespace: keda, port: $ADAPTER}}}
OBJECTS
    k wait --for=condition=Established crd --all --timeout=30s >/dev/null
}

# Last of all: while it is there and its server is not, every ScaledObject waits for it.
install_webhooks() {
    k create --dry-run=client -o json -f "$BIN/keda-config/webhooks/validation_webhooks.yaml" | python3 -c '
import json, sys
configuration, port, ca = json.load(sys.stdin), int(sys.argv[1]), sys.argv[2]
for webhook in configuration["webhooks"]:
    webhook["clientConfig"]["caBundle"] = ca
    webhook["clientConfig"]["service"]["port"] = port
json.dump(configuration, sys.stdout)' "$WEBHOOKS" "$(base64 -w0 "$TLS/ca.crt")" | k apply -f - >/dev/null
}

# launch_keda PROGRAM ARGUMENT...: with the rights of its ServiceAccount and no more.
launch_keda() {
    local program=$1
    shift
    launch "$STATE/$program.pid" "$STATE/$program.log" \
        env KUBECONFIG="$CONFIG" POD_NAMESPACE=keda WATCH_NAMESPACE= KEDA_CLUSTER_OBJECT_NAMESPACE=keda \
        "$BIN/keda-$program" "$@"
}

launch_all() {
    local namespace=system:serviceaccounts:keda
    CONFIG=$("$KUBERNETES" kubeconfig system:serviceaccount:keda:keda-operator system:serviceaccounts "$namespace")
    # Without leader election: one operator, and a lease would make each start wait for the last one's end.
    launch_keda operator --zap-log-level=info --zap-encoder=console --cert-dir="$TLS" --enable-cert-rotation=false \
        --metrics-bind-address="127.0.0.1:$METRICS" --health-probe-bind-address="127.0.0.1:$HEALTH" \
        --metrics-service-bind-address="127.0.0.1:$OPERATOR" --kube-api-qps=100 --kube-api-burst=200
    launch_keda adapter --zap-log-level=error --secure-port="$ADAPTER" --bind-address=127.0.0.1 --port="$ADAPTER_METRICS" \
        --tls-cert-file="$TLS/tls.crt" --tls-private-key-file="$TLS/tls.key" --cert-dir="$TLS" \
        --metrics-service-address="localhost:$OPERATOR" \
        --kube-api-qps=100 --kube-api-burst=200 \
        --lister-kubeconfig="$CONFIG" --authentication-kubeconfig="$CONFIG" --authorization-kubeconfig="$CONFIG"
    launch_keda webhooks --zap-log-level=error --cert-dir="$TLS" --port="$WEBHOOKS" --metrics-bind-address=0 \
        --health-probe-bind-address="127.0.0.1:$WEBHOOKS_HEALTH"
}

all_running() { running "$STATE/operator.pid" && running "$STATE/adapter.pid" && running "$STATE/webhooks.pid"; }
answers() { curl -sfk --noproxy '*' --max-time 5 "$1" >/dev/null; }
operator_ready() { answers "http://127.0.0.1:$HEALTH/readyz" && port_open "$OPERATOR"; }
adapter_ready() { k get --raw /apis/external.metrics.k8s.io/v1beta1 >/dev/null 2>&1; }

# await_ready PROGRAM COMMAND...: at most a minute; gives up at once when the program ends.
await_ready() {
    local program=$1 end=$((SECONDS + 60))
    shift
    until "$@"; do
        if ! running "$STATE/$program.pid" || [ "$SECONDS" -ge "$end" ]; then
            tail -n 20 "$STATE/$program.log" >&2
            end_keda KILL
            die "KEDA's $program did not become ready, see $STATE/$program.log"
        fi
        sleep 0.2
    done
}

start() {
    if all_running && [ -s "$STATE/env" ]; then cat "$STATE/env"; return; fi
    end_keda KILL
    remember_ports "$STATE/ports" "${PORTS[@]}"
    make_certificates
    install_objects
    launch_all
    await_ready operator operator_ready
    await_ready webhooks port_open "$WEBHOOKS"
    await_ready adapter adapter_ready
    install_webhooks
    cat >"$STATE/env.tmp" <<ENV
ASYA_TEST_KEDA_CTL=$SERVERS_DIR/keda.sh
ASYA_TEST_KEDA_VERSION=$(version)
ENV
    mv "$STATE/env.tmp" "$STATE/env"
    cat "$STATE/env"
}

end_keda() {
    # shellcheck disable=SC1091
    [ ! -f "$STATE/ports" ] || . "$STATE/ports"
    rm -f "$STATE/env"
    halt "$STATE/webhooks.pid" "$1" 5 ${WEBHOOKS:+"$WEBHOOKS" "$WEBHOOKS_HEALTH"}
    halt "$STATE/adapter.pid" "$1" 5 ${ADAPTER:+"$ADAPTER" "$ADAPTER_METRICS"}
    halt "$STATE/operator.pid" "$1" 5 ${OPERATOR:+"$OPERATOR" "$HEALTH" "$METRICS"}
}

stop() {
    # First what leads to them. An API server that is stopped at the same time takes its objects with it.
    if "$KUBERNETES" status >/dev/null 2>&1; then
        local object
        for object in validatingwebhookconfiguration/keda-admission apiservice/v1beta1.external.metrics.k8s.io; do
            k delete --ignore-not-found --request-timeout=5s "$object" >/dev/null 2>&1 || true
        done
    fi
    end_keda TERM
}

prepare() {
    "$TOOLS" link "$BIN" keda keda-config
    "$KUBERNETES" start >/dev/null
}

case $COMMAND in
start) prepare; lock "$STATE"; start ;;
stop) lock "$STATE"; stop ;;
kill) lock "$STATE"; end_keda KILL ;;
restart) prepare; lock "$STATE"; stop; start ;;
status | env) if all_running && [ -s "$STATE/env" ]; then cat "$STATE/env"; else say "not running"; exit 3; fi ;;
purge) lock "$STATE"; stop; rm -rf "$STATE" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
