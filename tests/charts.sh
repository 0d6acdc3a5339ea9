#!/usr/bin/env bash
# Checks the charts: lint, every documented value, old values, schemas of the real API server and of KEDA, the restricted
# Pod Security Standard. Needs no cluster.
#
# usage: charts.sh [ARGUMENTS OF PYTEST]
#
# Finds helm, helm4 and kubeconform, and KEDA's CRDs, as tests/cluster/tools.sh does; the schemas of Kubernetes come from the
# module that tests/cluster/tools/kubernetes pins. What cannot be had is said; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${ASYA_TEST_VENV:-$PWD/target/venv}
TOOLS=$PWD/target/chart-tools
mkdir -p "$TOOLS"

# have TOOL...: makes them available, or says what is not tested.
have() {
    tests/cluster/tools.sh link "$TOOLS" "$@" && return
    echo "charts: NOT TESTED for want of: $*" >&2
    [ "${CI:-}" != true ] || exit 1
    return 1
}

have helm || exit 0
have helm4 || true
if have kubeconform keda-config && [ -z "${ASYA_TEST_OPENAPI:-}" ]; then
    module=$(cd tests/cluster/tools/kubernetes && GOWORK=off go mod download -json k8s.io/kubernetes 2>/dev/null |
        sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') || module=
    if [ -n "$module" ]; then
        export ASYA_TEST_OPENAPI=$module/api/openapi-spec/v3
    else
        echo "charts: NOT TESTED for want of the Go module k8s.io/kubernetes: the schemas of Kubernetes" >&2
        [ "${CI:-}" != true ] || exit 1
    fi
fi

export PATH="$TOOLS:$PATH" ASYA_TEST_KEDA_CONFIG="$TOOLS/keda-config"
for chart in charts/*/; do
    grep -q '^dependencies:' "$chart/Chart.yaml" || continue
    helm dependency update --skip-refresh "$chart" >/dev/null
done
exec "$VENV/bin/pytest" -q tests/charts "$@"
