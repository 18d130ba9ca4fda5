"""What Sluice adds to a call, beside nginx doing the same with less to do.

One run, one upstream (nginx returning a fixed Llama answer), one load generator (wrk, one thread):
direct, through nginx `proxy_pass` with keep-alive, and through Sluice with SigV4 signing on. Rounds
are interleaved, so that a noisy machine disturbs all alike; the median of the rounds is shown.
CPU per request is the proxy process's own, from /proc.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import (Sample, describe_machine, measure, median, save, start_nginx, start_sluice, stop, table,
                     write_script)

PATH = "/model/meta.llama3-8b-instruct-v1%3A0/invoke"
BODY = json.dumps({
    "prompt": "What is the capital of France, and since when has it been so?",
    "max_gen_len": 128, "temperature": 0.5, "top_p": 0.9,
})
ANSWER = json.dumps({
    "generation": "Paris, since the year 987.", "prompt_token_count": 16,
    "generation_token_count": 9, "stop_reason": "stop",
})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    script = write_script(folder / "load.lua", PATH, BODY)
    processes: list[subprocess.Popen] = []
    try:
        upstream, upstream_port = start_nginx(
            folder, "upstream",
            f"location / {{ default_type application/json; return 200 '{ANSWER}'; }}")
        processes.append(upstream)
        nginx, nginx_port = start_nginx(
            folder, "proxy",
            "location / { proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection \"\"; }",
            f"upstream upstream {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 100000000; }}")
        processes.append(nginx)
        sluice, sluice_port = start_sluice(args.build.resolve(), folder, upstream_port, {"cache.when": "never"})
        processes.append(sluice)
        paths = {"direct": (upstream_port, None), "nginx": (nginx_port, nginx.pid),
                 "sluice": (sluice_port, sluice.pid)}
        results: dict[int, dict[str, Sample]] = {}
        for connections in (1, 64):
            samples: dict[str, list[Sample]] = {name: [] for name in paths}
            for round_number in range(args.rounds):
                print(f"{connections} connections, round {round_number + 1}/{args.rounds}", file=sys.stderr)
                for name, (port, pid) in paths.items():
                    samples[name].append(measure(script, port, pid, connections, args.seconds))
            results[connections] = {name: median(s) for name, s in samples.items()}
        added = results[1]["sluice"].p50 - results[1]["direct"].p50
        print(describe_machine())
        print(table(results, "nginx"))
        print(f"added p50 at one connection: {added:.0f} µs "
              f"(nginx adds {results[1]['nginx'].p50 - results[1]['direct'].p50:.0f} µs)")
        save("overhead", {"rounds": args.rounds, "seconds": args.seconds,
                          "results": {c: {n: vars(s) for n, s in row.items()} for c, row in results.items()}})
    finally:
        stop(processes)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
