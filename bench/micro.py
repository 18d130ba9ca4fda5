"""The small things that every request does (bench/micro.c): nanoseconds, and instructions as callgrind
counts them. The latter are the same on a busy machine, so a regression shows: ./dev bench micro.

Instructions are the difference of two runs, so that preparing does not count. valgrind has no SHA
extensions: what hashes takes fewer instructions in service.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from harness import ROOT, describe_machine, save

COUNT = 1000


def instructions(binary: Path, name: str, count: int) -> int:
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary, name, str(count)],
        capture_output=True, text=True, check=True)
    match = re.search(r"Collected : (\d+)", done.stderr)
    if not match:
        sys.exit(f"bench: valgrind said\n{done.stderr}")
    return int(match.group(1))


def measure(binary: Path) -> dict[str, dict[str, float]]:
    times = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
    results = {}
    for line in times.splitlines():
        name, ns = line.split()
        print(name, file=sys.stderr)
        more = instructions(binary, name, 3 * COUNT) - instructions(binary, name, COUNT)
        results[name] = {"ns": float(ns), "instructions": round(more / (2 * COUNT))}
    return results


def before() -> dict[str, dict[str, float]]:
    file = ROOT / "bench" / "results" / "micro.json"
    return json.loads(file.read_text())["results"] if file.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--no-save", action="store_true", help="only compare with what is kept")
    args = parser.parse_args()
    old, results = before(), measure(args.build.resolve() / "bench" / "bench_micro")
    print(describe_machine())
    print("| what | ns | instructions | instructions before |\n|---|---|---|---|")
    for name, result in results.items():
        was = old.get(name, {}).get("instructions")
        change = f"{was:,} ({(result['instructions'] / was - 1) * 100:+.1f} %)" if was else "–"
        print(f"| {name} | {result['ns']:,.0f} | {result['instructions']:,} | {change} |")
    if not args.no_save:
        save("micro", {"results": results})


if __name__ == "__main__":
    main()
