#!/usr/bin/env bash
# Runs a program as the account of the pod that HOSTNAME names: with the token, the authority and the namespace that a
# kubelet would mount, at their place, in a mount namespace of its own. Needs the right to make one.
#
# usage: in_pod.sh KUBECONFIG-OF-AN-ADMINISTRATOR KUBECTL PROGRAM...
set -euo pipefail
admin=$1 kubectl=$2
shift 2

MOUNT=/var/run/secrets/kubernetes.io/serviceaccount
ask() { "$kubectl" --kubeconfig "$admin" "$@"; }

read -r namespace account token < <(ask get pods -A --field-selector "metadata.name=$HOSTNAME" -o jsonpath="{.items[0].metadata.namespace} \
{.items[0].spec.serviceAccountName} {.items[0].spec.containers[0].volumeMounts[?(@.mountPath==\"$MOUNT\")].name}{'\n'}")
# A pod without a token: nothing is there.
[ -n "$token" ] || exec "$@"

files=$(mktemp -d)
ask create token "$account" -n "$namespace" >"$files/token"
ask get configmap kube-root-ca.crt -n "$namespace" -o jsonpath='{.data.ca\.crt}' >"$files/ca.crt"
printf %s "$namespace" >"$files/namespace"
server=$(ask config view -o jsonpath='{.clusters[0].cluster.server}')
server=${server#https://}
export KUBERNETES_SERVICE_HOST=${server%:*} KUBERNETES_SERVICE_PORT=${server##*:}
# shellcheck disable=SC2016 # expanded by the shell that it starts
exec unshare --mount bash -c '
    mount -t tmpfs none /var/run
    mkdir -p "$1"
    cp "$0"/* "$1"
    rm -r "$0"
    shift
    exec "$@"' "$files" "$MOUNT" "$@"
