#!/bin/sh
# Publishes one envelope: sqs.sh QUEUE ACTOR,ACTOR ID PAYLOAD. Needs aws and jq. AWS_ENDPOINT_URL_SQS if it is not AWS.
set -eu
# Not every aws reads that variable itself.
sqs() { aws ${AWS_ENDPOINT_URL_SQS:+--endpoint-url "$AWS_ENDPOINT_URL_SQS"} sqs "$@"; }
envelope=$(jq -cn --arg route "$2" --arg id "$3" --argjson payload "$4" \
    '{id: $id, route: {actors: ($route | split(",")), current: 0}, payload: $payload}')
url=$(sqs get-queue-url --queue-name "$1" --query QueueUrl --output text)
sqs send-message --queue-url "$url" --message-body "$envelope" >/dev/null
