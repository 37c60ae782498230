"""Tables of results and their pages say which network they are of: scripts/solver_page.py, times_page.py,
predict_against_measured.py, and the tables in docs/results."""

import csv
import re
import sys
from unittest import mock

import pytest

PAGES = ("solver_page", "times_page")
ELSEWHERE = {"phase-mixtures.csv", "fitted-phase.csv",  # of mixtures
             "trained-times.csv",  # names of its own
             "times-bound.csv"}  # written by driftless times


@pytest.fixture
def made(root, tmp_path, monkeypatch):
    """made(script, page, *options): the text of the page that the script makes in tmp_path; plots are left out, as
    matplotlib may not be there."""
    sys.path.insert(0, str(root / "scripts"))
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, mock.MagicMock())

    def make(script, page, *options):
        module = __import__(script)
        for name in ("plot", "plot_distance", "plot_stochastic"):
            monkeypatch.setattr(module, name, lambda *arguments: None, raising=False)
        monkeypatch.setattr(sys, "argv", [script, str(tmp_path), *options])
        module.main()
        return (tmp_path / page).read_text()

    yield make
    sys.path.remove(str(root / "scripts"))
    for name in PAGES:
        sys.modules.pop(name, None)


def write(path, columns, *rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns.split(","), *rows])


def first_sentence(text):
    """After title and comment."""
    return re.split(r"\.\s", re.sub("<!--.*?-->\n\n", "", text).split("\n\n", 1)[1])[0]


SOLVERS = "model,network,solver,grid,nfe,spent,samples,rms,median,p90,note"


def solvers(folder):
    """Two networks; the second one is better, and has no ode45."""
    write(folder / "solvers.csv", SOLVERS, *(
        ["fashion-vp", network, solver, grid, n, n, 256, factor * rms / n, factor * rms / n, factor * rms / n, ""]
        for network, rms in (("aaaaaaaa", 2), ("bbbbbbbb", 1)) for n in (5, 6, 8, 10)
        for solver, grid, factor in (("ddim", "uniform", 1), ("deis:order=3", "power:kappa=2", 2), ("dpm:order=2", "logsnr", 3),
                                     ("unipc:order=2", "logsnr", 4))))
    write(folder / "solvers-adaptive.csv", SOLVERS.replace("spent,", "spent,least,most,"),
          ["fashion-vp", "aaaaaaaa", "ode45:rtol=1,atol=1", "adaptive", 0, 30, 20, 40, 256, 0.5, 0.5, 0.5, ""])


def test_solver_page(made, tmp_path):
    solvers(tmp_path)
    last = made("solver_page", "solvers.md")
    assert "`fashion-vp`, the network whose sha256 begins with bbbbbbbb" in first_sentence(last)
    assert "| `ddim` | `uniform` | **0.2** | **0.167** | **0.125** | **0.1** |" in last and "ode45" not in last
    first = made("solver_page", "solvers.md", "--network", "aaaaaaaa")
    assert "begins with aaaaaaaa" in first_sentence(first)
    assert "| `ddim` | `uniform` | **0.4** | **0.333** | **0.25** | **0.2** |" in first and "| `ode45:rtol=1,atol=1` | 30 | 20 | 40 |" in first
    with pytest.raises(SystemExit, match="solvers.csv has no rows of network cccccccc"):
        made("solver_page", "solvers.md", "--network", "cccccccc")


def test_times_page(made, tmp_path):
    write(tmp_path / "times.csv", "model,network,start,t_start,solver,nfe,spent,samples,feature_distance,note", *(
        ["fashion-vp", network, start, t, "deis:order=3", 5, 5, 1000, value, ""]
        for network, value in (("aaaaaaaa", 9), ("bbbbbbbb", 7)) for start, t in (("noise", "1"), ("mixture", "0.4"))))
    last = made("times_page", "times.md")
    assert "begins with bbbbbbbb" in first_sentence(last) and "| mixture a class | 0.4 | 7.0 |" in last and "9.0" not in last
    first = made("times_page", "times.md", "--network", "aaaaaaaa")
    assert "begins with aaaaaaaa" in first_sentence(first) and "| mixture a class | 0.4 | 9.0 |" in first
    (tmp_path / "times.csv").unlink()
    with pytest.raises(SystemExit, match="times.csv has no rows"):
        made("times_page", "times.md")


def test_predicted_page(made, program, tmp_path):
    solvers(tmp_path)
    words = ("predict_against_measured", "predicted.md", "--program", program)
    assert "begins with bbbbbbbb" in first_sentence(made(*words))
    assert "begins with aaaaaaaa" in first_sentence(made(*words, "--network", "aaaaaaaa"))
    with open(tmp_path / "predicted.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(r["model"], r["network"]) for r in rows} == {("fashion-vp", "aaaaaaaa")}
    assert len(rows) == 16
    assert [(r["solver"], float(r["measured"]), r["rank_measured"]) for r in rows if r["nfe"] == "5"] == [
        ("ddim", 0.4, "1"), ("deis:order=3", 0.8, "2"), ("dpm:order=2", 1.2, "3"), ("unipc:order=2", 1.6, "4")]
    write(tmp_path / "solvers.csv", SOLVERS, ["fashion-vp", "cccccccc", "ddim", "uniform", 5, 5, 256, 1, 1, 1, ""])
    with pytest.raises(SystemExit, match="fewer than four solvers are measured at 5 evaluations"):
        made(*words)
    write(tmp_path / "solvers.csv", SOLVERS, ["other", "dddddddd", "ddim", "uniform", 5, 5, 256, 1, 1, 1, ""])
    with pytest.raises(SystemExit, match="network dddddddd is of other"):
        made(*words)


def test_tables_tell_their_network(root):
    tables = [p for p in (root / "docs/results").glob("**/*.csv") if p.name not in ELSEWHERE]
    assert len(tables) > 10
    for path in tables:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0])[:2] == ["model", "network"], path
        assert all(r["model"] and re.fullmatch("[0-9a-f]{8}", r["network"]) for r in rows), path
        assert path.parent.name != "bootstrap" or {r["network"] for r in rows} == {"94772788"}, path
