"""SDKs for JavaScript that are not AWS's: OpenAI's, Anthropic's, and the Vercel AI SDK.

The programs are js/*.mjs; each runs against the simulator, the talker, and a quota that is too
small for it. They learn where the gateway is from their environment only.
"""

import json
from pathlib import Path

import pytest

import sdk
import talker as script
from gateway import Sluice
from test_js import environment, js, run  # noqa: F401  (js is a fixture)

TALKER = {
    "answer": script.ANSWER,
    "input": script.INPUT,
    "toolId": script.TOOL_ID,
    "refusal": script.REFUSAL,
    "broken": script.BROKEN,
}
PROGRAMS = [
    ("openai",),
    ("anthropic",),
    ("vercel", "chat"),
    ("vercel", "responses"),
    ("vercel", "bedrock"),
]
programs = pytest.mark.parametrize("program", PROGRAMS, ids="-".join)


def everywhere(sluice: Sluice) -> dict[str, str]:
    """All of them find the gateway by this."""
    return environment(
        sluice,
        OPENAI_BASE_URL=f"{sluice.url}/v1",
        OPENAI_API_KEY=sdk.ANY_KEY,
        ANTHROPIC_BASE_URL=sluice.url,
        ANTHROPIC_API_KEY=sdk.ANY_KEY,
        E2E_TALKER=json.dumps(TALKER),
    )


@programs
def test_simulated(js: Path, simulated: Sluice, program: tuple[str, ...]) -> None:  # noqa: F811
    run(js, program[0], "simulated", everywhere(simulated), *program[1:])


@programs
def test_talking(js: Path, talking: Sluice, program: tuple[str, ...]) -> None:  # noqa: F811
    run(js, program[0], "talking", everywhere(talking), *program[1:])


@programs
def test_throttled(js: Path, throttled: Sluice, program: tuple[str, ...]) -> None:  # noqa: F811
    before = throttled.metrics()["sluice_throttles_total"]
    run(js, program[0], "throttled", everywhere(throttled), *program[1:])
    assert throttled.metrics()["sluice_throttles_total"] > before, "no throttle was met"
