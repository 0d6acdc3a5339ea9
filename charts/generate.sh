#!/usr/bin/env bash
# Writes what charts carry copies of, because a chart sees only its own files; `make generate` calls it.
#   files/crds/       the CRDs of crds/: of the group asya.sh, and in asya-analysis of core.k8sgpt.ai, which nobody else is to get; in `asya` crds/, because its release has actors and Helm looks up kinds before hooks run
#   files/remedy/     the policy that protects approvals, from crds/remedy/
#   files/defaults.yaml   the chart's own values, which fill in what `helm upgrade --reuse-values` leaves out
# and the tables of values in their READMEs (needs PyYAML: tests/requirements.txt).
set -euo pipefail
cd "$(dirname "$0")"

for copy in asya-operator/files/crds asya/crds; do
    mkdir -p "$copy"
    cp ../crds/asya.sh_*.yaml "$copy/"
done
cp ../crds/core.k8sgpt.ai_*.yaml asya-analysis/files/crds/
mkdir -p asya-analysis/files/remedy
cp ../crds/remedy/approval.yaml asya-analysis/files/remedy/
for chart in asya-operator asya-analysis asya-gateway asya-crew asya-actor asya-agents; do
    cp "$chart/values.yaml" "$chart/files/defaults.yaml"
done
python=../target/venv/bin/python
[ -x "$python" ] || python=python3
"$python" readme.py
