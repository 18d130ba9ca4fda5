"""The rules a compiler does not check: format, include arrows, forbidden calls, function length,
names that must not stand in the tree, and clang-tidy."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MAX_FUNCTION = 70

# The rooms each room may include, beside itself. Siblings never include each other.
ARROWS = {
    "base": set(),
    "core": {"base"},
    "wire": {"base"},
    "io": {"base"},
    "answer": {"base", "core"},
    "sched": {"base", "core"},
    "meter": {"base", "core"},
    "dialect": {"base", "wire", "core"},
    "keys": {"base", "wire", "core"},
    "store": {"base", "io", "core"},
    "upstream": {"base", "io", "wire", "core"},
    "front": {"base", "io", "wire", "core"},
    "sim": {"base", "front", "io", "wire", "core"},
    "flow": {"base", "core", "wire", "io", "answer", "sched", "meter", "dialect", "upstream", "front",
             "keys"},
    "app": {"base", "core", "wire", "io", "answer", "sched", "meter", "dialect", "upstream", "front",
            "sim", "keys", "store", "flow"},
}
FORBIDDEN = re.compile(r"(?<![\w.>])(sprintf|vsprintf|strcpy|strcat|strncat|atoi|atol|strtok|gets)\s*\(")
ALLOCATION = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|strdup|strndup)\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def tracked(*patterns: str) -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).exists()]


def room_of(path: Path) -> str | None:
    parts = path.relative_to(ROOT).parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ("include", "sluice") and len(parts) > 3:
        return parts[2]
    return None


def without_comments(text: str) -> str:
    """The code with comments and literals blanked, lines kept."""
    pattern = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def check_includes(path: Path, text: str) -> list[str]:
    room = room_of(path)
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include "(?:sluice/)?(\w+)/', line)
        if not room or not match:
            continue
        other = match.group(1)
        private = not line.startswith('#include "sluice/')
        if other != room and (private or other not in ARROWS[room]):
            problems.append(f"{path}:{number}: room {room} may not include {line.split()[1]}")
    return problems


def check_calls(path: Path, code: str) -> list[str]:
    problems = []
    in_src = room_of(path) is not None
    for number, line in enumerate(code.splitlines(), 1):
        if match := FORBIDDEN.search(line):
            problems.append(f"{path}:{number}: {match.group(1)} is forbidden")
        if in_src and path.name != "mem.c" and (match := ALLOCATION.search(line)):
            problems.append(f"{path}:{number}: use sl_alloc and friends, not {match.group(1)}")
    return problems


def check_lengths(path: Path, code: str) -> list[str]:
    problems, start, name = [], None, ""
    lines = code.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("{") or (re.match(r"^[a-zA-Z].*\)\s*\{\s*$", line)):
            start, name = number, line.split("(")[0].split()[-1].lstrip("*") if "(" in line else "?"
        elif line.startswith("}") and start:
            if number - start + 1 > MAX_FUNCTION:
                problems.append(f"{path}:{start}: {name} is {number - start + 1} lines long, at most {MAX_FUNCTION}")
            start = None
    return problems


def check_sources() -> list[str]:
    problems = []
    for path in tracked("*.c", "*.h"):
        text = path.read_text()
        code = without_comments(text)
        problems += check_includes(path, text) + check_calls(path, code)
        if room_of(path):
            problems += check_lengths(path, code)
    for path in tracked("*.c", "*.h", "*.py", "*.sh", "*.md", "*.cmake"):
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if UNFINISHED.search(line):
                problems.append(f"{path}:{number}: unfinished: {line.strip()}")
    return problems


def check_format() -> list[str]:
    files = [str(p) for p in tracked("*.c", "*.h")]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if "error:" in line]


def tidy(path: Path) -> list[str]:
    done = subprocess.run(["clang-tidy", "--quiet", "-p", str(ROOT / "build" / "dev"), str(path)],
                          capture_output=True, text=True)
    found = [line for line in done.stdout.splitlines() if " error: " in line or " warning: " in line]
    return found or ([done.stderr[-500:]] if done.returncode else [])


def check_tidy(files: list[Path]) -> list[str]:
    problems = []
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for index, found in enumerate(pool.map(tidy, files), 1):
            problems += found
            if sys.stderr.isatty() or index % 20 == 0 or index == len(files):
                print(f"clang-tidy {index}/{len(files)}", file=sys.stderr, flush=True)
    return problems


def main() -> int:
    chosen = [Path(a).resolve() for a in sys.argv[1:]]
    files = [p for p in (chosen or tracked("src/*.c")) if p.suffix == ".c"]
    problems = check_sources() + check_format() + check_tidy(files)
    for problem in dict.fromkeys(problems):
        print(problem.replace(f"{ROOT}/", ""))
    print(f"lint: {len(set(problems))} problems in {len(tracked('*.c', '*.h'))} files")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
