"""What the benches of whole processes share: a proxy or gateway each, a load generator, medians.

A sample is taken with wrk, one thread; CPU is the measured process's own, from /proc.
"""

import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WRK_SCRIPT = """
wrk.method = "POST"
wrk.path = %(path)s
wrk.body = %(body)s
wrk.headers["Content-Type"] = "application/json"
%(headers)s
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
    cpu: float | None # µs of the measured process a request


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


def start_ready(command: list, log: Path, ready: str, env: Mapping[str, str] | None = None
                ) -> tuple[subprocess.Popen, int]:
    """A program that says "ready NAME=host:port" on stderr."""
    with open(log, "w") as out:
        process = subprocess.Popen(command, stderr=out, env=env)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        if match := re.search(rf"ready {ready}=\S+:(\d+)", log.read_text()):
            return process, int(match.group(1))
        time.sleep(0.02)
    sys.exit(f"bench: {command[0]} did not start\n{log.read_text()}")


def sluice_environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SLUICE_"))}
    env.update(AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="us-east-1")
    return env


def start_sluice(build: Path, folder: Path, upstream: int, settings: Mapping[str, object] = {},
                 name: str = "sluice") -> tuple[subprocess.Popen, int]:
    values = {"upstream.endpoint": f"http://127.0.0.1:{upstream}", "state": folder / f"{name}-state",
              "log.access": "off", **settings}
    command = [build / "sluice", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    for key, value in values.items():
        command += ["--set", f"{key}={value}"]
    return start_ready(command, folder / f"{name}.log", "client", sluice_environment())


def write_script(path: Path, target: str, body: str, headers: Mapping[str, str] = {}) -> Path:
    """What wrk is to send."""
    lines = "\n".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in headers.items())
    path.write_text(WRK_SCRIPT % {"path": json.dumps(target), "body": json.dumps(body), "headers": lines})
    return path


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


def table(results: dict[int, dict[str, Sample]], base: str) -> str:
    lines = [f"| connections | path | requests/s | p50 µs | p99 µs | CPU µs/request | × {base} |",
             "|---|---|---|---|---|---|---|"]
    for connections, row in results.items():
        least = row[base].cpu
        for name, s in row.items():
            cpu = f"{s.cpu:.1f}" if s.cpu is not None else "–"
            ratio = f"{s.cpu / least:.2f}" if s.cpu is not None and least else "–"
            lines.append(f"| {connections} | {name} | {s.rate:,.0f} | {s.p50:.0f} | {s.p99:.0f} | {cpu} | {ratio} |")
    return "\n".join(lines)


def save(name: str, data: dict) -> None:
    out = ROOT / "bench" / "results"
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps({"machine": describe_machine(), **data}, indent=1) + "\n")


def stop(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
