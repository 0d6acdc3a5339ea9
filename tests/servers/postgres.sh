#!/usr/bin/env bash
# A private PostgreSQL server for the tests: own port, own data, loopback only, no system service. Debian's own package.
#
# usage: postgres.sh start|stop|kill|restart|status|env|purge
#   start    install what is missing, start, wait until ready, print the environment; does nothing when running
#   stop     orderly stop; data stay
#   kill     SIGKILL of every process of it, for chaos tests; start again finds the data
#   restart  stop and start
#   status   exit 0 and the environment when running, else exit 3
#   purge    stop and delete data and the remembered port
#
# The environment is also in STATE/env: ASYA_TEST_POSTGRES_URL (a superuser; tests make databases of their own),
# ASYA_TEST_POSTGRES_CA (PEM file; the server takes TLS too, as "localhost") and ASYA_TEST_POSTGRES_CTL (this script).
#
# PostgreSQL refuses to run as root: there it runs as the user "postgres" of the package, else as you.
#
# Settings: ASYA_TEST_STATE (folder, default target/test-servers), ASYA_TEST_CACHE (default ~/.cache/asya-tests),
# ASYA_TEST_POSTGRES_PORT (default: a free one, remembered).

set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COMMAND=${1:---help}
STATE=$STATE_ROOT/postgres
PASSWORD=asya-test
PORT=${ASYA_TEST_POSTGRES_PORT:-}

# The newest server that is installed.
programs() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1; }

install_server() {
    need_packages python3 python3
    need_packages openssl openssl
    need_packages setpriv util-linux
    need_packages pgrep procps
    BIN=$(programs)
    [ -x "$BIN/initdb" ] || install_packages postgresql
    BIN=$(programs)
    [ -x "$BIN/initdb" ] || die "initdb is still missing after installing postgresql"
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || die "there is no user \"postgres\", and PostgreSQL does not run as root"
        # setpriv becomes the server instead of waiting for it, so that the pid is the server's.
        AS=(setpriv --reuid postgres --regid postgres --clear-groups env HOME="$DATA" PATH="$PATH")
    fi
}

# The data must be in a folder that the server's user can reach, which a checkout below /root is not.
place_data() {
    AS=()
    DATA=$STATE/data
    if [ "$(id -u)" = 0 ]; then
        if [ ! -s "$STATE/place" ]; then
            mkdir -p "$STATE"
            mktemp -d "${TMPDIR:-/tmp}/asya-postgres.XXXXXX" >"$STATE/place"
        fi
        DATA=$(cat "$STATE/place")
        mkdir -p "$DATA"
    fi
}

make_data() {
    [ ! -e "$DATA/.complete" ] || return 0
    rm -rf "${DATA:?}"
    mkdir -p "$DATA"
    (
        cd "$DATA"
        printf '%s' "$PASSWORD" >password
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=asya test CA' -keyout ca.key -out ca.pem \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 basicConstraints=CA:FALSE >extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile extensions \
            -out server.pem
        chmod 600 server.key
    ) 2>"$STATE/openssl.log" || die "making the certificates failed, see $STATE/openssl.log"
    [ "$(id -u)" != 0 ] || chown -R postgres:postgres "$DATA"
    "${AS[@]}" "$BIN/initdb" --pgdata "$DATA/db" --username asya --pwfile "$DATA/password" --auth scram-sha-256 \
        --encoding UTF8 --locale C.UTF-8 >"$STATE/initdb.log" 2>&1 || die "initdb failed, see $STATE/initdb.log"
    "${AS[@]}" touch "$DATA/.complete"
    cp "$DATA/ca.pem" "$STATE/ca.pem"
}

answers() { PGPASSWORD=$PASSWORD "$BIN/psql" -h 127.0.0.1 -p "$PORT" -U asya -d postgres -qAtc 'SELECT 1' >/dev/null 2>&1; }
ready_or_gone() { answers || ! running "$STATE/pid"; }

start() {
    if running "$STATE/pid" && [ -s "$STATE/env" ]; then cat "$STATE/env"; return; fi
    install_server
    end KILL
    remember_ports "$STATE/ports" PORT
    make_data
    # A server that was killed leaves its pid file, whose number may be another program's by now.
    rm -f "$DATA/db/postmaster.pid"
    # fsync stays on: tests kill the server, and measure it. Small memory: a developer's machine has other work.
    launch "$STATE/pid" "$STATE/server.log" "${AS[@]}" "$BIN/postgres" -D "$DATA/db" -p "$PORT" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c ssl=on -c ssl_cert_file="$DATA/server.pem" \
        -c ssl_key_file="$DATA/server.key" -c shared_buffers=64MB -c max_connections=200 -c log_min_messages=warning
    wait_until 60 ready_or_gone || true
    answers || { tail -n 20 "$STATE/server.log" >&2; end KILL; die "PostgreSQL did not start, see $STATE/server.log"; }
    cat >"$STATE/env.tmp" <<ENV
ASYA_TEST_POSTGRES_URL=postgres://asya:$PASSWORD@127.0.0.1:$PORT/postgres
ASYA_TEST_POSTGRES_CA=$STATE/ca.pem
ASYA_TEST_POSTGRES_CTL=$SERVERS_DIR/postgres.sh
ENV
    mv "$STATE/env.tmp" "$STATE/env"
    cat "$STATE/env"
}

# Zombies count as gone: in a container nobody may reap them.
all_gone() {
    local pid
    for pid in "$@"; do
        [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c1)" = Z ] || [ ! -e "/proc/$pid" ] || return 1
    done
}

# end SIGNAL: SIGINT is PostgreSQL's fast shutdown, which ends connections; SIGTERM would wait for them.
# Its processes have groups of their own. After a kill each must be gone before the data are opened again.
end() {
    local children=() PORT=$PORT
    # shellcheck disable=SC1091
    [ ! -f "$STATE/ports" ] || . "$STATE/ports"
    rm -f "$STATE/env"
    if running "$STATE/pid"; then mapfile -t children < <(pgrep -P "$RUNNING_PID"); fi
    halt "$STATE/pid" "$1" 30 ${PORT:+"$PORT"}
    [ "${#children[@]}" = 0 ] || [ "$1" != KILL ] || kill -KILL "${children[@]}" 2>/dev/null || true
    wait_until 10 all_gone "${children[@]}" || die "processes of the server do not end: ${children[*]}"
}

place_data
case $COMMAND in
start) lock "$STATE"; start ;;
stop) lock "$STATE"; end INT ;;
kill) lock "$STATE"; end KILL ;;
restart) lock "$STATE"; end INT; PORT=${ASYA_TEST_POSTGRES_PORT:-}; start ;;
status | env) if running "$STATE/pid" && [ -s "$STATE/env" ]; then cat "$STATE/env"; else say "not running"; exit 3; fi ;;
purge) lock "$STATE"; end INT; rm -rf "${DATA:?}" "${STATE:?}" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
