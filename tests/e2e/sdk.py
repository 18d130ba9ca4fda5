"""What the tests with other people's clients have in common."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pydantic

from conftest import THROTTLED_RPM
from gateway import PATIENCE, Sluice

# Throttled without end by the talker; the gateway then learns that this model has no quota.
BUSY = "amazon.nova-micro-v1:0"
# What the gateway says when a question cannot wait for its turn.
TOO_BUSY = "requests: .* Please wait"

# SDKs insist on a key; without authentication any will do.
ANY_KEY = "any-key"

WEATHER = "Use get_weather to say what the weather in Cologne will be."
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "id": {"type": "integer"},
        "note": {"type": "string"},
    },
    "required": ["city"],
}


def absorb(sluice: Sluice, ask: Callable[[str], str]) -> None:
    """More questions at once than the quota admits: each is answered, and none sees a throttle.

    `ask` must not try again by itself. Quotas are learned by model, so each caller brings its own.
    """
    before = sluice.metrics()["sluice_throttles_total"]
    questions = [f"{ask.__module__} {ask.__qualname__} {n}" for n in range(2 * THROTTLED_RPM + 2)]
    together = threading.Barrier(len(questions))

    def one(question: str) -> str:
        together.wait(PATIENCE)
        return ask(question)

    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(one, questions))
    assert all(answer.startswith("[simulated]") for answer in answers), answers
    assert sluice.metrics()["sluice_throttles_total"] > before, "no throttle was met"


# What the API sends and the SDK's types have forgotten: /v1/responses says what it was asked.
FORGOTTEN = {"store"}


def no_extras(model: object, path: str = "") -> None:
    """A response holds what its SDK's types know, and nothing else."""
    if isinstance(model, pydantic.BaseModel):
        extra = set(model.model_extra or {}) - FORGOTTEN
        assert not extra, f"{path or type(model).__name__}: {extra}"
        for name in type(model).model_fields:
            no_extras(getattr(model, name), f"{path}.{name}")
    elif isinstance(model, (list, tuple)):
        for item in model:
            no_extras(item, f"{path}[]")


def sse(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Event name (maybe empty) and data of each event."""
    name, data = "", []
    for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "", []
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            data.append(line[6:])
    assert not data, "the stream ends within an event"


@contextlib.contextmanager
def environ(values: Mapping[str, str]) -> Iterator[None]:
    """For SDKs that learn where to go from the environment, and only there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
