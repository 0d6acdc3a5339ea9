#!/usr/bin/env bash
# A private Kubernetes API server for the tests: etcd, kube-apiserver and kube-controller-manager on loopback, no nodes.
#
# usage: kubernetes.sh start|stop|kill|restart|status|env|purge
#        kubernetes.sh restart-apiserver|stop-apiserver
#        kubernetes.sh kubeconfig USER [GROUP...]    prints the path of a kubeconfig for that user (a client certificate)
#        kubernetes.sh kubectl ARGUMENT...           as the administrator
#   start    build what is missing (minutes, once), start what is down, wait until ready, print the environment
#   stop     stop all three and delete the objects: the next start is an empty cluster
#   kill     SIGKILL, for chaos tests; the objects stay; start again finds them
#   restart  stop and start, the objects stay
#   status   exit 0 and the environment when running, else exit 3
#   purge    stop and delete everything: objects, certificates, remembered ports
#   restart-apiserver  the API server and the controllers, while etcd goes on; stop-apiserver leaves it down until start
#
# The environment is also in STATE/env: ASYA_TEST_KUBECONFIG (cluster administrator), ASYA_TEST_KUBERNETES_CTL (this script),
# ASYA_TEST_KUBERNETES_TOOLS (folder with kubectl and what else could be built: helm, helm4, kubeconform), ASYA_TEST_KEDA_CRDS
# (folder with KEDA's own; KEDA itself is keda.sh).
#
# Settings: ASYA_TEST_STATE (folder, default target/test-servers), those of tests/cluster/tools.sh (KUBEBUILDER_ASSETS, …),
# ASYA_TEST_KUBERNETES_PORTS="APISERVER ETCD PEER CONTROLLERS" (default: free ones, remembered),
# ASYA_TEST_KUBERNETES_AUDIT=1 (every request, one JSON object a line, into STATE/audit.log; counted from there by benches),
# ASYA_TEST_KUBERNETES_BARE=1 (no controllers, and objects as JSON in etcd, whose address is ASYA_TEST_ETCD: a status that a
# test sets stays, and a test can make an object older than it is).

set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COMMAND=${1:---help}
STATE=$STATE_ROOT/kubernetes
TLS=$STATE/tls
BIN=$STATE/bin
TOOLS=$SERVERS_DIR/../cluster/tools.sh
BARE=${ASYA_TEST_KUBERNETES_BARE:-}
read -r APISERVER ETCD PEER CONTROLLERS <<<"${ASYA_TEST_KUBERNETES_PORTS:-}" || true

# By name, because some of the default ones do harm where nodes are made by hand: pod garbage collection deletes the pods of
# nodes it does not know, node lifecycle and taint eviction mark and evict what no kubelet reports.
ENABLED_CONTROLLERS=(
    deployment replicaset statefulset job cronjob daemonset ttl-after-finished horizontal-pod-autoscaler disruption
    endpoints endpointslice garbage-collector namespace resourcequota clusterrole-aggregation
    serviceaccount serviceaccount-token root-ca-certificate-publisher validatingadmissionpolicy-status
    persistentvolume-binder persistentvolumeclaim-protection
)

# certificate NAME CA SUBJECT EXTENSION...: NAME.pem and NAME.key (elliptic: made in milliseconds), signed by CA.
certificate() {
    local name=$1 ca=$2 subject=$3 extension options=()
    shift 3
    [ "$ca" = self ] || options=(-CA "$TLS/$ca.pem" -CAkey "$TLS/$ca.key")
    for extension in "$@"; do options+=(-addext "$extension"); done
    # The empty configuration keeps the system's own extensions out.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "$subject" "${options[@]}" \
        -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n') -keyout "$TLS/$name.key" -out "$TLS/$name.tmp" \
        2>>"$TLS/openssl.log" || die "making a certificate failed, see $TLS/openssl.log"
    mv "$TLS/$name.tmp" "$TLS/$name.pem"
}

authority() { certificate "$1" self "/CN=asya test $1" basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign; }
client() { certificate "$1" "$2" "$3" basicConstraints=CA:FALSE keyUsage=digitalSignature extendedKeyUsage=clientAuth; }

# Two authorities: who may speak for others (the aggregator) must not be who may log in.
make_certificates() {
    [ ! -e "$TLS/.complete" ] || return 0
    rm -rf "$TLS" && mkdir -p "$TLS"
    chmod 700 "$TLS"
    authority ca
    authority front-proxy-ca
    certificate apiserver ca /CN=kube-apiserver basicConstraints=CA:FALSE keyUsage=digitalSignature extendedKeyUsage=serverAuth \
        subjectAltName=IP:127.0.0.1,DNS:localhost,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
    client front-proxy front-proxy-ca /CN=front-proxy
    openssl ecparam -genkey -name prime256v1 -noout -out "$TLS/serviceaccount.key" 2>>"$TLS/openssl.log"
    touch "$TLS/.complete"
}

# kubeconfig USER [GROUP...]: a file that carries all it needs, so it may be copied.
kubeconfig() {
    local user=$1 name group subject=
    name=$(printf %s "$user" | tr -c 'a-zA-Z0-9.-' _)
    shift
    for group in "$@"; do subject+="/O=$group"; done
    client "$name" ca "$subject/CN=$user"
    cat >"$STATE/$name.kubeconfig.tmp" <<CONFIG
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: "$user"}}]
clusters:
- name: test
  cluster: {server: "https://127.0.0.1:$APISERVER", certificate-authority-data: $(base64 -w0 "$TLS/ca.pem")}
users:
- name: "$user"
  user: {client-certificate-data: $(base64 -w0 "$TLS/$name.pem"), client-key-data: $(base64 -w0 "$TLS/$name.key")}
CONFIG
    chmod 600 "$STATE/$name.kubeconfig.tmp"
    mv "$STATE/$name.kubeconfig.tmp" "$STATE/$name.kubeconfig"
    echo "$STATE/$name.kubeconfig"
}

launch_etcd() {
    # Nothing here outlives the machine, and a write to disk per change is most of the time that a change takes.
    launch "$STATE/etcd.pid" "$STATE/etcd.log" "$BIN/etcd" --name asya --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
        --listen-client-urls "http://127.0.0.1:$ETCD" --advertise-client-urls "http://127.0.0.1:$ETCD" \
        --listen-peer-urls "http://127.0.0.1:$PEER" --initial-advertise-peer-urls "http://127.0.0.1:$PEER" \
        --initial-cluster "asya=http://127.0.0.1:$PEER" --quota-backend-bytes 2147483648
}

launch_apiserver() {
    local audit=() storage=()
    [ -z "$BARE" ] || storage=(--storage-media-type application/json)
    if [ -n "${ASYA_TEST_KUBERNETES_AUDIT:-}" ]; then
        printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'omitStages: [RequestReceived]' 'rules: [{level: Metadata}]' \
            >"$STATE/audit.yaml"
        audit=(--audit-policy-file "$STATE/audit.yaml" --audit-log-path "$STATE/audit.log")
    fi
    # Without a grace period for watches, an orderly stop waits a minute for them.
    # No endpoint reconciler: it would publish this loopback address as the Service `kubernetes`, which the server refuses.
    # Aggregated APIs and webhooks are reached by ExternalName Services, which need no kube-proxy and no routing flag.
    launch "$STATE/apiserver.pid" "$STATE/apiserver.log" "$BIN/kube-apiserver" \
        --etcd-servers "http://127.0.0.1:$ETCD" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$APISERVER" \
        --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/16 --authorization-mode RBAC --allow-privileged \
        --tls-cert-file "$TLS/apiserver.pem" --tls-private-key-file "$TLS/apiserver.key" --client-ca-file "$TLS/ca.pem" \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$TLS/serviceaccount.key" \
        --service-account-signing-key-file "$TLS/serviceaccount.key" \
        --requestheader-client-ca-file "$TLS/front-proxy-ca.pem" --requestheader-allowed-names front-proxy \
        --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
        --requestheader-extra-headers-prefix X-Remote-Extra- \
        --proxy-client-cert-file "$TLS/front-proxy.pem" --proxy-client-key-file "$TLS/front-proxy.key" \
        --shutdown-delay-duration 0s --shutdown-watch-termination-grace-period 1s --profiling=false "${audit[@]}" "${storage[@]}"
}

launch_controllers() {
    local config
    config=$(kubeconfig system:kube-controller-manager system:masters)
    # Two seconds instead of fifteen between looks at the metrics: a test of scaling waits for several of them.
    launch "$STATE/controllers.pid" "$STATE/controllers.log" "$BIN/kube-controller-manager" \
        --kubeconfig "$config" --authentication-kubeconfig "$config" --authorization-kubeconfig "$config" \
        --bind-address 127.0.0.1 --secure-port "$CONTROLLERS" --leader-elect=false \
        --controllers "$(printf '%s-controller,' "${ENABLED_CONTROLLERS[@]}" | sed 's/,$//')" \
        --root-ca-file "$TLS/ca.pem" --service-account-private-key-file "$TLS/serviceaccount.key" \
        --horizontal-pod-autoscaler-sync-period 2s --kube-api-qps 200 --kube-api-burst 400 --profiling=false
}

admin() { "$BIN/kubectl" --kubeconfig "$STATE/admin.kubeconfig" "$@"; }
answers() { curl -sfk --noproxy '*' --max-time 5 "$1" >/dev/null; }

# await_ready NAME SECONDS COMMAND...: until the command succeeds; gives up at once when the program ends.
await_ready() {
    local name=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! running "$STATE/$name.pid" || [ "$SECONDS" -ge "$end" ]; then
            tail -n 20 "$STATE/$name.log" >&2
            die "$name did not become ready, see $STATE/$name.log"
        fi
        sleep 0.1
    done
}

apiserver_ready() { answers "https://127.0.0.1:$APISERVER/readyz"; }
# The first namespaces and their default ServiceAccount: without it no pod is admitted.
controllers_ready() { answers "https://127.0.0.1:$CONTROLLERS/healthz" && admin -n default get serviceaccount default; }

write_env() {
    cat >"$STATE/env.tmp" <<ENV
ASYA_TEST_KUBECONFIG=$STATE/admin.kubeconfig
ASYA_TEST_KUBERNETES_CTL=$SERVERS_DIR/kubernetes.sh
ASYA_TEST_KUBERNETES_TOOLS=$BIN
ENV
    [ -z "$BARE" ] || echo "ASYA_TEST_ETCD=127.0.0.1:$ETCD" >>"$STATE/env.tmp"
    [ ! -d "$BIN/keda-config" ] || echo "ASYA_TEST_KEDA_CRDS=$BIN/keda-config/crd/bases" >>"$STATE/env.tmp"
    mv "$STATE/env.tmp" "$STATE/env"
}

# Before the lock is taken: a first build is longer than anybody waits for that.
link_tools() {
    ! all_running || return 0
    need_packages openssl openssl
    need_packages curl curl
    need_packages python3 python3
    need_packages ps procps
    # All in one go, as they share what is compiled; whether each is there is asked after that.
    "$TOOLS" build || true
    "$TOOLS" link "$BIN" etcd kubernetes
    # What checks charts is a loss for some tests only; tools.sh has said why.
    local tool
    for tool in helm helm4 kubeconform keda-config; do
        "$TOOLS" link "$BIN" "$tool" || [ "${CI:-}" != true ] || die "$tool is missing, and CI=true"
    done
}

all_running() { running "$STATE/etcd.pid" && running "$STATE/apiserver.pid" && { [ -n "$BARE" ] || running "$STATE/controllers.pid"; }; }

start() {
    if all_running && [ -s "$STATE/env" ]; then cat "$STATE/env"; return; fi
    rm -f "$STATE/env"
    # Ports are chosen once, while everything is down; what still runs keeps them.
    if running "$STATE/etcd.pid" || running "$STATE/apiserver.pid" || running "$STATE/controllers.pid"; then
        # shellcheck disable=SC1091
        . "$STATE/ports"
    else
        remember_ports "$STATE/ports" APISERVER ETCD PEER CONTROLLERS
    fi
    # The watches of controllers that missed their API server would come back within half a minute only.
    running "$STATE/apiserver.pid" || end_controllers TERM
    make_certificates
    kubeconfig admin system:masters >/dev/null
    running "$STATE/etcd.pid" || launch_etcd
    # It waits for etcd by itself, and the controllers wait for it: all three load at the same time.
    running "$STATE/apiserver.pid" || launch_apiserver
    await_ready apiserver 60 apiserver_ready
    if [ -z "$BARE" ]; then
        running "$STATE/controllers.pid" || launch_controllers
        await_ready controllers 60 controllers_ready
    fi
    write_env
    cat "$STATE/env"
}

known_ports() {
    # shellcheck disable=SC1091
    [ ! -f "$STATE/ports" ] || . "$STATE/ports"
}

end_apiserver() { known_ports; rm -f "$STATE/env"; halt "$STATE/apiserver.pid" "$1" 20 ${APISERVER:+"$APISERVER"}; }
end_controllers() { known_ports; halt "$STATE/controllers.pid" "$1" 10 ${CONTROLLERS:+"$CONTROLLERS"}; }

# end SIGNAL: who writes first, the store last.
end() {
    known_ports
    rm -f "$STATE/env"
    end_controllers "$1"
    end_apiserver "$1"
    halt "$STATE/etcd.pid" "$1" 10 ${ETCD:+"$ETCD" "$PEER"}
}

case $COMMAND in
start) link_tools; lock "$STATE"; start ;;
stop) lock "$STATE"; end TERM; rm -rf "$STATE/etcd" "$STATE"/audit.log* ;;
kill) lock "$STATE"; end KILL ;;
restart) link_tools; lock "$STATE"; end TERM; start ;;
restart-apiserver) lock "$STATE"; end_apiserver TERM; start ;;
stop-apiserver) lock "$STATE"; end_apiserver TERM ;;
status | env) if all_running && [ -s "$STATE/env" ]; then cat "$STATE/env"; else say "not running"; exit 3; fi ;;
kubeconfig) shift; lock "$STATE"; [ -e "$TLS/.complete" ] || die "not started yet"; known_ports; kubeconfig "${1:?kubeconfig takes a user}" "${@:2}" ;;
kubectl) shift; admin "$@" ;;
purge) lock "$STATE"; end TERM; rm -rf "$STATE" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
