from __future__ import annotations

from collections.abc import Iterator

import pytest

from asya_client import Client
from support import Gateway, Wire


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    found = Gateway(tmp_path_factory.mktemp("gateway"))
    yield found
    found.kill()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with Client.from_url(gateway.url) as client:
        yield client


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    wire = Wire(gateway.port)
    yield wire
    wire.close()
