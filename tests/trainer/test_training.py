"""The example trains, and after any kill it has the losses of a run that nobody killed."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from training_sets import written

_ROOT = Path(__file__).parents[2]
EXAMPLE = _ROOT / "batch/examples/train_fraud.py"
ALL_MODULES = "import pkgutil; print(*(one.name for one in pkgutil.iter_modules()))"


def example() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("train_fraud", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rows_without_a_label_are_not_trained_with() -> None:
    odds = torch.tensor([0.5, -2.0, 3.0, 1.0], requires_grad=True)
    labels = torch.tensor([1.0, 0.0, torch.nan, 0.0])
    is_null = torch.tensor([False, True, False, False])
    loss = example().loss_of(odds, labels, is_null)
    loss.backward()
    some = torch.tensor([0, 3])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(odds[some], labels[some])
    assert torch.allclose(loss, expected)
    assert odds.grad is not None
    assert odds.grad.tolist()[1:3] == [0, 0]
    none = example().loss_of(odds, labels, torch.ones(4, dtype=torch.bool))
    assert none.item() == 0


def test_an_input_that_is_not_finite_is_taken_for_none() -> None:
    model = example().FraudModel(torch.zeros(2), torch.ones(2))
    is_null = torch.tensor([[False, True]])
    expected = model(torch.tensor([[1.0, 0.0]]), is_null)
    found = model(torch.tensor([[1.0, torch.inf]]), torch.tensor([[False, False]]))
    assert torch.equal(found, expected)


def test_the_environment_runs_the_example_and_has_nothing_else_of_headrace(tmp_path: Path) -> None:
    # Not by the path that tests have: as somebody who has just made it would.
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    helped = subprocess.run(
        [sys.executable, str(EXAMPLE), "--help"],
        cwd=tmp_path, env=bare, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "what headrace stage has published" in helped.stdout
    found = subprocess.run(
        [sys.executable, "-P", "-c", ALL_MODULES],
        cwd=tmp_path, env=bare, check=True, capture_output=True, text=True,
    )  # fmt: skip
    ours = {name for name in found.stdout.split() if name.startswith("headrace")}
    assert ours == {"headrace_schemas", "headrace_shards"}


def line(folder: Path, checkpoint: str) -> list[str]:
    return [
        *(sys.executable, str(EXAMPLE), str(folder / "set"), "--epochs", "2", "--every", "3"),
        *("--checkpoint", str(folder / checkpoint), "--batch-size", "64", "--device", "cpu"),
    ]


def environ() -> dict[str, str]:
    path = os.pathsep.join(str(_ROOT / name) for name in ("schemas", "batch"))
    # One thread adds up in one order.
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def losses(told: str) -> dict[int, float]:
    return {one["step"]: one["loss"] for one in map(json.loads, told.splitlines())}


def test_a_killed_training_goes_on_with_the_same_losses(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [500, 300, 400]})
    whole = subprocess.run(
        line(tmp_path, "whole.pt"), env=environ(), check=True, capture_output=True, text=True
    )
    expected = losses(whole.stdout)
    assert len(expected) == 2 * (1_200 // 64)
    chance = random.Random(1)
    found: dict[int, float] = {}
    for _ in range(2):
        steps = chance.randrange(4, 14)
        with subprocess.Popen(
            line(tmp_path, "killed.pt"), env=environ(), stdout=subprocess.PIPE, text=True
        ) as killed:
            assert killed.stdout is not None
            for _ in range(steps):
                found |= losses(killed.stdout.readline())
            killed.kill()
    rest = subprocess.run(
        line(tmp_path, "killed.pt"), env=environ(), check=True, capture_output=True, text=True
    )
    again = losses(rest.stdout)
    # It did go on, and not begin anew.
    assert min(again) > 1
    assert {**found, **again} == expected
    assert all(found[step] == again[step] for step in found.keys() & again.keys())


def test_a_training_that_has_ended_is_kept_to_its_last_step(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [500, 300, 400]})
    seldom = [*line(tmp_path, "model.pt"), "--every", "17"]
    first = subprocess.run(seldom, env=environ(), check=True, capture_output=True, text=True)
    assert len(losses(first.stdout)) == 36
    assert torch.load(tmp_path / "model.pt", weights_only=True)["step"] == 36
    again = subprocess.run(seldom, env=environ(), check=True, capture_output=True, text=True)
    assert again.stdout == ""


@contextmanager
def together(folder: Path, checkpoint: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that train one model, as torchrun starts them, until they end or are killed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    line(folder, checkpoint),
                    env={**environ(), **meeting, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for rank in range(2)
        ]
        try:
            yield started
        finally:
            for one in started:
                one.kill()


def told_together(folder: Path, checkpoint: str) -> dict[int, float]:
    """The losses that the first of two processes tells, the other one tells nothing."""
    with together(folder, checkpoint) as (first, other):
        found = losses(first.communicate(timeout=120)[0])
        assert other.communicate(timeout=120)[0] == ""
        assert (first.returncode, other.returncode) == (0, 0)
    return found


def test_several_processes_train_one_model_as_one_process_does(tmp_path: Path) -> None:
    written(tmp_path / "set", {"train": [500, 300, 400]})
    alone = subprocess.run(
        line(tmp_path, "alone.pt"), env=environ(), check=True, capture_output=True, text=True
    )
    expected = losses(alone.stdout)
    whole = told_together(tmp_path, "whole.pt")
    assert whole.keys() == expected.keys()
    assert torch.allclose(
        torch.tensor(list(whole.values())), torch.tensor(list(expected.values())), rtol=1e-3
    )
    with together(tmp_path, "killed.pt") as (first, _):
        assert first.stdout is not None
        found = losses("".join(first.stdout.readline() for _ in range(8)))
    again = told_together(tmp_path, "killed.pt")
    assert min(again) > 1
    assert {**found, **again} == whole


def test_a_training_goes_on_with_its_set_after_another_one_was_published(tmp_path: Path) -> None:
    first = written(tmp_path / "set", {"train": [500, 300, 400]})
    once = subprocess.run(
        line(tmp_path, "one.pt"), env=environ(), check=True, capture_output=True, text=True
    )
    expected = losses(once.stdout)
    with subprocess.Popen(
        line(tmp_path, "other.pt"), env=environ(), stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        for _ in range(5):
            killed.stdout.readline()
        killed.kill()
    written(tmp_path / "set", {"train": [900]}, first=5_000, former=first)
    rest = subprocess.run(
        line(tmp_path, "other.pt"), env=environ(), check=True, capture_output=True, text=True
    )
    found = losses(rest.stdout)
    assert min(found) > 1
    assert found == {step: loss for step, loss in expected.items() if step in found}
    assert max(found) == max(expected)
