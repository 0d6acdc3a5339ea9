"""Chat completions, as OpenAI and the many that are compatible speak them.

Read leniently: what one server leaves out or adds is no error. Requests and answers have the form of crates/llm: a
request is `{"model", "system", "messages", "tools", "choice", …}`, an answer `{"text", "calls", "finish", "usage"}`.
"""

from __future__ import annotations

import json
from typing import Any

from .settings import Settings
from .tools import clean

Json = dict[str, Any]


class Malformed(ValueError):
    """The answer is not what the format says."""


class Refused(ValueError):
    """The model, or a filter, does not want to answer."""


def body(request: Json, settings: Settings) -> Json:
    """The body of a request."""
    messages: list[Json] = []
    if request.get("system"):
        messages.append({"role": "system", "content": request["system"]})
    messages.extend(_message(message) for message in request["messages"])
    # OpenAI's newer models insist on the newer name; others know only the older one.
    most = "max_completion_tokens" if "openai.com" in settings.base else "max_tokens"
    said: Json = {
        "model": request.get("model") or settings.model,
        "messages": messages,
        most: request.get("max_tokens") or settings.max_tokens,
    }
    for name, default in (("temperature", settings.temperature), ("top_p", settings.top_p)):
        value = request.get(name, default)
        if value is not None:
            said[name] = value
    if request.get("tools"):
        said["tools"] = [{"type": "function", "function": tool} for tool in request["tools"]]
        choice = request.get("choice", "auto")
        said["tool_choice"] = (
            {"type": "function", "function": {"name": choice["named"]}} if isinstance(choice, dict) else choice
        )
    return said


def _message(message: Json) -> Json:
    if message["role"] == "tool":
        return {"role": "tool", "tool_call_id": message["call"], "content": message["text"]}
    if not message.get("calls"):
        return {"role": message["role"], "content": message["text"]}
    calls = []
    for call in message["calls"]:
        arguments = call["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append({"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": text}})
    return {"role": "assistant", "content": message["text"] or None, "tool_calls": calls}


def response(value: Any) -> Json:
    """Reads an answer. Raises Malformed, Refused."""
    choices = value.get("choices") if isinstance(value, dict) else None
    said = choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if not isinstance(said, dict) or not isinstance(value, dict) or not isinstance(choices, list):
        raise Malformed(f"it has no message: {json.dumps(value)[:500]}")
    if isinstance(said.get("refusal"), str) and said["refusal"]:
        raise Refused(said["refusal"])
    reason = choices[0].get("finish_reason")
    if reason == "content_filter":
        raise Refused("the content filter stopped it")
    calls = [_call(index, call) for index, call in enumerate(said.get("tool_calls") or ()) if isinstance(call, dict)]
    finish = "length" if reason in ("length", "max_tokens") else "calls" if calls else "stop"
    answer: Json = {"text": clean(_content(said.get("content"))), "finish": finish}
    if calls:
        answer["calls"] = calls
    usage = value.get("usage")
    if isinstance(usage, dict):
        details = usage.get("prompt_tokens_details")
        answer["usage"] = {
            "input": _count(usage.get("prompt_tokens")),
            "output": _count(usage.get("completion_tokens")),
            "cached": _count(details.get("cached_tokens")) if isinstance(details, dict) else 0,
        }
    return answer


def _call(index: int, call: Json) -> Json:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments: Any = function.get("arguments")
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        arguments = {}
    elif isinstance(arguments, str):
        try:
            arguments = json.loads(clean(arguments), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            # Text fits no tool, so the model is told.
            arguments = clean(arguments)
    # An id is what the answer is matched by: a call that a server gave none gets one.
    name, id = function.get("name"), call.get("id")
    return {
        "id": clean(id) if isinstance(id, str) and id else f"call_{index}",
        "name": clean(name) if isinstance(name, str) else "",
        "arguments": arguments,
    }


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
