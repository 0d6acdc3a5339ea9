"""Agents as plain Python: a prompt, tools that are typed functions or other actors, one envelope per turn.

`agent` is the turn; `conversation` is what travels between turns; `tools` are functions and actors that a model may
call, `schema` what it is told of their arguments; `model` asks, as `settings` say, in the words of `completions`;
`tape` keeps answers; `testing` follows an envelope through actors without queues.

What must stay true: a model is asked at most once per envelope, and what it decided is on its way in an envelope
before a function of this process acts on it.
"""

from .agent import Agent, Unfinished, Verdict
from .model import ModelBusy, ModelError
from .tools import Actor, FanOut, Tool, call_id, tool

__all__ = [
    "Actor",
    "Agent",
    "FanOut",
    "ModelBusy",
    "ModelError",
    "Tool",
    "Unfinished",
    "Verdict",
    "call_id",
    "tool",
]
