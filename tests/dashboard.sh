#!/usr/bin/env bash
# The page in a real browser, against the binaries of the gateway and the shipped actors and `asya up`: tests/dashboard. Screenshots are left in
# target/dashboard.
#
# Needs node 20.19 or newer, npm and Chromium, which it installs where it can (Debian's package). Without them it says so
# loudly, and fails where CI=true. ASYA_TEST_GATEWAY, ASYA_TEST_ASYA and ASYA_TEST_CREW name the binaries, ASYA_TEST_CHROMIUM the browser.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=servers/lib.sh
. tests/servers/lib.sh

missing() {
    echo "NOT RUN: the dashboard's tests: $*" >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
}

command -v npm >/dev/null || missing "npm is not there"
if [ -z "${ASYA_TEST_CHROMIUM:-}" ]; then
    (need_packages chromium chromium) || missing "Chromium cannot be had"
    ASYA_TEST_CHROMIUM=$(command -v chromium)
    export ASYA_TEST_CHROMIUM
fi
export ASYA_TEST_GATEWAY=${ASYA_TEST_GATEWAY:-$PWD/target/debug/asya-gateway}
export ASYA_TEST_ASYA=${ASYA_TEST_ASYA:-$(dirname "$ASYA_TEST_GATEWAY")/asya}
export ASYA_TEST_CREW=${ASYA_TEST_CREW:-$(dirname "$ASYA_TEST_GATEWAY")/asya-crew}
binaries=("$ASYA_TEST_GATEWAY" "$ASYA_TEST_ASYA" "$ASYA_TEST_CREW")
[ -x "${binaries[0]}" ] && [ -x "${binaries[1]}" ] && [ -x "${binaries[2]}" ] || cargo build --quiet --workspace
for binary in "${binaries[@]}"; do [ -x "$binary" ] || die "there is no binary $binary"; done
export ASYA_TEST_SCREENSHOTS=$PWD/target/dashboard
mkdir -p "$ASYA_TEST_SCREENSHOTS"

cd tests/dashboard
if ! cmp -s package-lock.json node_modules/.asya-lock; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.asya-lock
fi
exec timeout 600 node --test --test-reporter=spec .
