"""Writes sluice.1 to stdout, from what the program says of itself: man.py SLUICE"""

import re
import subprocess
import sys
from collections.abc import Iterator

INTRO = """\
Applications that were written for Amazon Bedrock, or for the APIs of OpenAI or Anthropic, talk to
Sluice instead of Bedrock. It signs their calls with the gateway's own credentials, queues what
exceeds the account's quotas, and keeps answers."""

FILES = {
    "/etc/sluice/sluice.yaml": "The configuration, where neither --config nor SLUICE_CONFIG names "
    "another. `sluice check --reference` explains every key.",
    "/etc/default/sluice": "The environment of the systemd service: AWS_REGION, AWS_PROFILE, …",
    "/var/lib/sluice": "The service's state folder: client keys, ledger, kept answers, and the "
    "token of the admin pages, admin.token.",
}

ENVIRONMENT = {
    "SLUICE_CONFIG": "The configuration file.",
    "SLUICE_…": "Any configuration key: queue.max_wait is SLUICE_QUEUE_MAX_WAIT.",
    "AWS_…": "Credentials and region, as AWS's own programs read them.",
    "LISTEN_FDS, LISTEN_PID": "Sockets that a service manager has opened; they stand in place of "
    "`listen`.",
    "NOTIFY_SOCKET": "Where a service manager is told of start, reload and stop.",
}

EXIT = {"0": "Fine.", "1": "A failure at run time, or a check that failed.",
        "2": "Bad usage or configuration."}  # fmt: skip


def roff(text: str) -> str:
    """Text as it is: nothing in it is a request or an escape."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def said(program: str, *words: str) -> list[str]:
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def entries(lines: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """What stands behind "Usage:": pairs of a term and its text, then the rest."""
    at = next(i for i, line in enumerate(lines) if line.startswith("Usage:")) + 1
    found: list[tuple[str, str]] = []
    while at < len(lines):
        line = lines[at]
        if re.match(r"  \S+  +\S", line):  # a command and its summary on one line
            term, text = line.split(None, 1)
            found.append((term, text))
        elif line.startswith("      ") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
        elif line.startswith("  "):
            found.append((line.strip(), ""))
        elif line or found:
            break
        at += 1
    return found, [line for line in lines[at:] if "--help` explains" not in line]


def definitions(pairs: list[tuple[str, str]]) -> Iterator[str]:
    for term, text in pairs:
        yield f".TP\n.B {roff(term)}\n{roff(text)}"


def teaching(lines: list[str]) -> Iterator[str]:
    """Paragraphs; what is indented stays as it is."""
    indented = False
    for line in lines:
        if line.startswith("  ") != indented and line:
            indented = not indented
            yield ".RS 2\n.nf" if indented else ".fi\n.RE"
        yield roff(line) if line else ".sp"
    if indented:
        yield ".fi\n.RE"


def page(program: str, *words: str) -> Iterator[str]:
    """A command, and its actions behind it."""
    lines = said(program, *words)
    usage = next(line for line in lines if line.startswith("Usage: "))
    pairs, rest = entries(lines)
    yield f".SS {roff(usage.removeprefix('Usage: '))}"
    summary = lines[0].partition(": ")[2]
    yield roff(summary[:1].upper() + summary[1:]) + "."
    yield from definitions(pairs)
    if any(rest):
        yield ".PP"
        yield from teaching(rest)
    if "ACTION" in usage:
        for action, _ in pairs:
            yield from page(program, *words, action.split()[0])


def manual(program: str) -> Iterator[str]:
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
    commands, _ = entries(said(program))
    yield f'.TH SLUICE 1 "" "{version.stdout.strip()}" "User Commands"'
    yield ".SH NAME\nsluice \\- the gateway between applications and Amazon Bedrock"
    yield ".SH SYNOPSIS\n.B sluice\n.I COMMAND\n[\\fIOPTION\\fR]…"
    yield f".SH DESCRIPTION\n{roff(INTRO)}"
    yield from definitions(commands)
    yield ".SH COMMANDS"
    for name, _ in commands:
        yield from page(program, name)
    for title, what in (("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", EXIT)):
        yield f".SH {title}"
        yield from definitions(list(what.items()))


if __name__ == "__main__":
    print("\n".join(manual(sys.argv[1])))
