#!/usr/bin/env bash
# Two independent SQS-compatible servers for the tests: ElasticMQ (Java, from Maven Central) and moto (Python, from PyPI).
#
# usage: sqs.sh start|stop|kill|restart|status|env|purge
#   start    install what is missing, start, wait until ready, print the environment; does nothing when running
#   stop     stop both; the messages are gone (both keep them in memory)
#   kill     the same by SIGKILL
#   restart  stop and start
#   status   exit 0 and the environment when both run, else exit 3
#   purge    stop and delete the state folder
#
# The environment is also in STATE/env: ASYA_TEST_SQS_ENDPOINT (ElasticMQ), ASYA_TEST_SQS_ENDPOINT_2 and
# ASYA_TEST_S3_ENDPOINT (moto, which is an S3 server too), and AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, which both accept. What each server cannot do is in README.md.
#
# Settings: ASYA_TEST_STATE (folder, default target/test-servers), ASYA_TEST_CACHE (default ~/.cache/asya-tests),
# ASYA_TEST_SQS_PORTS="ELASTICMQ MOTO" (default: free ones, remembered).

set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Pinned: another release may know other limits, and the tests name the gaps of these.
ELASTICMQ_VERSION=1.7.1
MOTO_VERSION=5.2.5
COMMAND=${1:---help}
STATE=$STATE_ROOT/sqs
ELASTICMQ_HOME=$CACHE_ROOT/elasticmq-$ELASTICMQ_VERSION
MOTO_HOME=$CACHE_ROOT/moto-$MOTO_VERSION
read -r ELASTICMQ MOTO <<<"${ASYA_TEST_SQS_PORTS:-}" || true

install_elasticmq() {
    need_packages mvn maven
    say "fetching ElasticMQ $ELASTICMQ_VERSION into $ELASTICMQ_HOME (once)"
    rm -rf "$ELASTICMQ_HOME" && mkdir -p "$ELASTICMQ_HOME"
    cat >"$ELASTICMQ_HOME/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>test</groupId><artifactId>servers</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.elasticmq</groupId><artifactId>elasticmq-server_2.13</artifactId><version>$ELASTICMQ_VERSION</version>
  </dependency></dependencies>
</project>
POM
    (cd "$ELASTICMQ_HOME" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib -DincludeScope=runtime) \
        </dev/null >"$CACHE_ROOT/elasticmq.log" 2>&1 || die "fetching ElasticMQ failed, see $CACHE_ROOT/elasticmq.log"
}

install_moto() {
    say "installing moto $MOTO_VERSION into $MOTO_HOME (once)"
    rm -rf "$MOTO_HOME"
    # Debian's python3 has no venv by default; a half-made one means just that.
    python3 -m venv "$MOTO_HOME" >"$CACHE_ROOT/moto.log" 2>&1 || {
        rm -rf "$MOTO_HOME"
        install_packages python3-venv
        python3 -m venv "$MOTO_HOME" >"$CACHE_ROOT/moto.log" 2>&1 || die "python3 -m venv failed, see $CACHE_ROOT/moto.log"
    }
    # SQS needs Flask of moto's "server" extra and nothing else of it.
    "$MOTO_HOME/bin/pip" install --quiet "moto==$MOTO_VERSION" flask flask-cors >>"$CACHE_ROOT/moto.log" 2>&1 ||
        die "installing moto failed, see $CACHE_ROOT/moto.log"
}

start_elasticmq() {
    cat >"$STATE/elasticmq.conf" <<CONF
include classpath("application.conf")
node-address { protocol = http, host = "127.0.0.1", port = $ELASTICMQ, context-path = "" }
rest-sqs { enabled = true, bind-port = $ELASTICMQ, bind-hostname = "127.0.0.1", sqs-limits = strict }
pekko.loglevel = WARNING
CONF
    # A server of a few minutes starts faster without the optimising compiler, and a test needs no large heap.
    launch "$STATE/elasticmq.pid" "$STATE/elasticmq.log" java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m \
        -Djava.net.preferIPv4Stack=true "-Dconfig.file=$STATE/elasticmq.conf" -cp "$ELASTICMQ_HOME/lib/*" org.elasticmq.server.Main
}

start_moto() {
    launch "$STATE/moto.pid" "$STATE/moto.log" env PYTHONUNBUFFERED=1 "$MOTO_HOME/bin/moto_server" -H 127.0.0.1 -p "$MOTO"
}

# answers PORT: ListQueues by the JSON protocol of today's SDKs.
answers() {
    python3 - "$1" <<'PY' 2>/dev/null
import sys, urllib.request
request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/", b"{}", headers={
    "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ListQueues",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20200101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"})
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).read()
PY
}

# ready NAME PORT: false at once when the process has ended.
ready() {
    wait_until 60 answers_or_ended "$1" "$2" && running "$STATE/$1.pid" && return
    tail -n 20 "$STATE/$1.log" >&2
    return 1
}
answers_or_ended() { ! running "$STATE/$1.pid" || answers "$2"; }

both_run() { running "$STATE/elasticmq.pid" && running "$STATE/moto.pid" && [ -s "$STATE/env" ]; }

start() {
    if both_run; then cat "$STATE/env"; return; fi
    need_packages java openjdk-17-jre-headless
    need_packages python3 python3
    need_packages ps procps
    once elasticmq "$ELASTICMQ_HOME/.complete" install_elasticmq
    once moto "$MOTO_HOME/.complete" install_moto
    end_servers KILL
    remember_ports "$STATE/ports" ELASTICMQ MOTO
    start_elasticmq
    start_moto
    ready elasticmq "$ELASTICMQ" || { end_servers KILL; die "ElasticMQ did not start, see $STATE/elasticmq.log"; }
    ready moto "$MOTO" || { end_servers KILL; die "moto did not start, see $STATE/moto.log"; }
    cat >"$STATE/env.tmp" <<ENV
ASYA_TEST_SQS_ENDPOINT=http://127.0.0.1:$ELASTICMQ
ASYA_TEST_SQS_ENDPOINT_2=http://127.0.0.1:$MOTO
ASYA_TEST_S3_ENDPOINT=http://127.0.0.1:$MOTO
AWS_REGION=us-east-1
AWS_ACCESS_KEY_ID=test
AWS_SECRET_ACCESS_KEY=test
ENV
    mv "$STATE/env.tmp" "$STATE/env"
    cat "$STATE/env"
}

end_servers() {
    local ELASTICMQ='' MOTO=''
    # shellcheck disable=SC1091
    [ ! -f "$STATE/ports" ] || . "$STATE/ports"
    rm -f "$STATE/env"
    halt "$STATE/elasticmq.pid" "$1" 10 ${ELASTICMQ:+"$ELASTICMQ"}
    halt "$STATE/moto.pid" "$1" 10 ${MOTO:+"$MOTO"}
}

case $COMMAND in
start) lock "$STATE"; start ;;
stop) lock "$STATE"; end_servers TERM ;;
kill) lock "$STATE"; end_servers KILL ;;
restart) lock "$STATE"; end_servers TERM; start ;;
status | env) if both_run; then cat "$STATE/env"; else say "not running"; exit 3; fi ;;
purge) lock "$STATE"; end_servers TERM; rm -rf "$STATE" ;;
-h | --help | help) usage ;;
*) die "unknown command \"$COMMAND\", try --help" ;;
esac
