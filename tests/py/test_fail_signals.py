"""SIGINT and SIGTERM at random moments, from before the program has begun to after it has ended: the exit
code is 130 (or the system's, before the handlers stand), no temporary file stays, what stood there before is
whole, and what can be resumed is resumed to the same bytes."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
INTERRUPTED = 130
SIGNALS = [signal.SIGINT, signal.SIGTERM]
MOMENTS = 14

SAMPLE = ["sample", FLAT, "-n", "40000", "--steps", "30", "-q", "-o"]
TUNE = ["tune", FLAT, "--solver", "conjugate:type=2", "--nfe", "20", "-n", "200", "--scan", "lambda=0:1:3",
        "--grid", "uniform", "--reference", "heun", "-q", "-o"]
PICTURES = ["sample", "mixture:m.json", "-n", "40", "--steps", "30", "-q", "-o"]
SQUARE = {"format": "driftless-mixture/1", "weights": [1], "means": [[0, 0, 0, 0]], "stds": [1],
          "card": {"sample": {"shape": [1, 2, 2]}}}


@pytest.fixture
def interrupt(program, tmp_path):
    """interrupt(command, seconds, number): the exit status and stderr of a run that got a signal then."""

    def call(words, seconds, number):
        child = subprocess.Popen([program, *words], cwd=tmp_path, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True,
                                 preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in SIGNALS])
        time.sleep(seconds)
        child.send_signal(number)
        stderr = child.communicate(timeout=120)[1]
        assert "Sanitizer" not in stderr and "runtime error" not in stderr, stderr
        return child.returncode, stderr

    return call


def duration(program, words, tmp_path):
    began = time.monotonic()
    subprocess.run([program, *words], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def expected(status, stderr, number):
    """Ended in one of three ways; True if it was interrupted."""
    if status == INTERRUPTED:
        assert stderr.startswith("driftless: interrupted") and stderr.count("\n") == 1
    else:
        assert status in (0, -number), (status, stderr)  # it was done, or had not begun
        assert stderr == ""
    return status == INTERRUPTED


@pytest.mark.parametrize("command, output", [(SAMPLE, "o.npy"), (SAMPLE, "o.npz"), (TUNE, "o.json")],
                         ids=["npy", "npz", "tune"])
def test_at_random_moments(program, interrupt, tmp_path, command, output):
    """Each run writes what stands there already: the old file and the new one are equal, half a one is not."""
    whole, chance, interrupted = duration(program, [*command, output], tmp_path), random.Random(output), 0
    first = (tmp_path / output).read_bytes()
    for moment in range(MOMENTS):
        number = SIGNALS[moment % 2]
        interrupted += expected(*interrupt([*command, output], chance.uniform(0, 1.1 * whole), number), number)
        assert (tmp_path / output).read_bytes() == first
        assert [path.name for path in tmp_path.iterdir()] == [output]
    assert interrupted >= 3


def test_folders_are_whole_or_not_there(program, interrupt, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(SQUARE))
    command = [*PICTURES, "pics/"]
    whole, chance, interrupted = duration(program, command, tmp_path), random.Random(7), 0
    for moment in range(MOMENTS):
        if (tmp_path / "pics").exists():
            assert len(list((tmp_path / "pics").iterdir())) == 40
            shutil.rmtree(tmp_path / "pics")
        number = SIGNALS[moment % 2]
        hit = expected(*interrupt(command, chance.uniform(0, 1.1 * whole), number), number)
        interrupted += hit
        assert {path.name for path in tmp_path.iterdir()} <= {"m.json"} | (set() if hit else {"pics"})
    assert interrupted >= 3


def test_statistics_resume_from_every_interruption(program, interrupt, run, tmp_path):
    """Interrupted again and again, the same command gets to the same bytes as one run."""
    words = ["stats", FLAT, "-n", "120", "--nfe", "1000", "--batch", "3", "-q", "-o"]
    whole = duration(program, [*words, "whole.json"], tmp_path)
    chance, attempts, interrupted = random.Random(6), 0, 0
    while not (tmp_path / "o.json").exists():
        number = SIGNALS[attempts % 2]
        # ever longer, so that it comes to an end on a machine of any speed
        interrupted += expected(*interrupt([*words, "o.json"], chance.uniform(0.2, 0.4 + attempts / 20) * whole,
                                           number), number)
        attempts += 1
        assert attempts < 60
        names = {path.name for path in tmp_path.iterdir()}
        assert names <= {"whole.json", "o.json", "o.json.part"}, names
    run(*words, "o.json")  # a signal may have come between the last batch and the name
    assert interrupted >= 1
    assert (tmp_path / "o.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.json", "o.json"}
