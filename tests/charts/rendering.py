"""Renders a chart with the real helm and finds objects in what comes out."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "charts"
# APIs that a cluster may lack; given to a rendering that is to see them.
OPTIONAL_APIS = (
    "keda.sh/v1alpha1",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)

Object = dict[str, Any]


class RenderError(Exception):
    """Helm refused: the schema, or a sentence of a template."""


class Rendered(list[Object]):
    """The objects of one rendering."""

    def kind(self, kind: str) -> list[Object]:
        return [it for it in self if it["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        found = [it for it in self.kind(kind) if name is None or it["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
        return found[0]

    def has(self, kind: str, name: str | None = None) -> bool:
        return any(name is None or it["metadata"]["name"] == name for it in self.kind(kind))

    def deployment(self) -> Object:
        return self.one("Deployment")

    def pod(self) -> Object:
        """The pod of the chart's Deployment."""
        return self.deployment()["spec"]["template"]["spec"]

    def container(self) -> Object:
        return self.pod()["containers"][0]

    def args(self) -> list[str]:
        return self.container()["args"]

    def env(self, name: str) -> Any:
        """An environment variable of the Deployment's container, None if it is absent."""
        found = [it for it in self.container()["env"] if it["name"] == name]
        assert len(found) < 2, f"{name} is given twice"
        return found[0].get("value", found[0].get("valueFrom")) if found else None

    def transport(self, name: str) -> Object:
        return json.loads(self.env("ASYA_TRANSPORT_CONFIG"))["transports"][name]

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Every pod that the chart brings, whatever makes it; not those of actors."""
        for it in self:
            name = f"{it['kind']}/{it['metadata']['name']}"
            if it["kind"] == "Pod":
                yield name, it["spec"]
            elif it["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield name, it["spec"]["template"]["spec"]


_known: dict[str, Rendered] = {}


def render(
    chart: str | Path,
    values: Object | None = None,
    *,
    sets: tuple[str, ...] = (),
    apis: tuple[str, ...] = (),
    release: str = "asya-operator",
    namespace: str = "asya-system",
    helm: str = "helm",
    kube_version: str | None = None,
) -> Rendered:
    """`helm template` of a chart of this repository, by name (rendered once), or of any folder."""
    command = [helm, "template", release, str(CHARTS / chart), "--namespace", namespace]
    for it in sets:
        command += ["--set", it]
    for it in apis:
        command += ["--api-versions", it]
    if kube_version:
        command += ["--kube-version", kube_version]
    key = json.dumps([command, values])
    if key not in _known or isinstance(chart, Path):
        _known[key] = run(command, values or {})
    return copy.deepcopy(_known[key])


def run(command: list[str], values: Object) -> Rendered:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        done = subprocess.run([*command, "--values", file.name], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RenderError(done.stderr)
    return Rendered(it for it in yaml.load_all(done.stdout, Loader=Strict) if it)


class Strict(yaml.CSafeLoader):
    """As the API server reads: a key that is given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key is given twice, {node.start_mark}: {keys}"
        return super().construct_mapping(node, deep=deep)


def notes(chart: str, values: Object | None = None, **options: Any) -> str:
    """What NOTES.txt says: `helm template` leaves it out, so a copy of the chart renders it as an object."""
    with copy_of(chart) as folder:
        text = folder / "templates/NOTES.txt"
        shutil.copy(text, folder / "files/notes.txt")
        text.unlink()
        (folder / "templates/said.yaml").write_text(
            "apiVersion: v1\nkind: Said\nmetadata: {name: x}\n"
            'text: {{ tpl (.Files.Get "files/notes.txt") . | toJson }}\n'
        )
        return render(folder, values, **options).one("Said")["text"]


class copy_of:
    """A copy of a chart that a test may change."""

    def __init__(self, chart: str) -> None:
        self.chart = chart

    def __enter__(self) -> Path:
        self.dir = tempfile.TemporaryDirectory()
        folder = Path(self.dir.name) / self.chart
        shutil.copytree(CHARTS / self.chart, folder)
        (folder / "files").mkdir(exist_ok=True)
        return folder

    def __exit__(self, *_: object) -> None:
        self.dir.cleanup()


def chart_values(chart: str) -> Object:
    return yaml.safe_load((CHARTS / chart / "values.yaml").read_text())


def nested(path: str, value: Any) -> Object:
    """{"a": {"b": value}} of "a.b"."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def merged(*trees: Object) -> Object:
    """Maps merged key by key, the later wins."""
    out: Object = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, dict) and isinstance(out.get(key), dict)
            out[key] = merged(out[key], value) if both else value
    return out


def leaves(tree: Object, whole: frozenset[str] = frozenset(), path: str = "") -> Iterator[str]:
    """Dotted paths of everything that is no map, of empty maps, and of maps whose key is in `whole`."""
    for key, value in tree.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and key not in whole and here not in whole:
            yield from leaves(value, whole, here)
        else:
            yield here
