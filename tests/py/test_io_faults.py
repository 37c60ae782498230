"""Writing that fails: every output of every command on a disk that is full or too small, in a place that
cannot be written. One sentence, exit code 1, what stood there before is whole, and nothing else is left."""

import json
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
FAILURE, NOBODY = 1, 65534

# Every way to write a file: the command with OUT in place of the output, and the name of that.
SAMPLE = ["sample", FLAT, "-n", "3000", "--steps", "2", "-q"]
PICTURES = ["sample", "mixture:squares.json", "-n", "64", "--steps", "2", "-q"]
SMALL = ["sample", FLAT, "-n", "2", "--steps", "40", "--solver", "ddpm", "-q", "-o", "small.npy"]
TUNE = ["tune", FLAT, "--solver", "conjugate:type=2", "--nfe", "2", "-n", "2", "--scan", "lambda=0:1:2",
        "--grid", "uniform", "--reference", "heun", "-q"]
EVAL = ["eval", "p.npy", "-n", "20", "--features", "pixels", "-q"]
STATS = ["stats", FLAT, "-n", "2", "--nfe", "200", "-q"]
WRITES = {
    "npy": [*SAMPLE, "-o", "OUT.npy"], "npz": [*SAMPLE, "-o", "OUT.npz"], "png": [*PICTURES, "-o", "OUT.png"],
    "record": [*SMALL, "--json", "OUT.json"], "trajectory": [*SMALL, "--trajectory", "OUT.npz"],
    "noise": [*SMALL, "--save-noise", "OUT.npz"],
    "plan": ["plan", FLAT, "--steps", "20", "--json", "OUT.json"],
    "tune": [*TUNE, "-o", "OUT.json"], "stats": [*STATS, "-o", "OUT.json"],
    "merge": ["stats", "merge", "a.json", "b.json", "-o", "OUT.json"],
    "import": ["stats", "import", str(DATA / "deis-sn-ratios.npz"), "--name", "cifar10", "-o", "OUT.json"],
    "eval": [*EVAL, "-o", "OUT.npz"], "features": [*EVAL, "--features-out", "OUT.npy"],
}
READERS = ("stats", "tune", "eval", "features")  # of what stands there, or that it is a file


@pytest.fixture
def place(tmp_path, run):
    """A folder with what the commands read."""
    means = [[0.6] * 600 + [-0.6] * 600, [-0.5] * 1200]
    mixture = {"format": "driftless-mixture/1", "weights": [1, 1], "means": means, "stds": [0.2, 0.1],
               "card": {"name": "squares", "sample": {"shape": [1, 30, 40], "range": [-1, 1]}}}
    (tmp_path / "squares.json").write_text(json.dumps(mixture))
    run("stats", FLAT, "-n", "2", "--nfe", "200", "-o", "a.json", "-q")
    run("stats", FLAT, "-n", "2", "--nfe", "200", "--first", "2", "-o", "b.json", "-q")
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (30, 4, 4), }"
    (tmp_path / "p.npy").write_bytes(b"\x93NUMPY\x01\0v\0" + head.ljust(117) + b"\n" + bytes(range(240)) * 2)
    return tmp_path


def command(kind, where):
    """The command line, and the path of the output."""
    words = [word.replace("OUT", where) for word in WRITES[kind]]
    return words, next(word for word in words if word.startswith(where))


def refused(done, word):
    assert done.returncode == FAILURE, done
    assert word in done.stderr and done.stderr.count("\n") == 1, done.stderr


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("kind", WRITES)
def test_disk_too_small(program, place, kind, old):
    """A limit on the size of files stands for the disk. The default action of its signal would be death,
    with half a file left behind."""
    words, out = command(kind, "out")
    if old and kind == "tune":  # a store is read before it is written
        subprocess.run([program, *words], cwd=place, check=True)
    elif old and kind == "eval":
        subprocess.run([program, *[{"20": "10"}.get(word, word) for word in words]], cwd=place, check=True)
    elif old and kind == "stats":
        shutil.copy(place / "a.json", place / out)
        words[words.index("2")] = "4"
    elif old:
        (place / out).write_bytes(b"old")
    before = content(place)
    done = subprocess.run([program, *words], cwd=place, capture_output=True, text=True, timeout=120,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)))
    refused(done, "File too large")
    after = content(place)
    after.pop(place / "small.npy", None)  # the samples, whole, before the other output fails
    assert after == before


def test_disk_too_small_for_a_folder(program, place):
    done = subprocess.run([program, *PICTURES, "-o", "pics/"], cwd=place, capture_output=True, text=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)))
    refused(done, "File too large")
    assert not (place / "pics").exists() and not list(place.glob("*partial*"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("kind", [kind for kind in WRITES if kind not in READERS])
def test_full_disk(program, place, kind):
    """Those others look at what stands there first."""
    words, out = command(kind, "out")
    (place / out).symlink_to("/dev/full")
    before = sorted(place.iterdir())
    refused(subprocess.run([program, *words], cwd=place, capture_output=True, text=True), "No space left")
    assert [path for path in sorted(place.iterdir()) if path.name != "small.npy"] == before
    assert (place / out).is_symlink()


@pytest.mark.parametrize("where", ["missing/out", "a.json/out", "no/such/folder/out"])
@pytest.mark.parametrize("kind", WRITES)
def test_no_such_folder(program, place, kind, where):
    """Said before the work begins: no samples are drawn and lost."""
    words, _ = command(kind, where)
    before = content(place)
    refused(subprocess.run([program, *words], cwd=place, capture_output=True, text=True), where.split("/")[0])
    assert content(place) == before


@pytest.fixture
def outsider(program, place):
    """Runs a command in a folder that its user may read, but not write. Permissions do not bind root, who
    becomes somebody else for it."""
    if os.getuid() == 0:
        folder = tempfile.mkdtemp(prefix="driftless-")
        os.chmod(folder, 0o755)
        room = Path(folder) / "room"
        shutil.copytree(place, room)
        options = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        reach = subprocess.run([program, "version"], capture_output=True, **options) if can_reach(program) else None
        if not reach or reach.returncode != 0:
            shutil.rmtree(folder)
            pytest.skip("another user cannot run the program where it lies")
    else:
        room, options, folder = place, {}, None
    os.chmod(room, 0o555)
    yield room, lambda words: subprocess.run([program, *words], cwd=room, capture_output=True, text=True, **options)
    os.chmod(room, 0o755)
    if folder:
        shutil.rmtree(folder)


def can_reach(program):
    return all(parent.stat().st_mode & 0o001 for parent in Path(program).resolve().parents)


@pytest.mark.parametrize("kind", WRITES)
def test_folder_that_cannot_be_written(outsider, kind):
    room, call = outsider
    words, _ = command(kind, "out")
    words = [str(room / word) if word == "small.npy" else word for word in words]
    before = content(room)
    refused(call(words), "cannot be written")
    assert content(room) == before


@pytest.mark.parametrize("kind", [kind for kind in WRITES if kind not in READERS or kind == "features"])
def test_file_that_cannot_be_written(outsider, kind):
    """Renaming over it would get round its permissions."""
    room, call = outsider
    words, out = command(kind, "out")
    os.chmod(room, 0o777)
    (room / out).write_bytes(b"old")
    os.chmod(room / out, 0o444)
    done = call(words)
    refused(done, "Permission denied")
    assert (room / out).read_bytes() == b"old" and not list(room.glob("*.tmp"))
