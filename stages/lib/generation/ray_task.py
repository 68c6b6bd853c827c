"""The function that Ray Data's tasks run (see ray.py). It has its own file so that they do not import torch."""

import json
from typing import Any


def drive(batch: dict[str, Any], engines: list[Any]) -> dict[str, Any]:
    """Hand a portion {"portion": [number], "job": [JSON]} to its engine and wait for the reply, JSON too."""
    import ray

    number = int(batch["portion"][0])
    try:
        reply = ray.get(engines[number % len(engines)].generate.remote(batch["job"][0]))
    except ray.exceptions.RayActorError as error:
        reply = json.dumps(["ended", type(error).__name__])
    return {"portion": [number], "reply": [reply]}
