#!/usr/bin/env bash
# A private RabbitMQ broker for the tests: own ports, own data, loopback only, no system service.
#
# usage: rabbitmq.sh [--version 3|4] start|stop|kill|restart|status|env|purge|watermark SHARE
#   start    install what is missing, start, wait until ready, print the environment; does nothing when running
#   stop     orderly stop; data stay
#   kill     SIGKILL, for chaos tests; start again finds the data
#   restart  stop and start
#   status   exit 0 and the environment when running, else exit 3
#   watermark  set the memory high watermark of a running 3.10 to a share (0.000001 sets the alarm off, 0.6 ends it)
#   purge    stop and delete data, certificates and remembered ports
#
# --version 3 (default) is Debian's own package (3.10); --version 4 runs Debian trixie's (4.0) in a chroot, which takes root.
# The environment is also in STATE/env (STATE/../rabbitmq4/env): ASYA_TEST_RABBITMQ_URL, ASYA_TEST_RABBITMQ_VHOST_URL (vhost
# "asya/test"), ASYA_TEST_RABBITMQ_MANAGEMENT, ASYA_TEST_RABBITMQS_URL (TLS) and ASYA_TEST_RABBITMQ_CA (PEM file);
# for version 4 the same names with RABBITMQ4 and RABBITMQS4.
#
# Settings: ASYA_TEST_STATE (folder, default target/test-servers), ASYA_TEST_CACHE (default ~/.cache/asya-tests),
# ASYA_TEST_RABBITMQ_PORTS="AMQP AMQPS MANAGEMENT DISTRIBUTION EPMD" (default: free ones, remembered).

set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=3
[ "${1:-}" != --version ] || { VERSION=${2:-}; shift 2; }
case $VERSION in
3) SUFFIX='' ;;
4) SUFFIX=4 ;;
*) die "--version is 3 or 4, not \"$VERSION\"" ;;
esac
COMMAND=${1:---help}
ARGUMENT=${2:-}
STATE=$STATE_ROOT/rabbitmq$SUFFIX
CHROOT=$CACHE_ROOT/rabbitmq4
read -r AMQP AMQPS MANAGEMENT DISTRIBUTION EPMD <<<"${ASYA_TEST_RABBITMQ_PORTS:-}" || true

# Where the broker itself sees the state folder.
inside() { if [ "$VERSION" = 4 ]; then echo /asya; else echo "$STATE"; fi; }

install_broker() {
    need_packages python3 python3
    need_packages openssl openssl
    need_packages ps procps
    if [ "$VERSION" = 3 ]; then
        # The wrapper in /usr/sbin changes the user and the log folder, so the package's own script is run, and looked for.
        [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || install_packages rabbitmq-server
        return
    fi
    [ "$(id -u)" = 0 ] || die "RabbitMQ 4 is SKIPPED: it runs in a chroot, which takes root"
    once rabbitmq4 "$CHROOT/.complete" make_chroot
}

make_chroot() {
    PATH=$PATH:/usr/sbin need_packages debootstrap debootstrap
    say "installing RabbitMQ 4 into $CHROOT (about a minute, once)"
    rm -rf "$CHROOT"
    local mirror
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        sed -nE 's/^(deb( \[[^]]*\])?|URIs:) +([^ ]+).*/\3/p' | grep -v security | head -1 || true)
    # shellcheck disable=SC2086 # no mirror known: debootstrap takes its own
    PATH=$PATH:/usr/sbin debootstrap --variant=minbase --include=rabbitmq-server trixie "$CHROOT" $mirror \
        >"$CACHE_ROOT/debootstrap.log" 2>&1 || die "debootstrap failed, see $CACHE_ROOT/debootstrap.log"
}

make_certificates() {
    local dir=$STATE/tls
    [ -e "$dir/server.pem" ] && return
    rm -rf "$dir" && mkdir -p "$dir"
    (
        cd "$dir"
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=asya test CA' -keyout ca.key -out ca.pem \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
        printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 basicConstraints=CA:FALSE \
            keyUsage=digitalSignature,keyEncipherment extendedKeyUsage=serverAuth authorityKeyIdentifier=keyid >extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile extensions -out server.tmp
        mv server.tmp server.pem
    ) 2>"$dir/openssl.log" || die "making the certificates failed, see $dir/openssl.log"
}

write_config() {
    local in
    in=$(inside)
    cat >"$STATE/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$AMQP
listeners.ssl.1 = 127.0.0.1:$AMQPS
ssl_options.cacertfile = $in/tls/ca.pem
ssl_options.certfile = $in/tls/server.pem
ssl_options.keyfile = $in/tls/server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
management.tcp.ip = 127.0.0.1
management.tcp.port = $MANAGEMENT
# Tests read queue depths from the management API: the default of 5 s would make each of them wait.
collect_statistics_interval = 1000
# A nearly full disk of a developer must not block every publisher.
disk_free_limit.absolute = 50MB
log.file.level = info
CONF
    echo '[rabbitmq_management].' >"$STATE/enabled_plugins"
    : >"$STATE/rabbitmq-env.conf"
}

launch_broker() {
    local in server=(/usr/lib/rabbitmq/bin/rabbitmq-server)
    in=$(inside)
    mkdir -p "$STATE/home" "$STATE/data" "$STATE/log"
    # chroot in a mount namespace of its own: nothing is left mounted, however the broker ends.
    # shellcheck disable=SC2016 # expanded by the inner shell
    [ "$VERSION" = 3 ] || server=(unshare --mount --propagation private sh -c
        'mkdir -p "$1/asya" && mount --bind "$2" "$1/asya" && mount -t proc proc "$1/proc" && exec chroot "$1" /usr/lib/rabbitmq/bin/rabbitmq-server'
        sh "$CHROOT" "$STATE")
    # The data belong to the node's name, so it never changes; the port mapper of its own keeps it apart from other brokers.
    # HOME of its own: root's ~/.erlang.cookie is neither read nor written. RUNNING_UNDER_SYSTEMD: the script becomes the
    # broker instead of guarding it, so that its pid is the broker's.
    launch "$STATE/pid" "$STATE/log/console.log" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        HOME="$in/home" RUNNING_UNDER_SYSTEMD=1 \
        RABBITMQ_NODENAME=asya@localhost RABBITMQ_CONF_ENV_FILE="$in/rabbitmq-env.conf" \
        RABBITMQ_CONFIG_FILE="$in/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$in/enabled_plugins" \
        RABBITMQ_MNESIA_BASE="$in/data" RABBITMQ_MNESIA_DIR="$in/data/asya" RABBITMQ_LOG_BASE="$in/log" \
        RABBITMQ_DIST_PORT="$DISTRIBUTION" \
        ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$EPMD" \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
        "${server[@]}"
}

# Waits until the management API and both AMQP ports answer, then makes the second vhost.
await_ready() {
    python3 - "$MANAGEMENT" "$AMQP" "$AMQPS" "$RUNNING_PID" <<'PY'
import base64, os, socket, sys, time, urllib.request
management, amqp, amqps, pid = map(int, sys.argv[1:])

def call(method, path, body=None):
    request = urllib.request.Request(f"http://127.0.0.1:{management}/api/{path}", body, method=method, headers={
        "Authorization": "Basic " + base64.b64encode(b"guest:guest").decode(), "Content-Type": "application/json"})
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).read()

end, why = time.monotonic() + 90, None
while time.monotonic() < end:
    try:
        os.kill(pid, 0)
        for port in (amqp, amqps):
            socket.create_connection(("127.0.0.1", port), 1).close()
        call("PUT", "vhosts/asya%2Ftest")
        call("PUT", "permissions/asya%2Ftest/guest", b'{"configure":".*","write":".*","read":".*"}')
        for vhost in ("%2F", "asya%2Ftest"):
            call("GET", "aliveness-test/" + vhost)
        sys.exit(0)
    except ProcessLookupError:
        sys.exit("the broker ended while starting")
    except OSError as error:
        why = error
        time.sleep(0.1)
sys.exit(f"not ready after 90 s: {why}")
PY
}

write_env() {
    cat >"$STATE/env.tmp" <<ENV
ASYA_TEST_RABBITMQ${SUFFIX}_URL=amqp://guest:guest@127.0.0.1:$AMQP/
ASYA_TEST_RABBITMQ${SUFFIX}_VHOST_URL=amqp://guest:guest@127.0.0.1:$AMQP/asya%2Ftest
ASYA_TEST_RABBITMQ${SUFFIX}_MANAGEMENT=http://guest:guest@127.0.0.1:$MANAGEMENT
ASYA_TEST_RABBITMQS${SUFFIX}_URL=amqps://guest:guest@localhost:$AMQPS/
ASYA_TEST_RABBITMQ${SUFFIX}_CA=$STATE/tls/ca.pem
ENV
    mv "$STATE/env.tmp" "$STATE/env"
}

start() {
    if running "$STATE/pid" && [ -s "$STATE/env" ]; then cat "$STATE/env"; return; fi
    install_broker
    halt "$STATE/pid" KILL 5
    halt "$STATE/epmd.pid" KILL 5
    rm -f "$STATE/env"
    remember_ports "$STATE/ports" AMQP AMQPS MANAGEMENT DISTRIBUTION EPMD
    make_certificates
    write_config
    # The port mapper is ours too: one that the broker starts by itself would outlive it.
    local chroot=()
    [ "$VERSION" = 3 ] || chroot=(chroot "$CHROOT")
    launch "$STATE/epmd.pid" "$STATE/epmd.log" env -i PATH=/usr/sbin:/usr/bin:/bin ERL_EPMD_ADDRESS=127.0.0.1 \
        "${chroot[@]}" epmd -port "$EPMD"
    wait_until 10 port_open "$EPMD" || die "epmd does not start, see $STATE/epmd.log"
    launch_broker
    running "$STATE/pid" || true
    await_ready || { local log="$STATE/log"; tail -n 20 "$log/console.log" >&2; end_broker KILL; die "RabbitMQ did not start, see $log"; }
    write_env
    cat "$STATE/env"
}

# end_broker SIGNAL: the broker first, then its port mapper; SIGTERM lets queues be written out.
end_broker() {
    # shellcheck disable=SC1091
    [ ! -f "$STATE/ports" ] || . "$STATE/ports"
    rm -f "$STATE/env"
    halt "$STATE/pid" "$1" 30 ${AMQP:+"$AMQP" "$AMQPS" "$MANAGEMENT" "$DISTRIBUTION"}
    halt "$STATE/epmd.pid" KILL 5 ${EPMD:+"$EPMD"}
}

# The command line tool finds the broker by the same home, node name and port mapper.
watermark() {
    running "$STATE/pid" || die "not running"
    # shellcheck disable=SC1091
    . "$STATE/ports"
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME="$STATE/home" RABBITMQ_NODENAME=asya@localhost \
        ERL_EPMD_PORT="$EPMD" RABBITMQ_CONF_ENV_FILE="$STATE/rabbitmq-env.conf" \
        /usr/lib/rabbitmq/bin/rabbitmqctl -q set_vm_memory_high_watermark "$1"
}

case $COMMAND in
start) lock "$STATE"; start ;;
stop) lock "$STATE"; end_broker TERM ;;
kill) lock "$STATE"; end_broker KILL ;;
restart) lock "$STATE"; end_broker TERM; read -r AMQP AMQPS MANAGEMENT DISTRIBUTION EPMD <<<"${ASYA_TEST_RABBITMQ_PORTS:-}" || true; start ;;
status | env) if running "$STATE/pid" && [ -s "$STATE/env" ]; then cat "$STATE/env"; else say "not running"; exit 3; fi ;;
watermark) watermark "${ARGUMENT:?watermark takes a share, for example 0.6}" ;;
purge) lock "$STATE"; end_broker TERM; rm -rf "$STATE" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
