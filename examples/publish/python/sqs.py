"""Publishes one envelope: sqs.py QUEUE ACTOR,ACTOR ID PAYLOAD. Needs boto3. AWS_ENDPOINT_URL_SQS if it is not AWS."""

import json
import sys

import boto3

queue, route, id_, payload = sys.argv[1:]
envelope = {
    "id": id_,
    "route": {"actors": route.split(","), "current": 0},
    "payload": json.loads(payload),
}
sqs = boto3.client("sqs")
# Raises QueueDoesNotExist when there is no such actor.
url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
sqs.send_message(QueueUrl=url, MessageBody=json.dumps(envelope))
