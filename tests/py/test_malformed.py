"""Files that a stranger wrote, given to the program: every one is refused with one sentence and an
exit code, whatever is wrong with it, and nothing is written. What reads a format alone is tested in C;
tests/fuzz looks for what nobody thought of."""

import io
import json
import os
import random
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
MIXTURE = (DATA / "mixture2d.json").read_text()
FLAT = f"mixture:{DATA / 'mixture2d.json'}"
MODEL = 3
MAY_END = {0, 1, 2, 3}  # what a damaged file may come to: some damage does no harm


@pytest.fixture
def refuse(run, tmp_path):
    """refuse(word, *arguments): one printable line with the word, and no new file."""

    def call(word, *arguments, code=None):
        before = sorted(tmp_path.rglob("*"))
        done = run(*arguments, ok=False, timeout=60)
        assert word in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr[:-1].isprintable(), done.stderr
        assert done.stdout == "" and sorted(tmp_path.rglob("*")) == before
        assert code is None or done.returncode == code
        return done

    return call


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(path, packing=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def folder(tmp_path, model, **changes):
    """A copy of the shipped model's card and network; changes are to the card's "network"."""
    path = tmp_path / "model"
    shutil.copytree(model, path)
    card = json.loads((path / "model.json").read_text())
    card["network"].update(changes)
    (path / "model.json").write_text(json.dumps(card))
    return path


# ---- JSON ----------------------------------------------------------------------------------------------


def each_reader(run, tmp_path, model):
    """(name, a good text, the command that reads it from file "x.json") of every JSON that is read."""
    plan = run("plan", "--process", "vp_linear", "--steps", 2, "--json", "-").stdout
    run("stats", FLAT, "-n", 2, "--nfe", 3, "-o", "s.json")
    run("tune", FLAT, "--solver", "conjugate:type=2", "--nfe", 2, "-n", 2, "--scan", "lambda=0:1:2",
        "--grid", "uniform", "--reference", "heun", "-o", "t.json")
    path = folder(tmp_path, model)
    (tmp_path / "x.json").symlink_to(path / "model.json")
    card = (path / "model.json").read_text()
    return [("mixture", MIXTURE, ["sample", "mixture:x.json", "-n", 1, "-o", "o.npy"]),
            ("card", card, ["info", "model"]),
            ("plan", plan, ["plan", "--plan", "x.json"]),
            ("statistics", (tmp_path / "s.json").read_text(),
             ["stats", "merge", "x.json", "x.json", "-o", "o.json"]),
            ("statistics of a solver", (tmp_path / "s.json").read_text(),
             ["plan", FLAT, "--solver", "deis_sn:stats=x.json", "--steps", 2]),
            ("tuned values", (tmp_path / "t.json").read_text(),
             ["plan", FLAT, "--solver", "conjugate:type=2,lambda=auto", "--nfe", 2, "--grid", "uniform",
              "--tuned", "x.json"])]


# What is put in place of a whole text, and a word of the refusal.
TEXTS = [("", "not valid JSON"), ("[]", "an array"), ("{}", "\"format\""), ("{} {}", "not valid JSON"),
         ("[" * 100000, "not valid JSON"), ('{"a":' * 5000, "not valid JSON"),
         ('{"format": 1e999}', "not valid JSON"), ('{"format": 99999999999999999999}', "not valid JSON"),
         ('{"format": "\\u0000"}', "not valid JSON"), ('{"format": "\\ud800"}', "not valid JSON"),
         (b'{"format": "\xff"}', "not valid JSON"), (b"\xef\xbb\xbf{}", "not valid JSON"),
         ("[" + "0," * (1 << 24) + "0]", "more than 16777216 values")]


def test_texts_that_are_not_what_they_should_be(run, refuse, tmp_path, model):
    for name, _, command in each_reader(run, tmp_path, model):
        for text, word in TEXTS:
            (tmp_path / "x.json").write_bytes(text if isinstance(text, bytes) else text.encode())
            small = len(text) > 1 << 20 and name in ("card", "tuned values", "statistics",
                                                     "statistics of a solver")
            refuse("larger than" if small else word, *command)


def test_keys_that_stand_twice(run, refuse, tmp_path, model):
    """Which of the two counts is a matter of the reader, and two readers must not differ."""
    for _, text, command in each_reader(run, tmp_path, model):
        (tmp_path / "x.json").write_text(text.replace("{", '{"format": "twice",', 1))
        refuse("duplicate object key", *command)


def test_damage_at_random(run, tmp_path, model):
    """Cut off, bytes changed, pieces left out or doubled: refused, or harmless."""
    chance, refused = random.Random(4), 0
    for name, text, command in each_reader(run, tmp_path, model):
        data = text.encode()
        for attempt in range(12):
            at, size = chance.randrange(len(data)), chance.randrange(1, 40)
            bad = [data[:at], data[:at] + data[at + size:], data[:at] + data[at:at + size] + data[at:],
                   data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:]][attempt % 4]
            (tmp_path / "x.json").write_bytes(bad)
            (tmp_path / "o.json").unlink(missing_ok=True)
            done = run(*command, ok=None, timeout=60)
            assert done.returncode in MAY_END, (name, bad)
            refused += done.returncode != 0
    assert refused > 40


def test_numbers_of_64_bits(run, refuse, tmp_path):
    """Seeds above 2^53 are text in files, so that no reader rounds them; whole numbers are still read."""
    seed, first = 2**63 - 5 * 10**17 + 1, 2**61 + 1
    run("sample", FLAT, "-n", 1, "--seed", seed, "--first", first, "-o", "o.npy", "--json", "r.json")
    record = json.loads((tmp_path / "r.json").read_text())["run"]
    assert record["seed"] == str(seed) and record["first"] == str(first)
    run("stats", FLAT, "-n", 2, "--nfe", 3, "--seed", seed, "--first", first, "-o", "s.json")
    value = json.loads((tmp_path / "s.json").read_text())
    assert value["runs"] == [{"seed": str(seed), "first": str(first), "count": 2}]
    run("stats", FLAT, "-n", 2, "--nfe", 3, "--seed", 7, "-o", "t.json")
    run("tune", FLAT, "--solver", "conjugate:type=2", "--nfe", 2, "-n", 2, "--scan", "lambda=0:1:2",
        "--grid", "uniform", "--reference", "heun", "--seed", seed, "-o", "u.json")
    assert json.loads((tmp_path / "u.json").read_text())["entries"][0]["seed"] == str(seed)
    # as written before, as text, and merged: the same
    value["runs"][0].update(seed=seed, first=first)
    (tmp_path / "old.json").write_text(json.dumps(value))
    run("stats", "merge", "s.json", "t.json", "-o", "a.json")
    run("stats", "merge", "old.json", "t.json", "-o", "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    for bad in ("-1", "18446744073709551616", "1e3", " 1", "", -1, 1.5, None):
        value["runs"][0]["seed"] = bad
        (tmp_path / "bad.json").write_text(json.dumps(value))
        refuse('"seed"', "stats", "merge", "bad.json", "t.json", "-o", "c.json")


def test_control_characters_stay_in_the_file(run, refuse, tmp_path):
    """A sentence that quotes a file must not be able to clear the terminal."""
    evil = "\x1b[2J\x07\x7f\u009b31m\u202e\u200b\ufeffname"
    mixture = json.loads(MIXTURE)
    mixture[evil] = 1
    mixture["card"] = {"name": evil, evil: 2}
    (tmp_path / "x.json").write_text(json.dumps(mixture))
    done = run("sample", "mixture:x.json", "-n", 1, "-o", "o.npy")
    for said in (done.stdout, done.stderr):
        assert "name" in said and all(line.isprintable() for line in said.splitlines()), repr(said)
    assert all(line.isprintable() for line in run("info", "mixture:x.json").stdout.splitlines())
    mixture["card"]["prediction_type"] = evil
    (tmp_path / "x.json").write_text(json.dumps(mixture))
    refuse("prediction_type", "sample", "mixture:x.json", "-n", 1, "-o", "p.npy")


def test_sizes_of_mixtures(run, refuse, tmp_path):
    def with_(**changes):
        (tmp_path / "x.json").write_text(json.dumps({**json.loads(MIXTURE), **changes}))
        return "sample", "mixture:x.json", "-n", 1, "-o", "o.npy"

    refuse("too large to compute with", *with_(means=[[1e308, 0], [-1e308, 0], [0, 0]], stds=[1e308] * 3))
    refuse("shape", *with_(card={"sample": {"shape": [2**30, 2**30, 2**30, 2**30]}}))
    refuse("shape", *with_(card={"sample": {"shape": [1 << 31]}}))
    refuse("count", *with_(card={"classes": {"count": 2**40}}, labels=[0, 0, 0]))
    # as many classes as there are components: found in time that is proportional, not quadratic
    n = 65536
    many = {"format": "driftless-mixture/1", "weights": [1] * n, "means": [[0]] * n, "stds": [1] * n,
            "labels": list(range(n))}
    (tmp_path / "x.json").write_text(json.dumps(many))
    assert run("info", "mixture:x.json", timeout=60).returncode == 0


# ---- paths in cards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../network.onnx", "/etc/passwd", "sub/../../x", "", ".", "sub", "a//b", "out",
                                  "up/passwd", "pipe", "loop", "missing", "x" * 5000])
def test_paths_in_cards(refuse, tmp_path, model, path):
    place = folder(tmp_path, model, file=path)
    (place / "sub").mkdir()
    (place / "out").symlink_to("/etc/passwd")
    (place / "up").symlink_to("/etc")
    (place / "loop").symlink_to("loop")
    os.mkfifo(place / "pipe")  # opening it would wait for ever
    for command in (["info", "model"], ["sample", "model", "-o", "o.npz"], ["plan", "model"]):
        refuse("file", *command, code=MODEL)


@pytest.mark.parametrize("card, command", [
    ("model.json", ["info", "place"]),
    ("model.json", ["sample", "place", "-o", "o.npz"]),
    ("prior.json", ["sample", FLAT, "--prior", "place", "--steps", 2, "-o", "o.npz"]),
    ("prior.json", ["prior", "sample", "place", "-n", 2, "-o", "o.npy"]),
])
def test_cards_are_files_of_their_folder(refuse, tmp_path, card, command):
    (tmp_path / "place").mkdir()
    path = tmp_path / "place" / card
    path.symlink_to("/etc/passwd")
    refuse("leads out of its folder", *command)
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    refuse("is not a regular file", *command)


def test_statistics_of_a_folder_stay_there(refuse, tmp_path, model):
    place = folder(tmp_path, model)
    (place / "score_statistics.json").unlink()
    (place / "score_statistics.json").symlink_to(Path(model).resolve() / "score_statistics.json")
    refuse("leads out of its folder", "plan", "model", "--solver", "deis_sn", "--steps", 2)


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives folders away")
def test_caches_of_others(refuse, tmp_path, model):
    """What lies in a cache is executed."""
    (tmp_path / "cache").mkdir(mode=0o700)
    os.chown(tmp_path / "cache", 65534, 65534)
    refuse("belongs to somebody else", "sample", model, "-n", 1, "--steps", 1, "--model-cache", "cache", "-o", "o.npz")
    os.chown(tmp_path / "cache", 0, 0)
    os.chmod(tmp_path / "cache", 0o777)
    refuse("others may write", "sample", model, "-n", 1, "--steps", 1, "--model-cache", "cache", "-o", "o.npz")


def test_digest_is_looked_at(refuse, tmp_path, model):
    place = folder(tmp_path, model)
    with open(place / "network.onnx", "r+b") as network:
        network.seek(-1, os.SEEK_END)
        last = network.read(1)
        network.seek(-1, os.SEEK_END)
        network.write(bytes([last[0] ^ 1]))
    refuse("sha256", "info", "model", code=MODEL)


# ---- arrays ---------------------------------------------------------------------------------------------


def noise(name="x.npz"):
    return "sample", FLAT, "-n", 1, "--solver", "ddpm", "--steps", 2, "--noise", name, "-o", "o.npy"


def header(shape, descr="<f8"):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_archives_that_expand(refuse, tmp_path):
    bomb = header((1 << 20, 2)) + bytes(1 << 10)
    npz(tmp_path / "x.npz", start=bomb)  # promises more than it has
    refuse("promises 16777216 bytes", *noise())
    npz(tmp_path / "x.npz", start=npy(np.zeros((2, 2))) + bytes(1 << 24))  # has more than it promises
    refuse("surplus", *noise())
    npz(tmp_path / "x.npz", start=header((1 << 62, 4)) + bytes(64))
    refuse("too large to address", *noise())
    npz(tmp_path / "x.npz", packing=zipfile.ZIP_BZIP2, start=npy(np.zeros((2, 2))))
    refuse("NumPy does not use", *noise())


def test_archives_that_lie(refuse, tmp_path):
    """The directory claims that the member unpacks to 2 GiB, as its header does; it is 200 bytes long."""
    size = 1 << 31
    npz(tmp_path / "x.npz", start=header((size // 16, 2)) + bytes(64))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    entry, local = data.rindex(b"PK\x01\x02"), data.index(b"PK\x03\x04")
    whole = size + len(header((size // 16, 2)))
    struct.pack_into("<I", data, entry + 24, whole)
    struct.pack_into("<I", data, local + 22, whole)
    (tmp_path / "x.npz").write_bytes(data)
    refuse("cannot come out of", *noise())


def test_damaged_arrays(run, tmp_path):
    chance, refused = random.Random(5), 0
    good = io.BytesIO()
    np.savez_compressed(good, start=np.ones((1, 2)), noise=np.ones((4, 1, 2)))
    np.save(tmp_path / "start.npy", np.ones((1, 2)))
    array = (tmp_path / "start.npy").read_bytes()
    for attempt in range(40):
        data = bytearray(array if attempt % 2 else good.getvalue())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if attempt % 8 == 0:
            del data[chance.randrange(len(data)):]
        (tmp_path / "x").write_bytes(data)
        option = "--init" if attempt % 2 else "--noise"
        done = run("sample", FLAT, "-n", 1, "--solver", "ddpm", "--steps", 2, option, "x", "-o", "o.npy", ok=None)
        assert done.returncode in MAY_END and done.stderr.count("\n") == (done.returncode != 0)
        refused += done.returncode != 0
    assert refused >= 20


# ---- times, options, the command line ---------------------------------------------------------------------


@pytest.mark.parametrize("times, word", [(b"1 0.5\0 0.1", "zero byte"), (b"1 nan 0.1", "not a number"),
                                         (b"1 0x1p-1 0.1", "not a number"), (b"1 1e999", "not a number"),
                                         (b"1 0,5 0.5 0.1", "grid time=5"), (b"", "at least two"),
                                         (b"1 \xff", "not a number"), (b"0.5 " * 100002, "more than"),
                                         (b"1" * (5 << 20), "larger than")])
def test_files_of_times(refuse, tmp_path, times, word):
    (tmp_path / "t.txt").write_bytes(times)
    refuse(word, "plan", FLAT, "--grid", "file:path=t.txt")


@pytest.mark.parametrize("option", [["--steps", "99999999999999999999"], ["--seed", "-1"], ["--seed", "1e3"],
                                    ["-n", "0x10"], ["-n", " 1"], ["--t-end", "0,1"], ["--t-end", "nan"],
                                    ["--first", "5e18"], ["-n", "1000000001"], ["--class", "9" * 30],
                                    ["--solver", "deis:" + "order=1," * 1000], ["--solver", "x" * 100000],
                                    ["--grid", "list:times=[" + "1," * 5000 + "0]"], ["--solver", "\x1b[2J"],
                                    ["--process", "vp_discrete:trained_betas=[" + "0.1," * 20000 + "x]"]])
def test_options_beyond_their_range(refuse, option):
    refuse("", "sample", FLAT, *option, "-o", "o.npy", code=2)


def test_plans_beyond_their_limits(run, refuse, tmp_path):
    good = json.loads(run("plan", "--process", "vp_linear", "--steps", 2, "--json", "-").stdout)

    def with_(**changes):
        (tmp_path / "x.json").write_text(json.dumps({**good, **changes}))
        return "plan", "--plan", "x.json"

    good["counts"] = {}
    refuse("rows", *with_(rows=[0] * ((1 << 20) + 1)))
    refuse("sources", *with_(rows=[{"op": "LIN", "dst": 1, "src": [0] * 65, "c": [1] * 65}]))
    refuse("outputs", *with_(outputs=[1] * 65))
    refuse("1 to 4096", *with_(kernels=[{"pi": [1 / 4097] * 4097, "offsets": "rand", "table": 0, "s": 1,
                                         "sigma": 1, "covariance": "diag"}]))
    # values that live at once: a thousand noises, added up at the end
    many = [{"op": "NOISE", "dst": i, "draw": i} for i in range(1, 1025)]
    sums = [{"op": "LIN", "dst": 1025 + k, "src": [k * 60 + i for i in range(60)], "c": [1] * 60} for k in range(17)]
    last = {"op": "LIN", "dst": 1042, "src": list(range(1020, 1042)), "c": [1] * 22}
    refuse("alive at once", *with_(rows=[*many, *sums, last], outputs=[1042]))


# A kernel's table is drawn, so that a few bytes ask for it.
def test_tables_of_kernels(run, refuse, tmp_path):
    dim = 1 << 17
    card = {"sample": {"shape": [dim]}}
    (tmp_path / "m.json").write_text(json.dumps({"format": "driftless-mixture/1", "weights": [1],
                                                 "means": [[0] * dim], "stds": [1], "card": card}))
    pi = [1 / 4096] * 4096
    (tmp_path / "x.json").write_text(json.dumps({
        "format": "driftless-plan/1", "components": 1, "outputs": [1],
        "inputs": [{"id": 0, "t": 1, "at": [0.6, 0.8], "scale": 1}],
        "kernels": [{"pi": pi, "offsets": "rand", "table": 0, "s": 1, "sigma": 0, "covariance": "diag"}],
        "rows": [{"op": "MIX", "dst": 1, "draw": 0, "kernel": 0},
                 {"op": "LIN", "dst": 2, "src": [0, 1], "c": [1, 1]}], "outputs": [2]}))
    refuse("tables hold more than", "sample", "mixture:m.json", "--plan", "x.json", "-n", 1, "-o", "o.npy")


# ---- the writer of pictures, which is the only one ---------------------------------------------------------


def test_names_stay_in_their_line(run, tmp_path):
    """A name with a line end must not add a line to what a run says of itself."""
    forged = "nice\noutput       /somewhere/else.npy\nextractor  of another"
    mixture = {"format": "driftless-mixture/1", "weights": [1], "means": [[0.0] * 4], "stds": [0.5],
               "card": {"name": forged, "sample": {"shape": [1, 2, 2], "range": [-1, 1]}}}
    (tmp_path / "m.json").write_text(json.dumps(mixture))
    run("plan", "mixture:m.json", "--steps", 2, "--json", "p.json")
    plan = json.loads((tmp_path / "p.json").read_text())
    plan["meta"].update(solver=forged, grid=forged)
    (tmp_path / "p.json").write_text(json.dumps(plan))
    said = [run("sample", "mixture:m.json", "-n", 2, *options, "-o", "o.npy").stdout
            for options in (["--steps", 2], ["--plan", "p.json"])]
    said.append(run("eval", "model:mixture:m.json", "-n", 8, "--steps", 2, "--features", "pixels", "-o", "s.npz").stdout)
    for page in said:
        lines = [line.split()[0] for line in page.splitlines()]
        assert lines.count("output") < 2 and lines.count("extractor") < 2 and "nice?output" in page


def test_names_in_pictures(run, tmp_path):
    """A card's name goes into the picture's texts whatever it holds."""
    mixture = {"format": "driftless-mixture/1", "weights": [1], "means": [[0] * 4], "stds": [1],
               "card": {"name": "\x01\n\x7f \u00e4 \U0001f600 " + "n" * 5000, "sample": {"shape": [1, 2, 2]}}}
    (tmp_path / "m.json").write_text(json.dumps(mixture))
    run("sample", "mixture:m.json", "-n", 1, "-o", "o.png", "-q")
    assert (tmp_path / "o.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


# ---- no shell ----------------------------------------------------------------------------------------------


def test_names_are_never_commands(run, tmp_path):
    for name in ("$(touch evil).npy", "`touch evil`.npy", "a;touch evil;.npy", "-x.npy"):
        run("sample", FLAT, "-n", 1, "-q", "-o", f"./{name}")
        assert (tmp_path / name).is_file() and not (tmp_path / "evil").exists()
