"""What stands between a program and its system: built with the program, of tests/preload."""

import struct
from pathlib import Path

from gateway import BUILD, sanitizer_options


def preload(name: str) -> dict[str, str]:
    """The environment for a program that is to be started with it."""
    return {
        "LD_PRELOAD": str(BUILD / "tests" / f"preload_{name}.so"),
        # It stands before the sanitizers' own library, on purpose.
        "ASAN_OPTIONS": sanitizer_options()["ASAN_OPTIONS"] + ":verify_asan_link_order=0",
    }


class Clock:
    """What a program takes for the time. To be set while it runs."""

    def __init__(self, folder: Path, seconds: int = 0) -> None:
        self._offset = folder / "offset"
        self._offset.write_bytes(struct.pack("=q", seconds))
        self.env = {**preload("clock"), "SLUICE_TEST_CLOCK": str(self._offset)}

    def set(self, seconds: int) -> None:
        with self._offset.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
