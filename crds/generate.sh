#!/usr/bin/env bash
# Writes the CRDs, the JSON schemas and the reference pages from the types in crates/resources; `make generate` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

# The crate reads the schema, so the program is built before any file changes, and a failure leaves all of them alone.
cargo build -q -p asya-resources --features schema --example crd
program=${CARGO_TARGET_DIR:-target}/debug/examples/crd
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
made="# Made by \`make generate\` from crates/resources; never edited by hand."
for what in crd schema reference agent-crd agent-schema agent-reference k8sgpt-crd result-crd mutation-crd k8sgpt-schema k8sgpt-reference; do
    "$program" $what >"$new/$what"
    case $what in *crd) sed -i "1i $made" "$new/$what" ;; esac
done
# What stays as it was keeps its time: crates include these files, and all that is built of them would be built again.
put() { cmp -s "$1" "$2" || cp "$1" "$2"; }
put "$new/crd" crds/asya.sh_asyncactors.yaml
put "$new/schema" crds/asyncactor.schema.json
put "$new/reference" docs/reference/asyncactor.md
put "$new/agent-crd" crds/asya.sh_agents.yaml
put "$new/agent-schema" crds/agent.schema.json
put "$new/agent-reference" docs/reference/agent.md
for kind in k8sgpt result mutation; do
    put "$new/$kind-crd" "crds/core.k8sgpt.ai_${kind}s.yaml"
done
put "$new/k8sgpt-schema" crds/k8sgpt.schema.json
put "$new/k8sgpt-reference" docs/reference/k8sgpt.md
