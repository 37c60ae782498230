"""What README.md tells people to type works."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


def test_c_example(readme, root, program, tmp_path):
    """The C example compiles without a warning against the public header, and runs."""
    source, binary = tmp_path / "example.c", tmp_path / "example"
    source.write_text(re.search(r"```c\n(.*?)```", readme, re.S)[1])
    built = Path(program).parent
    subprocess.run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, f"-I{root}/include",
                    f"-L{built}", "-ldriftless", "-o", binary], check=True)
    done = subprocess.run([binary], cwd=root, capture_output=True, text=True,
                          env=dict(os.environ, LD_LIBRARY_PATH=str(built)))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "16 samples of 784 numbers, 10 evaluations each\n"


def test_program_lines(readme, root, run, tmp_path):
    """The five lines of the program, word for word but for the size of the run."""
    os.symlink(root / "models", tmp_path / "models")
    lines = re.findall(r"^    driftless (.*?)(?:  +#.*)?$", readme, re.M)
    assert len(lines) == 5
    for line in lines:
        words = ["8" if word in ("64", "1000") else word for word in shlex.split(line)]
        run(*words)
    assert (tmp_path / "grid.png").stat().st_size > 0
    assert (tmp_path / "sneakers.npz").stat().st_size > 0


def test_links(root):
    """Files that the documents point at are there."""
    documents = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/*.md")]
    broken = [f"{document.name}: {target}" for document in documents
              for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text())
              if not (document.parent / target).exists()]
    assert not broken


def test_listing_is_current(root, program):
    """docs/solvers/options.md is what the tables say; `make docs` writes it anew."""
    done = subprocess.run([root / "scripts/listing"], env=dict(os.environ, DRIFTLESS=program), capture_output=True,
                          text=True, check=True)
    assert done.stdout == (root / "docs/solvers/options.md").read_text()
