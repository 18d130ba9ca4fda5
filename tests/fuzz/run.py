"""Runs every libFuzzer target in turn, starting from its committed corpus; findings are kept."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run(target: Path, seconds: int, findings: Path) -> tuple[bool, int]:
    subject = target.name.removeprefix("fuzz_")
    with tempfile.TemporaryDirectory() as grown:
        result = subprocess.run(
            [target, grown, HERE / "corpus" / subject, f"-max_total_time={seconds}",
             "-print_final_stats=1", f"-artifact_prefix={findings}/{subject}-", "-rss_limit_mb=2048",
             "-timeout=10", "-close_fd_mask=1"],
            capture_output=True, text=True, errors="replace",
        )
    executed = re.search(r"number_of_executed_units: (\d+)", result.stderr)
    if result.returncode != 0:
        print(result.stderr[-4000:], file=sys.stderr)
    return result.returncode == 0, int(executed.group(1)) if executed else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    args = parser.parse_args()
    targets = sorted((args.build / "tests").glob("fuzz_*"))
    targets = [t for t in targets if t.is_file() and t.stat().st_mode & 0o100]
    findings = args.build / "findings"
    findings.mkdir(exist_ok=True)
    each = max(1, args.seconds // max(1, len(targets)))
    failed = total = 0
    for index, target in enumerate(targets, 1):
        print(f"[{index}/{len(targets)}] {target.name}: {each} s", flush=True)
        fine, executed = run(target.resolve(), each, findings.resolve())
        total += executed
        failed += not fine
        print(f"    {'ok' if fine else 'FINDING'}, {executed} executions", flush=True)
    print(f"{total} executions; findings in {failed} of {len(targets)} targets ({findings})")
    return 1 if failed or not targets else 0


if __name__ == "__main__":
    sys.exit(main())
