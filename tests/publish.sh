#!/usr/bin/env bash
# Runs every program of examples/publish against real brokers and reads back what arrived.
#
# usage: publish.sh [LANGUAGE...]     (python shell go java; default all)
#
# Finds the brokers in its environment (tests/servers/README.md). Python must run. Go, Java and shell are optional: a tool
# chain that is not there is said, and is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=${ASYA_TEST_VENV:-$PWD/target/venv}
PAYLOAD='{"text":"Zürich","n":[1,2]}'
# One queue name of each template.
BARE=asya-publish-$$
NAMESPACED=asya-prod-publish-$$
LIMIT=20 # seconds for a message to arrive

: "${ASYA_TEST_RABBITMQ_URL:?start the servers: tests/servers/all.sh run tests/publish.sh}"
# The vhost is written out: to Java a lone slash at the end is the vhost without a name.
export RABBITMQ_URL=${ASYA_TEST_RABBITMQ_URL%/}/%2F RABBITMQ_MANAGEMENT=$ASYA_TEST_RABBITMQ_MANAGEMENT
export AWS_ENDPOINT_URL_SQS=$ASYA_TEST_SQS_ENDPOINT AWS_DEFAULT_REGION=$AWS_REGION
export GOWORK=off PATH="$VENV/bin:$PATH"

missing() { # missing WHAT optional|needed
    echo "NOT RUN: publishing examples for want of $1" >&2
    [ "$2" = optional ] || [ "${CI:-}" != true ] || exit 1
}

# What tests and this project's operator make: a queue bound under its name without the prefix.
make_queues() {
    "$VENV/bin/python" - "$BARE" "$NAMESPACED" <<'PYTHON'
import os, sys
import boto3, pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"])).channel()
channel.exchange_declare("asya", "topic", durable=True)
for queue in sys.argv[1:]:
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, "asya", queue.removeprefix("asya-"))
    boto3.client("sqs").create_queue(QueueName=queue)
PYTHON
}

remove_queues() {
    "$VENV/bin/python" - "$BARE" "$NAMESPACED" <<'PYTHON'
import os, sys
import boto3, pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"])).channel()
sqs = boto3.client("sqs")
for queue in sys.argv[1:]:
    channel.queue_delete(queue)
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"])
PYTHON
}

# arrived BROKER QUEUE ID: exactly this envelope is on the queue; takes it.
arrived() {
    "$VENV/bin/python" - "$1" "$2" "$3" "$PAYLOAD" "$LIMIT" <<'PYTHON'
import json, os, sys, time
import boto3, pika

broker, queue, id_, payload, limit = sys.argv[1:]
wanted = {"id": id_, "route": {"actors": ["first", "second"], "current": 0}, "payload": json.loads(payload)}
end, body = time.monotonic() + float(limit), None
if broker == "rabbitmq":
    channel = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"])).channel()
    while body is None and time.monotonic() < end:
        got, properties, body = channel.basic_get(queue, auto_ack=True)
    if body is not None:
        assert properties.content_type == "application/json", properties
        assert properties.delivery_mode == 2, properties
else:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    while body is None and time.monotonic() < end:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            body = message["Body"]
assert body is not None, f"nothing arrived on {queue}"
assert json.loads(body) == wanted, body
PYTHON
}

# check LANGUAGE BROKER COMMAND...: both names arrive, and a queue that does not exist is an error.
check() {
    local language=$1 broker=$2 queue id
    shift 2
    for queue in "$BARE" "$NAMESPACED"; do
        id=$language-$broker-$queue
        "$@" "$queue" first,second "$id" "$PAYLOAD"
        arrived "$broker" "$queue" "$id"
    done
    if "$@" asya-nobody-$$ first,second lost "$PAYLOAD" 2>target/publish.err; then
        echo "$language, $broker: a queue that does not exist was no error" >&2
        exit 1
    fi
    # The error has to be about the queue, not about a broken program.
    grep -qiE 'nobody|unroutable|NonExistent|does ?not ?exist' target/publish.err || { cat target/publish.err >&2; exit 1; }
    echo "$language, $broker: arrives under both templates; a missing queue is an error"
}

python() {
    check python rabbitmq "$VENV/bin/python" examples/publish/python/rabbitmq.py
    check python sqs "$VENV/bin/python" examples/publish/python/sqs.py
}

shell() {
    command -v jq >/dev/null && command -v curl >/dev/null || { missing "jq and curl" optional; return; }
    check shell rabbitmq examples/publish/shell/rabbitmq.sh
    command -v aws >/dev/null || { missing "the aws command line" optional; return; }
    check shell sqs examples/publish/shell/sqs.sh
}

go() {
    type -P go >/dev/null || { missing "go" optional; return; }
    local broker
    for broker in rabbitmq sqs; do
        check go "$broker" command go -C examples/publish/go run "./$broker"
    done
}

java() {
    type -P mvn >/dev/null && type -P javac >/dev/null || { missing "mvn and a JDK" optional; return; }
    local folder=examples/publish/java
    mvn -q -B -f $folder/pom.xml compile dependency:build-classpath -Dmdep.outputFile=target/classpath
    local classes
    classes=$folder/target/classes:$(cat $folder/target/classpath)
    check java rabbitmq command java -cp "$classes" RabbitMq
    check java sqs command java -cp "$classes" Sqs
}

mkdir -p target
make_queues
trap remove_queues EXIT
for language in ${*:-python shell go java}; do
    "$language"
done
