"""What one hit of the answer cache costs, beside nginx giving the same bytes with less to do.

One hot Converse prompt of about 1 KB, an answer of about 1 KB, one run, one load generator (wrk, one
thread): nginx `return 200` (nothing to look up, the floor), nginx proxy_cache with the body in its
key, Sluice asking for no key, and Sluice with keys, each request with one. Rounds are interleaved;
medians are shown. CPU per hit is the process's own, from /proc. That every measured answer was a hit
is checked by the upstream's count of calls.
"""

import argparse
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import (Sample, describe_machine, measure, median, save, sluice_environment, start_nginx,
                     start_sluice, stop, table, write_script)

PATH = "/model/us.meta.llama3-3-70b-instruct-v1%3A0/converse"
TEXT = ("Sluice gates let through what the channel below can carry and hold back the rest until there is "
        "room for it again. ")
BODY = json.dumps({
    "messages": [{"role": "user", "content": [{"text": TEXT * 7 + "Summarise this."}]}],
    "inferenceConfig": {"maxTokens": 256, "temperature": 0},
})
ANSWER = json.dumps({
    "metrics": {"latencyMs": 812},
    "output": {"message": {"content": [{"text": TEXT * 7}], "role": "assistant"}},
    "stopReason": "end_turn", "usage": {"inputTokens": 201, "outputTokens": 168, "totalTokens": 369},
})


def make_key(build: Path, state: Path) -> str:
    out = subprocess.run([build / "sluice", "key", "create", "--name", "bench", "--json", "--state", state],
                         capture_output=True, text=True, check=True, env=sluice_environment()).stdout
    return json.loads(out)["bearer_token"]


def calls_seen(port: int) -> int:
    """What nginx has answered, this question not counted."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/status")
    return int(connection.getresponse().read().split()[9]) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    args = parser.parse_args()
    build = args.build.resolve()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    processes: list[subprocess.Popen] = []
    answer = f"location / {{ default_type application/json; return 200 '{ANSWER}'; }}"

    def keep(started: tuple[subprocess.Popen, int]) -> tuple[int, int]:
        processes.append(started[0])
        return started[1], started[0].pid

    try:
        upstream, _ = keep(start_nginx(folder, "upstream", answer + " location /status { stub_status; }"))
        paths = {
            "nginx return": keep(start_nginx(folder, "return", answer)),
            "nginx proxy_cache": keep(start_nginx(
                folder, "proxy_cache",
                f"location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache kept; "
                "proxy_cache_methods POST; proxy_cache_valid 1h; client_body_buffer_size 64k; "
                "proxy_cache_key \"$request_uri$request_body\"; }",
                f"proxy_cache_path {folder}/kept keys_zone=kept:1m;")),
            "sluice": keep(start_sluice(build, folder, upstream)),
        }
        scripts = dict.fromkeys(paths, write_script(folder / "load.lua", PATH, BODY))
        state = folder / "keyed-state"
        key = make_key(build, state)
        paths["sluice, key"] = keep(start_sluice(build, folder, upstream, {"auth": "keys"}, "keyed"))
        scripts["sluice, key"] = write_script(folder / "keyed.lua", PATH, BODY,
                                              {"Authorization": f"Bearer {key}"})
        for name, (port, pid) in paths.items():
            measure(scripts[name], port, pid, 1, 1)
        before = calls_seen(upstream)
        results: dict[int, dict[str, Sample]] = {}
        for connections in (1, 64):
            samples: dict[str, list[Sample]] = {name: [] for name in paths}
            for round_number in range(args.rounds):
                print(f"{connections} connections, round {round_number + 1}/{args.rounds}", file=sys.stderr)
                for name, (port, pid) in paths.items():
                    samples[name].append(measure(scripts[name], port, pid, connections, args.seconds))
            results[connections] = {name: median(s) for name, s in samples.items()}
        missed = calls_seen(upstream) - before - 1
        if missed:
            sys.exit(f"bench: {missed} calls were not answered from a cache")
        print(describe_machine())
        print(f"prompt of {len(BODY)} bytes, answer of {len(ANSWER)}")
        print(table(results, "nginx return"))
        save("cache", {"rounds": args.rounds, "seconds": args.seconds, "body": len(BODY), "answer": len(ANSWER),
                       "results": {c: {n: vars(s) for n, s in row.items()} for c, row in results.items()}})
    finally:
        stop(processes)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
