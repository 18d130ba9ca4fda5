"""The small REST API, as its own page describes it: every request here is one of /openapi.json."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

import sdk
from gateway import PATIENCE, Sluice
from samples import CLAUDE, LLAMA, NOVA
from talker import ANSWER, BROKEN, REFUSAL

SKY = "Why is the sky blue?"


@pytest.fixture
def api(simulated: Sluice) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulated.url, timeout=PATIENCE) as client:
        yield client


def described(api: httpx.Client) -> dict:
    return api.get("/openapi.json").raise_for_status().json()


def resolve(document: dict, schema: dict) -> dict:
    if "$ref" in schema:
        path = schema["$ref"].removeprefix("#/").split("/")
        for name in path:
            document = document[name]
        return document
    return schema


def check(document: dict, schema: dict, value: object, where: str) -> None:
    """As much of JSON Schema as the description uses."""
    schema = resolve(document, schema)
    types = {"object": dict, "string": str, "integer": int, "array": list, "boolean": bool}
    types |= {"number": (int, float), "null": type(None)}
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    assert not kinds or any(isinstance(value, types[kind]) for kind in kinds), f"{where}: {value}"
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", [])) <= set(value), where
        assert set(value) <= set(schema["properties"]), where
        for name, inner in value.items():
            check(document, schema["properties"][name], inner, f"{where}.{name}")
    if isinstance(value, list):
        for inner in value:
            check(document, schema.get("items", {}), inner, f"{where}[]")


def as_described(api: httpx.Client, method: str, path: str, told: httpx.Response) -> dict:
    document = described(api)
    answers = document["paths"][path][method]["responses"]
    answer = resolve(document, answers.get(str(told.status_code)) or answers["default"])
    body = told.json()
    schema = answer["content"]["application/json"]["schema"]
    check(document, schema, body, f"{method} {path} {told.status_code}")
    return body


def test_the_description_is_whole(api: httpx.Client) -> None:
    document = described(api)
    assert document["openapi"].startswith("3.")
    for ref in re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(document)):
        assert resolve(document, {"$ref": ref}), ref
    assert {"/invoke", "/chat", "/models"} <= set(document["paths"])
    page = api.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for path in ("/invoke", "/chat", "/models", "/openapi.json"):
        assert path in page.text, f"{path} is not on the page"


@pytest.mark.parametrize("model", [NOVA, LLAMA, CLAUDE])
def test_invoke(api: httpx.Client, model: str) -> None:
    request = {"model": model, "prompt": SKY, "max_tokens": 200}
    whole = as_described(api, "post", "/invoke", api.post("/invoke", json=request))
    assert whole["response"].startswith("[simulated]") and whole["prompt"] == SKY
    assert whole["tokens_input"] > 0 and whole["tokens_output"] > 5 and whole["cost_usd"] > 0
    with api.stream("POST", "/invoke", json={**request, "stream": True}) as told:
        assert told.headers["content-type"].startswith("text/event-stream")
        *deltas, last = [json.loads(data) for _, data in sdk.sse(told.iter_lines())]
    assert "".join(delta["delta"] for delta in deltas) == whole.pop("response")
    assert last == whole


def test_chat_remembers(api: httpx.Client) -> None:
    def say(message: str, **more: object) -> dict:
        told = api.post("/chat", json={"session": "e2e", "message": message, "model": NOVA, **more})
        return as_described(api, "post", "/chat", told)

    first = say("Say 20 words.", system="Be brief.")
    second = say(SKY)
    assert second["usage_total"]["turns"] == 2
    assert second["tokens_input"] > first["tokens_input"] + first["tokens_output"] - 5
    forgotten = api.delete("/chat/e2e")
    assert as_described(api, "delete", "/chat/{session}", forgotten) == {"deleted": True}
    assert api.delete("/chat/e2e").json() == {"deleted": False}
    assert say(SKY)["usage_total"]["turns"] == 1
    api.delete("/chat/e2e")


def test_models(api: httpx.Client) -> None:
    listed = as_described(api, "get", "/models", api.get("/models"))
    assert {NOVA, LLAMA} <= set(listed["models"])


def test_mistakes(api: httpx.Client) -> None:
    for body in (b"nonsense", b"{}", b'{"prompt": "x", "model": "nobody.knows"}'):
        told = api.post("/invoke", content=body)
        assert told.status_code == 400, body
        error = as_described(api, "post", "/invoke", told)["error"]
        assert error["code"] == "ValidationException" and error["message"]


def test_failures_upstream(talking: Sluice) -> None:
    with httpx.Client(base_url=talking.url, timeout=PATIENCE) as api:
        ask = {"model": NOVA, "prompt": "refuse"}
        assert api.post("/invoke", json=ask).json()["error"]["message"] == REFUSAL
        once = {"model": "eu.amazon.nova-lite-v1:0", "prompt": "throttle once rest"}
        told = api.post("/invoke", json=once)
        assert told.json()["response"] == ANSWER and told.headers["x-sluice-attempts"] == "2"
        broken = {**ask, "prompt": "break", "stream": True}
        with api.stream("POST", "/invoke", json=broken) as stream:
            *deltas, (name, last) = list(sdk.sse(stream.iter_lines()))
        text = "".join(json.loads(data)["delta"] for _, data in deltas)
        assert text and ANSWER.startswith(text)
        assert name == "error" and re.search(BROKEN, json.loads(last)["error"]["message"])


def test_throttles_are_absorbed(throttled: Sluice) -> None:
    with httpx.Client(base_url=throttled.url, timeout=PATIENCE) as api:

        def ask(question: str) -> str:
            request = {"model": "amazon.nova-pro-v1:0", "prompt": question, "max_tokens": 200}
            return api.post("/invoke", json=request).json()["response"]

        sdk.absorb(throttled, ask)
