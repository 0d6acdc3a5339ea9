#!/usr/bin/env bash
# The page: checks types, runs its tests and builds dist/, which the gateway embeds and which is committed.
#
# usage: build.sh [--check]
#   --check  builds elsewhere and fails when the committed dist/ is not what the sources give
#
# Needs node 20.19 or newer and npm. Without them --check says so loudly, and fails where CI=true.
set -euo pipefail
cd "$(dirname "$0")"

check=
case "${1:-}" in
    --check) check=1 ;;
    "") ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64 ;;
esac

if ! command -v npm >/dev/null; then
    echo "NOT CHECKED: npm is missing, so nobody knows whether gateway/dashboard/dist is what its sources give" >&2
    [ -n "$check" ] && [ "${CI:-}" != true ] && exit 0
    exit 1
fi

# What is installed is what the lock says; installing again takes seconds that are not needed.
if ! cmp -s package-lock.json node_modules/.asya-lock; then
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.asya-lock
fi
npx --no-install tsc --noEmit
npx --no-install vitest run --silent --reporter=dot
if [ -z "$check" ]; then
    npx --no-install vite build --logLevel warn
    exit
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
npx --no-install vite build --logLevel warn --outDir "$fresh" --emptyOutDir
diff -r "$fresh" dist >&2 || {
    echo "gateway/dashboard/dist is not what its sources give: run gateway/dashboard/build.sh and commit" >&2
    exit 1
}
