"""What needs no process."""

import datetime
import enum
from dataclasses import dataclass, field
from typing import Literal

import pytest

from asya_runtime import PayloadError, Reject, config, context, jsondialect, typed
from asya_runtime.testing import run, run_batch, run_route


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Inner:
    n: int
    at: datetime.datetime | None = None


@dataclass
class Outer:
    inner: Inner
    kind: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED
    more: list[Inner] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)


def test_a_dataclass_is_built_with_all_that_it_holds():
    build = typed.builder(Outer)
    value = {
        "inner": {"n": 1, "at": "2030-01-02T03:04:05Z"}, "kind": "b", "colour": "red",
        "more": [{"n": 2}], "by_name": {"x": {"n": 3}}, "unknown": 1,
    }  # fmt: skip
    built = build(value, "$")
    at = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    assert built == Outer(Inner(1, at), "b", Colour.RED, [Inner(2)], {"x": Inner(3)})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], "$"),
        ({}, "$.inner"),
        ({"inner": {"n": "1"}}, "$.inner.n"),
        ({"inner": {"n": True}}, "$.inner.n"),
        ({"inner": {"n": 1, "at": "soon"}}, "$.inner.at"),
        ({"inner": {"n": 1}, "kind": "c"}, "$.kind"),
        ({"inner": {"n": 1}, "colour": "blue"}, "$.colour"),
        ({"inner": {"n": 1}, "more": [{"n": 1}, {}]}, "$.more[1].n"),
        ({"inner": {"n": 1}, "by_name": {"x": 1}}, "$.by_name.x"),
    ],
)
def test_a_misfit_is_named_by_its_path(value, path):
    with pytest.raises(PayloadError) as raised:
        typed.builder(Outer)(value, "$")
    assert raised.value.path == path


def test_a_pydantic_model_is_built_and_its_misfit_named():
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("M", n=(int, ...))
    assert typed.builder(list[model])([{"n": 1}], "$") == [model(n=1)]
    with pytest.raises(PayloadError) as raised:
        typed.builder(list[model])([{"n": "x"}], "$")
    assert raised.value.path == "$[0].n"
    assert jsondialect.dumps(model(n=1)) == b'{"n":1}'


def test_annotations_without_a_class_are_not_checked():
    assert not typed.wants_building(dict[str, int])
    assert not typed.wants_building(int)


@pytest.mark.parametrize("text", [b" [1, 2] ", b'"\\ud800"', b"1.5", b"123456789012345678901234567890", b"null"])
def test_json_goes_through_as_the_library_has_it(text):
    assert jsondialect.loads(jsondialect.dumps(jsondialect.loads(text))) == jsondialect.loads(text)


@pytest.mark.parametrize("text", [b"", b"NaN", b"-Infinity", b"1 2", b"{", b"\xff"])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        jsondialect.loads(text)


@pytest.mark.parametrize("value", [float("inf"), {"a": {1}}, {(1, 2): 3}, b"x"])
def test_what_cannot_be_json_is_refused_and_found(value):
    with pytest.raises((ValueError, TypeError)):
        jsondialect.dumps(value)
    assert jsondialect.offender(value)


def test_a_cpu_quota_is_rounded_up_to_whole_cpus(tmp_path):
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert config.cpu_limit(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000")
    assert config.cpu_limit(tmp_path) >= 1


def split(payload):
    context().set_header("seen", True)
    return [{"n": n} for n in payload]


async def double(payload):
    context().progress(0.5, "half")
    return payload["n"] * 2


def refuse(payload):
    if payload == 2:
        raise Reject("no twos")
    return payload


def count(n):
    yield from range(n)


def halves(payloads):
    return [ValueError("odd") if p % 2 else p // 2 for p in payloads]


def test_a_handler_runs_without_a_socket():
    assert run(split, [1, 2]).items == [{"n": 1}, {"n": 2}]
    assert run(split, [1], headers={"h": 1}).headers == {"h": 1, "seen": True}
    result = run(double, {"n": 3})
    assert (result.payload, result.progress) == (6, [(0.5, "half")])
    assert run(count, 3).items == [0, 1, 2]
    assert run(refuse, 2).error["action"] == "reject"
    assert run(lambda _: {1}, 1).error["code"] == "invalid_result"


def test_a_route_runs_without_a_socket():
    ends = run_route([split, double, refuse], [1, 2])
    assert [(end.items, end.error and end.error["type"]) for end in ends] == [([], "Reject"), ([4], None)]
    assert ends[1].headers == {"seen": True}


def test_a_batch_runs_without_a_socket():
    results = run_batch(halves, [2, 3])
    assert results[0].items == [1]
    assert results[1].error["type"] == "ValueError"
