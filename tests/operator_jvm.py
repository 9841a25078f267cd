"""The operator's classes in a JVM of their own, spoken to line by line."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headrace_features.java import java_home
from headrace_features.oracle import Value

OPERATOR = Path(__file__).parents[1] / "streaming" / "operator"


def class_path() -> str:
    """The operator, its test programs and Flink."""
    spec = find_spec("pyflink")
    assert spec is not None
    assert spec.origin is not None
    flink = sorted((Path(spec.origin).parent / "lib").glob("*.jar"))
    folders = [OPERATOR / "target" / "classes", OPERATOR / "target" / "test-classes"]
    return os.pathsep.join(str(path) for path in (*folders, *flink))


def read(value: Any) -> Value:
    """A value that the program sent: doubles come by their bits, texts are marked as such."""
    if isinstance(value, str) and value.startswith("double:"):
        number: float = struct.unpack(">d", int(value[7:], 16).to_bytes(8, "big"))[0]
        return number
    if isinstance(value, str):
        return value.removeprefix("text:")
    found: Value = value
    return found


def sent(value: Value) -> Value:
    """A value as the program reads it."""
    if isinstance(value, float):
        return "double:" + struct.pack(">d", value).hex()
    return f"text:{value}" if isinstance(value, str) else value


class Jvm:
    """A running test program of the operator, which answers each line with one."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(
            [
                str(java_home() / "bin" / "java"),
                "-XX:+UseSerialGC",
                "-cp",
                class_path(),
                f"io.headrace.operator.testing.{program}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers to some requests, in their order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines = [json.dumps(request).encode() + b"\n" for request in requests]
        answers: list[dict[str, Any]] = []
        # Not more at once than pipes hold, or both sides wait for each other.
        for start in range(0, len(lines), 64):
            batch = lines[start : start + 64]
            self._process.stdin.write(b"".join(batch))
            self._process.stdin.flush()
            for _ in batch:
                answer = self._process.stdout.readline()
                assert answer, "the program ended"
                answers.append(json.loads(answer))
        return answers

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)
