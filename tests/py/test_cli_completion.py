"""Completion: what the program says may come next, and what bash, zsh and fish make of it."""

import re
import subprocess

import pytest


@pytest.fixture
def offered(run):
    """offered(line): what `driftless complete` says to the last word of a line (apart by blanks)."""

    def call(line):
        lines = run("complete", "--", *line.split(" ")).stdout.splitlines()
        for one in lines:
            assert one == "files" or re.fullmatch(r"[^\t]+\t[^\t]+", one), one
        return [one.split("\t")[0] for one in lines]

    return call


@pytest.mark.parametrize("line, words", [
    ("so", ["solvers"]),
    ("--v", ["--version"]),
    ("sample --no", ["--noise"]),
    ("sample m.json --sampl", ["--sampling-method", "--sample-max-value"]),
    ("plan --grid kar", ["karras"]),
    ("plan --grid=kar", ["--grid=karras"]),
    ("sample --solver ode", ["ode45"]),
    ("sample --solver dei", ["deis", "deis_sn"]),
    ("sample --solver deis", ["deis", "deis:", "deis_sn"]),
    ("sample --grid file", ["file", "file:"]),
    ("plan --solver ode", []),  # adaptive: for sample only
    ("sample --solver deis:kind=ta", ["deis:kind=tab"]),
    ("sample --solver=deis:order=2,qu", ["--solver=deis:order=2,quadrature="]),
    ("sample --solver dpmpp_2m:so", ["dpmpp_2m:solver_type="]),
    ("sample --solver deis:order=", []),  # a number
    ("sample --solver nothing:a", []),
    ("sample --process psld:factor=", ["psld:factor=lower", "psld:factor=upper"]),
    ("sample m --dtype ", ["float32", "float64"]),
    ("sample m --precision=b", ["--precision=bf16"]),
    ("tune --reference h", ["heun"]),
    ("sample m -o ", ["files"]),
    ("sample m --init ", ["files"]),
    ("sample m --steps ", []),
    ("sample m -n64 ", ["files"]),  # its number is there already
    ("sample m --steps=4 ", ["files"]),
    ("sample m --quiet ", ["files"]),
    ("sample -- --s", ["files"]),
    ("stats im", ["import", "files"]),
    ("stats ", ["merge", "import", "files"]),
    ("eval ", ["merge", "files"]),
    ("prior f", ["fit", "from-samples", "files"]),
    ("plan ", ["files"]),
    ("sample --solver au", ["auto"]),
    ("eval --grid au", ["auto"]),
    ("doctor --solver au", []),
    ("tune --grid au", []),
    ("fit --grid sea", ["search"]),
    ("fit --teacher dei", ["deis", "deis_sn"]),
    ("fit --teacher-grid kar", ["karras"]),
    ("plan --solvers al", ["all"]),
    ("sweep --solvers hen", []),
    ("sweep --solvers heu", ["heun"]),
    ("plan --grids kar", ["karras"]),
    ("eval --features pix", ["pixels", "files"]),
    ("likelihood --prior e", ["exact", "files"]),
    ("sample --prior ", ["files"]),
    ("plan --predict ", ["card", "files"]),
    ("help pl", ["plan"]),
    ("manual ", ["driftless", "driftless-samplers"]),
    ("solvers ", []),
    ("nothing --s", []),
])
def test_offers(offered, line, words):
    assert sorted(offered(line)) == sorted(words)


def test_offers_follow_the_tables(offered, run):
    """All commands, all options of each with their second names, all solvers and all their options."""
    commands = re.findall(r"^  (\w+) ", run("help").stdout.split("commands:")[1], re.M)
    assert offered("") == [*commands, "--help", "--version"]
    for command in commands:
        told = run("help", command).stdout
        options = set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", told, re.M)) | set(
            re.findall(r"also\s+--([\w-]+)", told))
        assert set(offered(f"{command} --")) == {f"--{option}" for option in options}
    for listing in ("solvers", "grids", "processes"):
        option = "--" + {"processes": "process"}.get(listing, listing[:-1])
        text = run(listing).stdout.split("\nother names\n")[0].split("\nadaptive")[0]
        blocks = re.split(r"^(\w+) - .*$", text, flags=re.M)[1:]
        assert set(blocks[::2]) <= set(offered(f"plan {option} "))
        for name, block in zip(blocks[::2], blocks[1::2]):
            keys = re.findall(r"^  (\w+)  +\S", block, re.M)
            assert set(offered(f"plan {option} {name}:")) == {f"{name}:{key}=" for key in keys}


def test_complete_refuses_nothing(run):
    """A shell gets an empty answer, not an error, for what cannot be completed."""
    assert run("complete").stdout == ""
    assert run("complete", "--", "sample", "--", "", "--", "x").stdout == "files\n"
    assert run("complete", "--", "\x01\u00e9%s", "%n").stdout == ""


# ---- shells --------------------------------------------------------------------------------------------

LINES = [
    ("driftless sa", {"sample"}),
    ("driftless sample --st", {"--steps"}),
    ("driftless sample --solver unip", {"unipc"}),
    ("driftless plan --dynamic-t", {"--dynamic-thresholding-ratio"}),
    ("driftless sample m --dtype float6", {"float64"}),
    ("driftless help ", {"sample", "plan", "help"}),
]
# Words that bash cuts at its word breaks, where it replaces only the last piece.
CUT_LINES = [("driftless sample --solver deis:ord", "deis:", "order="),
             ("driftless sample --solver=deis:kind=rhoa", "--solver=deis:kind=", "rhoab"),
             ("driftless sample --solver deis:order=3,quad", "deis:order=", "3,quadrature=")]


def shell(command, program, cwd):
    """Runs a script with the built program as `driftless`, in a folder with plans/ and p.json."""
    (cwd / "bin").mkdir(exist_ok=True)
    (cwd / "plans").mkdir(exist_ok=True)
    (cwd / "p.json").touch()
    if not (cwd / "bin/driftless").exists():
        (cwd / "bin/driftless").symlink_to(program)
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={"PATH": f"{cwd}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def bash(root, program, tmp_path):
    def complete(line):
        script = f"""
            source {root}/cli/completion/driftless.bash
            [[ $(complete -p driftless) == *_driftless* ]] || exit 9
            COMP_LINE=$1 COMP_POINT=${{#1}} COMP_WORDS=($1)
            _driftless
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        return shell(["bash", "-c", script, "bash", line], program, tmp_path)

    return complete


@pytest.fixture
def zsh(root, program, tmp_path):
    """What the completion function hands to zsh's own compadd."""

    def complete(line):
        script = f"""
            compdef() {{ known=$2 }}
            compadd() {{ for word in "${{(@P)argv[-1]}}"; do print -r -- "$word"; done }}
            _files() {{ print -r -- *p* }}
            source {root}/cli/completion/_driftless
            [[ $known == driftless ]] || exit 9
            words=("${{(@s: :)1}}") CURRENT=${{#words}}
            _driftless"""
        return shell(["zsh", "-f", "-c", script, "zsh", line], program, tmp_path)

    return complete


@pytest.fixture
def fish(root, program, tmp_path):
    def complete(line):
        script = f"source {root}/cli/completion/driftless.fish; complete -C {line!r}"
        return [word.split("\t")[0] for word in shell(["fish", "--no-config", "-c", script], program, tmp_path)]

    return complete


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells(name, request):
    complete = request.getfixturevalue(name)
    for line, words in LINES:
        found = set(complete(line))
        assert words <= found, line
        assert line.endswith(" ") or words == found, line


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_shells_offer_files(name, request):
    found = " ".join(request.getfixturevalue(name)("driftless sample m --plan p"))
    assert "plans" in found and "p.json" in found


def test_pieces_of_words(bash, zsh, fish):
    for line, before, word in CUT_LINES:
        assert bash(line) == [word]
        assert zsh(line) == [before + word]
        assert fish(line) == [before + word]


@pytest.mark.parametrize("command, file", [("bash", "driftless.bash"), ("zsh", "_driftless"),
                                           ("fish", "driftless.fish")])
def test_syntax(command, file, root):
    done = subprocess.run([command, "-n", root / "cli/completion" / file], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
