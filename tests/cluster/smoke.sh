#!/usr/bin/env bash
# Proves that the test cluster behaves like one: controllers, admission, autoscaling, aggregation, a restart.
#
# usage: ASYA_TEST_SERVERS=kubernetes tests/servers/all.sh run tests/cluster/smoke.sh
set -euo pipefail
: "${ASYA_TEST_KUBECONFIG:?run me by tests/servers/all.sh run}"
export KUBECONFIG=$ASYA_TEST_KUBECONFIG PATH=$ASYA_TEST_KUBERNETES_TOOLS:$PATH
NAMESPACE=smoke-$$

fact() { printf 'ok: %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# await SECONDS WANTED COMMAND...: until the command prints what is wanted.
await() {
    local end=$((SECONDS + $1)) wanted=$2 got=
    shift 2
    until got=$("$@" 2>&1) && [[ $got == *"$wanted"* ]]; do
        [ "$SECONDS" -lt "$end" ] || fail "$* printed \"$got\", not \"$wanted\""
        sleep 0.2
    done
}

k() { kubectl --namespace "$NAMESPACE" "$@"; }
# refused SENTENCE: kubectl apply of standard input is refused with it.
refused() {
    local said
    ! said=$(k apply -f - 2>&1) || fail "accepted: $said"
    [[ $said == *"$1"* ]] || fail "expected a refusal with \"$1\", got: $said"
}

pod_template() { echo '{"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "example/web"}]}}'; }
deployment() { printf '{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": %s}}' "$(pod_template)"; }

kubectl create namespace "$NAMESPACE" >/dev/null
trap 'kubectl delete --wait=false namespace "$NAMESPACE" "$NAMESPACE-restricted" >/dev/null 2>&1 || true' EXIT
await 10 default k get serviceaccount default -o name

deployment | k apply -f - >/dev/null
await 10 'web web' k get pods -l app=web -o 'jsonpath={.items[*].metadata.labels.app}'
[ "$(k get pods -o 'jsonpath={.items[*].status.phase}')" = 'Pending Pending' ] || fail "pods without nodes are pending"
fact "a Deployment makes a ReplicaSet and its pods, which wait for a node"

k autoscale deployment web --min 1 --max 3 --cpu 50% >/dev/null
await 15 FailedGetResourceMetric k get hpa web -o 'jsonpath={.status.conditions[*].reason}'
fact "the autoscaler runs, and says that there are no metrics"

kubectl create namespace "$NAMESPACE-restricted" >/dev/null
kubectl label namespace "$NAMESPACE-restricted" pod-security.kubernetes.io/enforce=restricted >/dev/null
await 10 default kubectl -n "$NAMESPACE-restricted" get serviceaccount default -o name
deployment | kubectl -n "$NAMESPACE-restricted" apply -f - >/dev/null 2>&1
await 10 'violates PodSecurity "restricted' kubectl -n "$NAMESPACE-restricted" get deployment web \
    -o 'jsonpath={.status.conditions[?(@.type=="ReplicaFailure")].message}'
fact "a restricted namespace refuses the pods, and the Deployment says so"

kubectl apply -f - >/dev/null <<POLICY
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: $NAMESPACE}, spec: {
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}]},
  validations: [{expression: "object.type == 'Opaque'", message: only opaque secrets}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: $NAMESPACE}, spec: {
  policyName: $NAMESPACE, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NAMESPACE}}}}}
POLICY
foreign_secret() { k create secret generic x --type=asya.sh/other --dry-run=server 2>&1 || true; }
await 10 'only opaque secrets' foreign_secret
kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy "$NAMESPACE" >/dev/null
fact "a ValidatingAdmissionPolicy is enforced"

stranger=$("$ASYA_TEST_KUBERNETES_CTL" kubeconfig stranger)
! said=$(kubectl --kubeconfig "$stranger" -n "$NAMESPACE" get pods 2>&1) || fail "a stranger reads pods"
[[ $said == *'User "stranger" cannot list resource "pods"'* ]] || fail "$said"
fact "a user without a role is refused by name"

refused 'unknown field "spec.replica"' <<<'{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "typo"}, "spec": {"replica": 1, "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}'
fact "strict field validation is on"

if command -v kubeconform >/dev/null; then
    schemas=$(mktemp -d)
    kubectl get --raw /openapi/v2 | "$(dirname "$0")/schemas.py" "$schemas"
    conform() { kubeconform -strict -schema-location "$schemas/{{.ResourceKind}}{{.KindSuffix}}.json" - 2>&1; }
    deployment | conform || fail "kubeconform refuses what the server accepts"
    ! said=$(deployment | sed 's/replicas/replica/' | conform) || fail "kubeconform accepts an unknown field"
    [[ $said == *"additional properties 'replica' not allowed"* ]] || fail "$said"
    rm -rf "$schemas"
    fact "kubeconform reads the schemas of this server"
fi

"$ASYA_TEST_KUBERNETES_CTL" restart-apiserver >/dev/null
k scale deployment web --replicas 3 >/dev/null
await 20 'web web web' k get pods -l app=web -o 'jsonpath={.items[*].metadata.labels.app}'
fact "the controllers go on after a restart of the API server"

k delete deployment web >/dev/null
await 20 'No resources found' k get replicasets,pods
fact "what a deleted Deployment owned is collected"
kubectl delete --timeout=30s namespace "$NAMESPACE" "$NAMESPACE-restricted" >/dev/null
fact "namespaces go away"
