#!/bin/sh
# Publishes one envelope: rabbitmq.sh QUEUE ACTOR,ACTOR ID PAYLOAD. Needs curl and jq.
# RABBITMQ_MANAGEMENT is the management API with user and password, RABBITMQ_VHOST the vhost, encoded (default %2F).
# For a try or a repair: this API is slow, and it confirms nothing but the routing.
set -eu
envelope=$(jq -cn --arg route "$2" --arg id "$3" --argjson payload "$4" \
    '{id: $id, route: {actors: ($route | split(",")), current: 0}, payload: $payload}')
answer=$(jq -n --arg key "${1#asya-}" --arg body "$envelope" \
    '{routing_key: $key, payload: $body, payload_encoding: "string",
      properties: {delivery_mode: 2, content_type: "application/json"}}' |
    curl -fsS -H 'content-type: application/json' -d @- \
        "$RABBITMQ_MANAGEMENT/api/exchanges/${RABBITMQ_VHOST:-%2F}/asya/publish")
[ "$(echo "$answer" | jq .routed)" = true ] || { echo "no queue is bound for ${1#asya-}" >&2; exit 1; }
