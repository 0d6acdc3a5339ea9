#!/usr/bin/env bash
# Proves that the real KEDA scales on a real RabbitMQ: a hand-written ScaledObject takes a Deployment from 0 to 1, on to 2 by
# the autoscaler's external metric, and back to 0. Says how long each took.
#
# usage: ASYA_TEST_SERVERS="rabbitmq kubernetes keda" tests/servers/all.sh run tests/cluster/smoke_keda.sh
set -euo pipefail
: "${ASYA_TEST_KEDA_CTL:?run me by tests/servers/all.sh run}"
export KUBECONFIG=$ASYA_TEST_KUBECONFIG PATH=$ASYA_TEST_KUBERNETES_TOOLS:$PATH
NAMESPACE=smoke-keda-$$
QUEUE=smoke-keda-$$

fact() { printf 'ok: %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; k get scaledobject,hpa,deployment -o wide >&2; k get events >&2; exit 1; }
k() { kubectl --namespace "$NAMESPACE" "$@"; }
# rabbitmq METHOD PATH [BODY]: the management API
rabbitmq() { curl -sf --noproxy '*' -X "$1" -H 'content-type: application/json' "$ASYA_TEST_RABBITMQ_MANAGEMENT/api/$2" ${3:+-d "$3"}; }
publish() { rabbitmq POST exchanges/%2F/amq.default/publish "{\"properties\":{},\"routing_key\":\"$QUEUE\",\"payload\":\"x\",\"payload_encoding\":\"string\"}" >/dev/null; }

# replicas WANTED: waits for the Deployment's spec; sets TOOK to the milliseconds.
replicas() {
    local started
    started=$(date +%s%3N)
    until [ "$(k get deployment worker -o 'jsonpath={.spec.replicas}')" = "$1" ]; do
        TOOK=$(($(date +%s%3N) - started))
        [ "$TOOK" -lt 60000 ] || fail "not $1 replicas after a minute"
        sleep 0.1
    done
    TOOK=$(($(date +%s%3N) - started))
}

kubectl create namespace "$NAMESPACE" >/dev/null
trap 'rabbitmq DELETE "queues/%2F/$QUEUE" || true; kubectl delete --timeout=60s namespace "$NAMESPACE" >/dev/null || true' EXIT
rabbitmq PUT "queues/%2F/$QUEUE" '{"durable":true}'

k apply -f - >/dev/null <<OBJECTS
{apiVersion: v1, kind: Secret, metadata: {name: broker}, stringData: {host: "$ASYA_TEST_RABBITMQ_URL"}}
---
{apiVersion: keda.sh/v1alpha1, kind: TriggerAuthentication, metadata: {name: broker}, spec: {
  secretTargetRef: [{parameter: host, name: broker, key: host}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: worker}, spec: {replicas: 0, selector: {matchLabels: {app: worker}},
  template: {metadata: {labels: {app: worker}}, spec: {containers: [{name: worker, image: example/worker}]}}}}
---
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: worker}, spec: {scaleTargetRef: {name: worker},
  minReplicaCount: 0, maxReplicaCount: 2, pollingInterval: 5, cooldownPeriod: 2,
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 0}}}},
  triggers: [{type: rabbitmq, metadata: {protocol: amqp, queueName: "$QUEUE", mode: QueueLength, value: "1"},
    authenticationRef: {name: broker}}]}}
OBJECTS
k wait --for=condition=Ready scaledobject/worker --timeout=30s >/dev/null
fact "KEDA finds the queue: the ScaledObject is ready, and $(k get hpa -o name) exists"

publish
replicas 1
fact "0 -> 1 after $TOOK ms by polling every 5 s"
publish
publish
replicas 2
fact "1 -> 2 after $TOOK ms by the external metric"
rabbitmq DELETE "queues/%2F/$QUEUE/contents"
replicas 0
fact "-> 0 after $TOOK ms, 2 s of cooldown included"

said=$(k apply -f - 2>&1 <<'SECOND'
{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: second}, spec: {scaleTargetRef: {name: worker},
  triggers: [{type: rabbitmq, metadata: {protocol: amqp, queueName: x, mode: QueueLength, value: "1", host: "amqp://x"}}]}}
SECOND
) && fail "a second ScaledObject of one Deployment is accepted"
[[ $said == *'admission webhook "vscaledobject.kb.io" denied'* ]] || fail "$said"
fact "KEDA's webhook refuses a second ScaledObject: ${said##*denied the request: }"
