#!/usr/bin/env bash
# Every real server that the tests use, started in parallel: RabbitMQ 3.10, RabbitMQ 4 (as root), two SQS-compatible servers,
# a Kubernetes API server, PostgreSQL; and KEDA where ASYA_TEST_SERVERS names it beside `kubernetes`.
#
# usage: all.sh start|stop|kill|restart|status|purge
#        all.sh run COMMAND...   start what is down, run the command with the environment, stop what was started
#
# start prints the environment, one NAME=VALUE a line, and writes it to STATE/env (default target/test-servers/env).
# A server that cannot start is named on standard error; the others go on and its tests are skipped. With CI=true it is an
# error instead, and everything is stopped again.
#
# Settings: ASYA_TEST_SERVERS (default "rabbitmq rabbitmq4 sqs kubernetes postgres"), and those of rabbitmq.sh, sqs.sh,
# kubernetes.sh, postgres.sh.

set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COMMAND=${1:---help}
read -ra SERVERS <<<"${ASYA_TEST_SERVERS:-rabbitmq rabbitmq4 sqs kubernetes postgres}"
STARTED=()

# one SERVER COMMAND
one() {
    case $1 in
    rabbitmq) "$SERVERS_DIR/rabbitmq.sh" "$2" ;;
    rabbitmq4) "$SERVERS_DIR/rabbitmq.sh" --version 4 "$2" ;;
    sqs) "$SERVERS_DIR/sqs.sh" "$2" ;;
    kubernetes | keda | postgres) "$SERVERS_DIR/$1.sh" "$2" ;;
    *) die "ASYA_TEST_SERVERS: no server is called \"$1\"" ;;
    esac
}

# each COMMAND SERVER...: in parallel; FAILED lists those that did not do it. Standard output is dropped.
each() {
    local command=$1 server pids=()
    shift
    FAILED=()
    for server in "$@"; do
        one "$server" "$command" >/dev/null &
        pids+=("$!")
    done
    for server in "$@"; do
        wait "${pids[0]}" || FAILED+=("$server")
        pids=("${pids[@]:1}")
    done
}

start() {
    local server
    for server in "${SERVERS[@]}"; do
        one "$server" status >/dev/null 2>&1 || STARTED+=("$server")
    done
    each start "${STARTED[@]}"
    if [ "${#FAILED[@]}" != 0 ]; then
        if [ "${CI:-}" = true ]; then
            each stop "${STARTED[@]}"
            die "some test server did not start (its reason is above), and CI=true"
        fi
        say "##############################################################"
        say "# NOT RUNNING: ${FAILED[*]}. The tests that need it are SKIPPED."
        say "##############################################################"
    fi
    environment >"$STATE_ROOT/env.tmp"
    mv "$STATE_ROOT/env.tmp" "$STATE_ROOT/env"
}

environment() {
    local server
    for server in "${SERVERS[@]}"; do one "$server" env 2>/dev/null || true; done
}

run() {
    [ $# != 0 ] || die "run what? try --help"
    trap 'each stop "${STARTED[@]}"; rm -f "$STATE_ROOT/env"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    start
    local line
    while IFS= read -r line; do export "${line?}"; done <"$STATE_ROOT/env"
    "$@"
}

mkdir -p "$STATE_ROOT"
case $COMMAND in
start) start; cat "$STATE_ROOT/env" ;;
stop | kill | purge)
    rm -f "$STATE_ROOT/env"
    each "$COMMAND" "${SERVERS[@]}"
    [ "${#FAILED[@]}" = 0 ] || die "could not $COMMAND: ${FAILED[*]}"
    ;;
restart) each stop "${SERVERS[@]}"; start; cat "$STATE_ROOT/env" ;;
status) each status "${SERVERS[@]}"; environment; [ "${#FAILED[@]}" = 0 ] || exit 3 ;;
run) shift; run "$@" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
