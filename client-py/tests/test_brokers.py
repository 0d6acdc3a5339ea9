"""Against a real RabbitMQ and a server that speaks like SQS; their addresses are told by tests/servers."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from asya_client import Client, Denied, NotFound, TooLarge, Unauthenticated, Unavailable, Unconfirmed
from support import LIMIT, Wire, free_port

pika = pytest.importorskip("pika")
boto3 = pytest.importorskip("boto3")


def address(name: str) -> str:
    found = os.environ.get(name)
    if not found:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not set")
        pytest.skip(f"NOT RUN: {name} is not set; start the servers: tests/servers/all.sh")
    return found


@pytest.fixture(params=[None, "prod"])
def namespace(request: pytest.FixtureRequest) -> str | None:
    found: str | None = request.param
    return found


@pytest.fixture
def actor(namespace: str | None) -> str:
    return f"client-{uuid.uuid4().hex[:8]}"


def named(namespace: str | None, actor: str) -> str:
    return f"asya-{namespace}-{actor}" if namespace else f"asya-{actor}"


class Rabbit:
    """The broker, and a queue on it."""

    def __init__(self, url: str, queue: str) -> None:
        self.url, self.queue = url.rstrip("/") + "/%2F", queue
        self.connection = pika.BlockingConnection(pika.URLParameters(self.url))
        self.channel = self.connection.channel()
        self.channel.exchange_declare("asya", "topic", durable=True)
        self.channel.queue_declare(queue, durable=True)
        self.channel.queue_bind(queue, "asya", queue.removeprefix("asya-"))

    def take(self) -> tuple[Any, Any]:
        until = time.monotonic() + LIMIT
        while True:
            _, properties, body = self.channel.basic_get(self.queue, auto_ack=True)
            if body is not None:
                return properties, json.loads(body)
            assert time.monotonic() < until, "nothing arrived"

    def count(self) -> int:
        return int(self.channel.queue_declare(self.queue, passive=True).method.message_count)


@pytest.fixture
def rabbit(namespace: str | None, actor: str) -> Iterator[Rabbit]:
    rabbit = Rabbit(address("ASYA_TEST_RABBITMQ_URL"), named(namespace, actor))
    yield rabbit
    rabbit.channel.queue_delete(rabbit.queue)
    rabbit.connection.close()


def test_rabbitmq_gets_what_publishing_describes(rabbit: Rabbit, namespace: str | None, actor: str) -> None:
    with Client.from_url(rabbit.url.replace("amqp", "rabbitmq"), namespace=namespace) as client:
        id = client.send([actor, "second"], {"text": "Zürich"}, id="own", headers={"tenant": "a"})
        properties, message = rabbit.take()
        assert id == "own"
        assert message == {
            "id": "own",
            "route": {"actors": [actor, "second"], "current": 0},
            "payload": {"text": "Zürich"},
            "headers": {"tenant": "a"},
        }
        assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
        with pytest.raises(NotFound, match="nobody"):
            client.send("nobody", 1)
        client.send(actor, 2)
        assert rabbit.take()[1]["payload"] == 2


def test_rabbitmq_that_closed_an_idle_connection_is_connected_again(rabbit: Rabbit, actor: str, namespace: str) -> None:
    wire = Wire(pika.URLParameters(rabbit.url).port)
    client = Client.from_url(f"amqp://guest:guest@127.0.0.1:{wire.port}/%2F", namespace=namespace)
    client.send(actor, 1)
    wire.cut()
    client.send(actor, 2)
    assert [rabbit.take()[1]["payload"] for _ in range(2)] == [1, 2]
    wire.close()


def test_rabbitmq_whose_confirmation_is_lost_leaves_it_open(rabbit: Rabbit, actor: str, namespace: str) -> None:
    wire = Wire(pika.URLParameters(rabbit.url).port)
    client = Client.from_url(f"amqp://guest:guest@127.0.0.1:{wire.port}/%2F", namespace=namespace)
    client.send(actor, 1)
    wire.lose_answers = 1
    with pytest.raises(Unconfirmed) as raised:
        client.send(actor, 2, id="lost")
    assert raised.value.id == "lost"
    assert [rabbit.take()[1]["payload"] for _ in range(2)] == [1, 2]
    client.send(actor, 3)
    assert rabbit.take()[1]["payload"] == 3
    assert rabbit.count() == 0
    wire.close()


def test_rabbitmq_refuses_with_a_reason(rabbit: Rabbit, actor: str, namespace: str | None) -> None:
    with pytest.raises(Unauthenticated, match="ACCESS_REFUSED"):
        Client.from_url(rabbit.url.replace("guest:guest", "guest:wrong")).send(actor, 1)
    with pytest.raises(Denied, match="vhost nowhere"):
        Client.from_url(rabbit.url.replace("%2F", "nowhere")).send(actor, 1)
    with pytest.raises(NotFound, match="no exchange"):
        Client.from_url(rabbit.url, exchange="nowhere", namespace=namespace).send(actor, 1)
    with pytest.raises(Unavailable):
        Client.from_url(f"amqp://127.0.0.1:{free_port()}", retry_for=0.3).send(actor, 1)


@pytest.mark.parametrize("server", ["ASYA_TEST_SQS_ENDPOINT", "ASYA_TEST_SQS_ENDPOINT_2"])
def test_sqs_gets_the_envelope_as_its_body(server: str, namespace: str | None, actor: str) -> None:
    endpoint = address(server)
    url = f"sqs://{endpoint.removeprefix('http://').rstrip('/')}?region={os.environ['AWS_REGION']}"
    sqs = boto3.client("sqs", endpoint_url=endpoint, region_name=os.environ["AWS_REGION"])
    queue = sqs.create_queue(QueueName=named(namespace, actor))["QueueUrl"]
    with Client.from_url(url, namespace=namespace) as client:
        client.send([actor, "second"], {"text": "Zürich"}, id="own")
        body = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]["Body"]
        assert json.loads(body) == {
            "id": "own",
            "route": {"actors": [actor, "second"], "current": 0},
            "payload": {"text": "Zürich"},
        }
        with pytest.raises(NotFound, match="nobody"):
            client.send("nobody", 1)
        with pytest.raises(TooLarge):
            client.send(actor, "x" * 2_000_000)
        sqs.delete_queue(QueueUrl=queue)
        with pytest.raises(NotFound):
            client.send(actor, 1)


def test_sqs_that_is_away_is_unavailable_and_a_lost_answer_unconfirmed(actor: str) -> None:
    endpoint = address("ASYA_TEST_SQS_ENDPOINT")
    region = os.environ["AWS_REGION"]
    with pytest.raises(Unavailable):
        Client.from_url(f"sqs://127.0.0.1:{free_port()}?region={region}", retry_for=0.3).send(actor, 1)
    sqs = boto3.client("sqs", endpoint_url=endpoint, region_name=region)
    queue = sqs.create_queue(QueueName=f"asya-{actor}")["QueueUrl"]
    wire = Wire(int(endpoint.rstrip("/").rpartition(":")[2]))
    client = Client.from_url(f"sqs://127.0.0.1:{wire.port}?region={region}")
    wire.lose_answers = 1  # of asking for the queue's address: that is asked again
    client.send(actor, 1)
    wire.lose_answers = 1
    with pytest.raises(Unconfirmed):
        client.send(actor, 2)
    got = []
    while len(got) < 2:
        got += sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10, MaxNumberOfMessages=10)["Messages"]
    assert sorted(json.loads(it["Body"])["payload"] for it in got) == [1, 2]
    sqs.delete_queue(QueueUrl=queue)
    wire.close()


@pytest.mark.parametrize("url", ["sqs://host/path", "sqs://eu-west-1?other=1"])
def test_an_address_of_sqs_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address of SQS"):
        Client.from_url(url)
