"""Programs as beginners write them, for models that Bedrock has long withdrawn.

They know nothing of the gateway: only AWS_ENDPOINT_URL_BEDROCK_RUNTIME is set for them.
"""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wire
from gateway import PATIENCE, Sluice
from samples import MESSAGES, RETIRED
from upstream import Upstream, reply

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def sluice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    """One gateway for all five, so that each model's line in its log can be counted."""
    started = Sluice(tmp_path_factory.mktemp("programs"), simulator=True)
    yield started
    started.stop()
    for model in ("meta.llama2-70b-chat-v1", "meta.llama2-13b-chat-v1"):
        said = re.findall(f"model {model} was withdrawn", started.stderr)
        assert len(said) == 1, started.stderr


def run(sluice: Sluice, name: str, typed: str = "") -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / name)],
        env=sluice.sdk_env(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def number(name: str, text: str) -> int:
    found = re.search(rf"^{name}: (\d+)$", text, re.M)
    assert found, text
    return int(found[1])


def test_invoke(sluice: Sluice) -> None:
    printed = run(sluice, "llama2_invoke.py")
    assert re.search(r"^generation: +\S.{20,}", printed), printed
    assert 20 <= number("prompt_token_count", printed) <= 200
    assert 5 <= number("generation_token_count", printed) <= 512


def test_chatbot(sluice: Sluice) -> None:
    typed = "What is a sluice?\nWho invented it?\nThank you. \u00e9\nquit\n"
    printed = run(sluice, "chatbot.py", typed)
    turns = [(int(a), int(b)) for a, b in re.findall(r"^\[(\d+) in, (\d+) out\]$", printed, re.M)]
    assert len(turns) == 3 and printed.count("Bot: [simulated]") == 3
    prompts = [tokens for tokens, _ in turns]
    assert prompts == sorted(prompts) and prompts[2] > prompts[0] * 1.5, "the history grows"
    total = re.search(r"Tokens: (\d+) in, (\d+) out$", printed, re.M)
    assert total and (int(total[1]), int(total[2])) == tuple(map(sum, zip(*turns)))
    cost = re.search(r"^Cost: \$(\d+\.\d{6})$", printed, re.M)
    expected = int(total[1]) * 0.00075 / 1000 + int(total[2]) * 0.001 / 1000
    assert cost and float(cost[1]) == pytest.approx(expected, abs=1e-6)


def test_rag(sluice: Sluice) -> None:
    printed = run(sluice, "rag.py")
    assert "Sources: returns.txt" in printed and "Sources: shipping.txt" in printed
    assert len(re.findall(r"^Answer: +\S.{20,}", printed, re.M)) == 2
    counts = re.findall(r"^Tokens: (\d+) (\d+)$", printed, re.M)
    assert len(counts) == 2 and all(int(a) > 20 and int(b) > 5 for a, b in counts)


def test_stream(sluice: Sluice) -> None:
    printed = run(sluice, "stream.py")
    assert printed.strip().startswith("[simulated]")
    assert number("chunks", printed) > 3
    assert number("prompt_token_count", printed) > 5
    assert 5 <= number("generation_token_count", printed) <= 200


@contextmanager
def service(sluice: Sluice) -> Iterator[str]:
    """The web service, on a port of the kernel's choice; where it is."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "service.py")],
        env={**sluice.sdk_env(), "PORT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        lines = iter(process.stderr.readline, "")
        found = next(
            (m for line in lines if (m := re.search(r"running on (http://\S+)", line))), None
        )
        assert found, "it did not start"
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def fetch(url: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as response:
        return json.load(response)


def test_service(sluice: Sluice) -> None:
    with service(sluice) as url:
        assert fetch(f"{url}/health") == {"status": "healthy"}
        assert "llama2-70b" in fetch(f"{url}/models")["models"]
        for model in ("llama2-70b", "llama2-13b"):
            asked = {"prompt": "Name three rivers.", "model": model, "max_gen_len": 64}
            answer = fetch(f"{url}/invoke", asked)
            assert answer["generation"].strip()
            assert answer["prompt_token_count"] > 5
            assert 0 < answer["generation_token_count"] <= 64


def test_successor_is_named(sluice: Sluice) -> None:
    """What the programs do not look at, each response says."""
    body = json.dumps({"prompt": "[INST] Hello [/INST]", "max_gen_len": 10})
    for _ in range(2):
        answer = sluice.boto().invoke_model(modelId=RETIRED, body=body)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-sluice-model"] == "meta.llama3-70b-instruct-v1:0"
        assert headers["x-sluice-edited"] == "model,prompt"


# --- what goes to Bedrock in place of the withdrawn model


BODY = (
    b'{ "temperature":0.50, "prompt" : "<s>[INST] <<SYS>>\\nBe \\u0062rief.\\n<</SYS>>\\n\\n'
    b"Caf\xc3\xa9? [/INST] Yes. </s><s>[INST] Why? [/INST]\" ,\n"
    b'"max_gen_len":64,"n":12345678901234567890}'
)


def ask(sluice: Sluice, target: str, body: bytes) -> wire.Response:
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        return client.ask("POST", target, [(b"Content-Type", b"application/json")], body)


def expected_body(prompt: str) -> bytes:
    """The body with another prompt: not a byte else may differ."""
    start = BODY.index(b'"<s>')
    end = BODY.index(b" ,\n")
    return BODY[:start] + json.dumps(prompt, ensure_ascii=False).encode() + BODY[end:]


def test_prompt_in_the_successors_template(upstream: Upstream, gateway) -> None:
    sluice = gateway(upstream=upstream.url)
    got = ask(sluice, f"/model/{RETIRED}/invoke", BODY)
    assert got.status == 200 and got.get("x-sluice-model") == "meta.llama3-70b-instruct-v1:0"
    prompt = (
        "<|begin_of_text|>"
        "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nCaf\u00e9?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nYes.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert upstream.last.target == b"/model/meta.llama3-70b-instruct-v1%3A0/invoke"
    assert upstream.last.body == expected_body(prompt)


def test_successor_from_the_configuration(upstream: Upstream, gateway) -> None:
    successor = "us.meta.llama4-scout-17b-instruct-v1:0"
    settings = {"models.successors": f"{RETIRED}={successor}"}
    sluice = gateway(upstream=upstream.url, settings=settings)
    got = ask(sluice, f"/model/{RETIRED}/invoke", BODY)
    assert got.get("x-sluice-model") == successor
    assert upstream.last.target == b"/model/us.meta.llama4-scout-17b-instruct-v1%3A0/invoke"
    assert b"<|header_start|>user<|header_end|>" in upstream.last.body


def test_converse_keeps_its_body(upstream: Upstream, gateway) -> None:
    """Only the model's name stands in the way there."""
    sluice = gateway(upstream=upstream.url)
    upstream.answer = reply(
        200,
        b'{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[]}},'
        b'"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}',
    )
    answer = sluice.boto().converse(modelId=RETIRED, messages=MESSAGES)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-sluice-edited"] == "model"
    assert json.loads(upstream.last.body) == {"messages": MESSAGES}


def test_a_living_model_is_left_alone(upstream: Upstream, gateway) -> None:
    sluice = gateway(upstream=upstream.url)
    got = ask(sluice, "/model/meta.llama3-8b-instruct-v1:0/invoke", BODY)
    assert got.get("x-sluice-model") is None and got.get("x-sluice-edited") is None
    assert upstream.last.body == BODY


def test_refused_where_configured(upstream: Upstream, gateway) -> None:
    """models.retired: refuse answers as Bedrock would, and sends nothing."""
    sluice = gateway(upstream=upstream.url, settings={"models.retired": "refuse"})
    got = ask(sluice, f"/model/{RETIRED}/invoke", BODY)
    assert (got.status, got.error_type) == (404, "ResourceNotFoundException")
    assert "end of its life" in json.loads(got.body)["message"]
    assert not upstream.requests
