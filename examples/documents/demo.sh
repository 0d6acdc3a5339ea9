#!/usr/bin/env bash
# The documents example from end to end, on one machine: `make demo`, `make demo-page`.
#
# usage: demo.sh [--check|--page] [DIRECTORY]
#
# Sends the text of DIRECTORY (default: this repository) through split, analyse, summarise, collect and render, then a
# small set with four broken documents, which must end in the error path while the others succeed. --check holds the
# outcome against what must be true. --page calls it as a tool of the gateway as well, and leaves its page open at
# http://127.0.0.1:8089 until Ctrl-C.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
check='' page=''
case "${1:-}" in
    --check) check=1 && shift ;;
    --page) page=127.0.0.1:8089 && shift ;;
esac
documents=$(cd "${1:-.}" && pwd)
route=split,analyse,summarise,collect,render

echo "building asya (without brokers; the first time takes a few minutes) ..."
cargo build --quiet -p asya-cli --no-default-features
asya=${CARGO_TARGET_DIR:-target}/debug/asya
work=$(mktemp -d "${TMPDIR:-/tmp}/asya-demo.XXXXXX")
export ASYA_LOCAL_PATH=$work/queue.db REPORT_DIR=$root/.asya/reports

mkdir -p "$REPORT_DIR"
"$asya" up --plain --gateway "${page:-off}" examples/documents >"$work/up.log" 2>&1 &
up=$!
stop() {
    kill -INT "$up" 2>/dev/null || true
    wait "$up" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

# send DIRECTORY: one job, followed to the end of every document in it. Documents that fail are no failure of the demo.
send() {
    "$asya" send --create --wait --timeout 180s "$route" "{\"directory\": \"$1\"}" | tee "$work/told" || true
    cat "$work/told" >>"$work/reports"
}

# expect PATTERN COUNT: so many lines of what was told match.
expect() {
    local found
    found=$(grep -cE "$1" "$work/told" || true)
    if [ -n "$check" ] && [ "$found" != "$2" ]; then
        echo "expected $2 line(s) with $1, found $found" >&2
        cat "$work/up.log" >&2
        exit 1
    fi
}

echo
echo "1. the text of $documents"
send "$documents"
expect 'succeeded: .*"report":' 1

echo
echo "2. six documents, four of them broken"
send "$root/examples/documents/broken"
expect 'succeeded: .*"documents":2,"failed":4' 1
expect 'failed at analyse: .*(is empty|is not UTF-8|is not JSON|has a zero byte)' 4

echo
"$asya" queues

echo
echo "reports, for a browser:"
grep -oE '"report":"[^"]+"' "$work/reports" | cut -d '"' -f 4

if [ -n "$page" ]; then
    echo
    echo "3. the same through the gateway, as the tool of examples/documents/tools.yaml; the second call fails"
    for directory in "$root/examples/documents/broken" "$root/examples/documents/nowhere"; do
        PYTHONPATH=client-py/src python3 - "http://$page" "$directory" <<'PYTHON'
import sys
from asya_client import AsyaError, Client

with Client.from_url(sys.argv[1]) as client:
    try:
        print(client.call("report", directory=sys.argv[2]))
    except AsyaError as error:
        print(error)
PYTHON
    done
    echo
    echo "http://$page shows actors, envelopes and what failed, until Ctrl-C"
    trap 'exit 0' INT # which is no failure
    wait "$up"
fi
