"""Runs every test: unit tests and fuzz corpora through ctest, end-to-end tests through pytest.

The last line says how many passed, failed and were skipped, over both.
"""

import argparse
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def count(report: Path) -> tuple[int, int, int, list[str]]:
    """Passed, failed, skipped and the skips' reasons, from a JUnit report."""
    if not report.exists():
        return 0, 1, 0, []
    passed = failed = skipped = 0
    reasons = []
    for case in ET.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed += 1
        elif "skipped" in kinds:
            skipped += 1
            reasons.append(f"{case.get('name')}: {case.find('skipped').get('message')}")
        else:
            passed += 1
    return passed, failed, skipped, reasons


def environment(build: Path, deps: Path) -> dict[str, str]:
    env = dict(os.environ)
    # The tests bring their own AWS settings; those of the machine must not leak in.
    for name in list(env):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del env[name]
    env.update(
        SLUICE_BUILD=str(build),
        SLUICE_DEPS=str(deps),
        ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99",
        UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
        AWS_EC2_METADATA_DISABLED="true",
    )
    return env


def run_ctest(build: Path, env: dict[str, str], report: Path) -> int:
    jobs = str(os.cpu_count() or 2)
    return subprocess.run(
        ["ctest", "--test-dir", str(build), "-j", jobs, "--output-on-failure",
         "--output-junit", str(report)],
        env=env,
    ).returncode


def run_pytest(env: dict[str, str], report: Path, extra: list[str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(ROOT / "tests" / "e2e"), "-v", "--tb=short",
         "-p", "no:cacheprovider", f"--junitxml={report}", *extra],
        env=env,
        cwd=ROOT,
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--deps", type=Path, required=True)
    args, extra = parser.parse_known_args()
    build = args.build.resolve()
    env = environment(build, args.deps.resolve())
    reports = [build / "ctest.xml", build / "pytest.xml"]
    for report in reports:
        report.unlink(missing_ok=True)
    codes = [run_ctest(build, env, reports[0]), run_pytest(env, reports[1], extra)]
    totals = [count(report) for report in reports]
    for _, _, _, reasons in totals:
        for reason in reasons:
            print(f"skipped: {re.sub(chr(10), ' ', reason)}")
    passed, failed, skipped = (sum(t[i] for t in totals) for i in range(3))
    if any(codes) and not failed:
        failed = 1  # a runner that broke down without naming a test
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
