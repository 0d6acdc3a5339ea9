#!/usr/bin/env bash
# Writes the CRD, the JSON schema and the reference page from the types in crates/resources; `make generate` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

# The crate reads the schema, so the program is built before any file changes, and a failure leaves all of them alone.
cargo build -q -p asya-resources --features schema --example crd
program=${CARGO_TARGET_DIR:-target}/debug/examples/crd
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
"$program" crd >"$new/crd"
"$program" schema >"$new/schema"
"$program" reference >"$new/reference"
{
    echo "# Made by \`make generate\` from crates/resources; never edited by hand."
    cat "$new/crd"
} >crds/asya.sh_asyncactors.yaml
cp "$new/schema" crds/asyncactor.schema.json
cp "$new/reference" docs/reference/asyncactor.md
