"""What money needs: a rule that decides without a model, and a refund that is paid once, however often it comes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from asya_runtime import context

# In cents; what is above is a person's decision.
MOST = 5000


def policy(refund: dict[str, Any]) -> dict[str, Any]:
    """Lets small sums go on. What it rejects skips the actor behind it and is the tool's answer."""
    if refund["cents"] <= MOST:
        return refund
    route = context().route
    route.set_rest(route.actors[route.current + 2 :])
    return {"rejected": {"by": "policy", "reason": f"{refund['cents']} cents are more than {MOST}: ask a colleague"}}


def refund(refund: dict[str, Any]) -> dict[str, Any]:
    """Pays back. The id of the call is the same in every repeat, so a message that comes twice pays once."""
    folder = Path(os.environ.get("REFUNDS", ".asya/refunds"))
    folder.mkdir(parents=True, exist_ok=True)
    receipt = folder / f"{context().headers['agent-call']['id']}.json"
    try:
        with receipt.open("x", encoding="utf-8") as file:
            json.dump(refund, file)
    except FileExistsError:
        pass
    return {"refunded": refund["order"], "cents": refund["cents"], "arrives": "within five working days"}
