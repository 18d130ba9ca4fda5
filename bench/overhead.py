"""What Sluice adds to a call, beside nginx doing the same with less to do.

One run, one upstream (nginx returning a fixed Llama answer), one load generator (wrk, one thread):
direct, through nginx `proxy_pass` with keep-alive, and through Sluice with SigV4 signing on. Rounds
are interleaved, so that a noisy machine disturbs all alike; the median of the rounds is shown.
CPU per request is the proxy process's own, from /proc.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = "/model/meta.llama3-8b-instruct-v1%3A0/invoke"
BODY = json.dumps({
    "prompt": "What is the capital of France, and since when has it been so?",
    "max_gen_len": 128, "temperature": 0.5, "top_p": 0.9,
})
ANSWER = json.dumps({
    "generation": "Paris, since the year 987.", "prompt_token_count": 16,
    "generation_token_count": 9, "stop_reason": "stop",
})
WRK_SCRIPT = """
wrk.method = "POST"
wrk.path = %(path)s
wrk.body = %(body)s
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency, requests)
    io.write(string.format("RESULT %%d %%d %%f %%f %%d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99),
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
        + summary.errors.timeout))
end
"""


@dataclass
class Sample:
    rate: float       # requests/s
    p50: float        # µs
    p99: float        # µs
    cpu: float | None # µs of the proxy process a request


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"bench: {process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"bench: nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_nginx(folder: Path, name: str, server: str, extra: str = "") -> tuple[subprocess.Popen, int]:
    port = free_port()
    home = folder / name
    home.mkdir()
    config = home / "nginx.conf"
    config.write_text(f"""
daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 1h; tcp_nodelay on;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
    uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
    {extra}
    server {{ listen 127.0.0.1:{port}; {server} }}
}}
""")
    process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(home)], stderr=subprocess.DEVNULL)
    wait_for_port(port, process)
    return process, port


def start_sluice(build: Path, folder: Path, upstream: int) -> tuple[subprocess.Popen, int]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env.update(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1")
    log = open(folder / "sluice.log", "w+")
    process = subprocess.Popen(
        [build / "sluice", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
         "--set", f"upstream.endpoint=http://127.0.0.1:{upstream}", "--set", f"state={folder}/state",
         "--set", "log.access=off"],
        stderr=log, env=env)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        log.seek(0)
        if match := re.search(r"ready client=\S+:(\d+)", log.read()):
            return process, int(match.group(1))
        time.sleep(0.02)
    log.seek(0)
    sys.exit(f"bench: sluice did not start\n{log.read()}")


def measure(script: Path, port: int, pid: int | None, connections: int, seconds: int) -> Sample:
    before = cpu_seconds(pid) if pid else 0.0
    out = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pid) - before if pid else 0.0
    match = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", out)
    if not match:
        sys.exit(f"bench: wrk said\n{out}")
    requests, duration, p50, p99, errors = (float(g) for g in match.groups())
    if errors or not requests:
        sys.exit(f"bench: {errors:.0f} errors in {requests:.0f} requests\n{out}")
    return Sample(requests / duration * 1e6, p50, p99, used / requests * 1e6 if pid else None)


def median(samples: list[Sample]) -> Sample:
    cpu = [s.cpu for s in samples if s.cpu is not None]
    return Sample(statistics.median(s.rate for s in samples), statistics.median(s.p50 for s in samples),
                  statistics.median(s.p99 for s in samples), statistics.median(cpu) if cpu else None)


def describe_machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores of {model.group(1) if model else platform.machine()}, shared; Linux"


def table(results: dict[int, dict[str, Sample]]) -> str:
    lines = ["| connections | path | requests/s | p50 µs | p99 µs | CPU µs/request | × nginx |",
             "|---|---|---|---|---|---|---|"]
    for connections, row in results.items():
        base = row["nginx"].cpu
        for name, s in row.items():
            cpu = f"{s.cpu:.1f}" if s.cpu is not None else "–"
            ratio = f"{s.cpu / base:.2f}" if s.cpu is not None and base else "–"
            lines.append(f"| {connections} | {name} | {s.rate:,.0f} | {s.p50:.0f} | {s.p99:.0f} | {cpu} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    script = folder / "load.lua"
    script.write_text(WRK_SCRIPT % {"path": json.dumps(PATH), "body": json.dumps(BODY)})
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
        sluice, sluice_port = start_sluice(args.build.resolve(), folder, upstream_port)
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
        text = table(results)
        added = results[1]["sluice"].p50 - results[1]["direct"].p50
        print(describe_machine())
        print(text)
        print(f"added p50 at one connection: {added:.0f} µs "
              f"(nginx adds {results[1]['nginx'].p50 - results[1]['direct'].p50:.0f} µs)")
        out = ROOT / "bench" / "results"
        out.mkdir(exist_ok=True)
        (out / "overhead.json").write_text(json.dumps(
            {"machine": describe_machine(), "rounds": args.rounds, "seconds": args.seconds,
             "results": {c: {n: vars(s) for n, s in row.items()} for c, row in results.items()}}, indent=1) + "\n")
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
