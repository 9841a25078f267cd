"""What several parity tests need: the operator's engine in a JVM."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operator_jvm import Jvm


@pytest.fixture(scope="session")
def engine() -> Iterator[Jvm]:
    """The engine of one view, for tests that ask it line by line."""
    jvm = Jvm("EngineMain")
    yield jvm
    jvm.close()
