"""What the pages about production, tenancy and SQS ask for is taken by a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from live import LIMIT, Cluster
from rendering import CHARTS, Rendered, render
from test_docs import PAGES, blocks, commands

pytestmark = pytest.mark.cluster
NAMES = ("production", "tenancy", "sqs", "security", "upgrade")
# Where the pages put things, and whom they name.
NAMESPACES = ("asya-system", "asya", "team-a", "team-b")


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[None]:
    for name in NAMESPACES:
        cluster.run("kubectl", "create", "namespace", name, check=False)
    yield
    cluster.kubectl("delete", "namespace", *NAMESPACES, f"--timeout={LIMIT}s")


def renderings() -> Iterator[tuple[str, Rendered]]:
    for page, chart, sets in commands():
        if page.removesuffix(".md") in NAMES and chart == "asya-operator":
            yield f"{page}: {' '.join(sets)}", render(chart, {}, sets=sets)
    for page in PAGES:
        if page.stem in NAMES and page.parent != CHARTS:
            for block in blocks(page, "yaml"):
                values = yaml.safe_load(block.replace("sha256:…", "sha256:" + "a" * 64))
                if "kind" not in values and not any("customizations" in key for key in values):
                    yield f"{page.name}: {block}", render("asya-operator", values)


def test_a_real_server_takes_every_documented_installation(cluster: Cluster, namespaces: None) -> None:
    seen = 0
    for what, objects in renderings():
        # Pods of `helm test` need the ServiceAccount, which a dry run does not leave behind.
        items = [it for it in objects if it["kind"] != "Pod"]
        listed = {"apiVersion": "v1", "kind": "List", "items": items}
        arguments = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
        done = cluster.run("kubectl", *arguments, stdin=json.dumps(listed), check=False)
        assert done.returncode == 0, f"{what}\n{done.stderr}"
        seen += 1
    assert seen >= 10
