"""Fixtures of all Python tests: the built program and how to run it."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What a shell without job control puts in the background ignores SIGINT, and so would the programs started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def program():
    """Path of the program under test: $DRIFTLESS, or the release build."""
    path = Path(os.environ.get("DRIFTLESS", ROOT / "build/release/driftless"))
    assert path.is_file(), f"{path} is not built"
    return str(path)


@pytest.fixture(scope="session")
def model(root):
    """Folder of the model that is shipped."""
    return str(root / "models/fashion-vp")


@pytest.fixture
def run(program, tmp_path):
    """run(*arguments, ok=True, **subprocess options): runs the program in tmp_path and returns the
    finished process, stdout and stderr as text. ok=True wants exit status 0, ok=False another,
    ok=None takes both. A sanitizer's report, or death by a signal, is always a failure."""

    def call(*arguments, ok=True, timeout=300, **options):
        options = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, "text": True, **options}
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, **options)
        stderr = done.stderr if isinstance(done.stderr, str) else done.stderr.decode()
        said = f"{command}: exit status {done.returncode}\n{stderr}"
        reported = "Sanitizer" in stderr or "runtime error:" in stderr
        unexpected = ok is not None and (done.returncode == 0) != ok
        if reported or unexpected or done.returncode < 0:
            pytest.fail(said, pytrace=False)
        return done

    return call


@pytest.fixture
def fit(run, tmp_path):
    """fit(model, *options): fits, gives the finished process and the plan."""

    def call(model, *options, name="plan.json"):
        done = run("fit", model, "-o", name, *options)
        return done, json.loads((tmp_path / name).read_text())

    return call
