"""Publishes one envelope: rabbitmq.py QUEUE ACTOR,ACTOR ID PAYLOAD. Needs pika. RABBITMQ_URL says where."""

import json
import os
import sys

import pika

queue, route, id_, payload = sys.argv[1:]
envelope = {
    "id": id_,
    "route": {"actors": route.split(","), "current": 0},
    "payload": json.loads(payload),
}
connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
channel = connection.channel()
channel.confirm_delivery()
# Raises UnroutableError when no queue is bound, NackError when the broker did not take it.
channel.basic_publish(
    exchange="asya",
    routing_key=queue.removeprefix("asya-"),
    body=json.dumps(envelope).encode(),
    properties=pika.BasicProperties(content_type="application/json", delivery_mode=2),
    mandatory=True,
)
connection.close()
