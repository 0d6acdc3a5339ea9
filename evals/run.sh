#!/usr/bin/env bash
# Builds what an evaluation needs and runs it: `make eval`. Its arguments are those of asya-eval; --help explains them.
set -euo pipefail
cd "$(dirname "$0")/.."
export ASYA_TEST_KUBERNETES_CTL=${ASYA_TEST_KUBERNETES_CTL:-$PWD/tests/servers/kubernetes.sh}
# Of the whole workspace, as the tests build it.
cargo build --workspace --quiet
exec target/debug/asya-eval "$@"
