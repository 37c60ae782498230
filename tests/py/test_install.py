"""An installed copy, used by programs that know nothing else: sources and build folder are gone by then."""

import ctypes.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = ["CMakeLists.txt", "cmake", "include", "src", "cli", "models", "examples", "docs/man", "LICENSE", "NOTICE"]
FILES = """
bin/driftless
include/driftless/driftless.h include/driftless/status.def
lib/libdriftless.so lib/libdriftless.so.MINOR lib/libdriftless.so.VERSION
lib/cmake/driftless/driftlessConfig.cmake lib/cmake/driftless/driftlessConfigVersion.cmake
lib/cmake/driftless/driftlessTargets.cmake lib/cmake/driftless/driftlessTargets-debug.cmake
lib/pkgconfig/driftless.pc
share/bash-completion/completions/driftless share/fish/vendor_completions.d/driftless.fish
share/zsh/site-functions/_driftless
share/doc/driftless/LICENSE share/doc/driftless/NOTICE
share/man/man1/driftless.1 share/man/man3/libdriftless.3 share/man/man7/driftless-samplers.7
"""


def execute(command, ok=True, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, **options)
    assert (done.returncode == 0) == ok, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def header(root):
    return (root / "include/driftless/driftless.h").read_text()


@pytest.fixture(scope="module")
def functions(header):
    """Names of the functions that the header declares."""
    found = re.findall(r"^DFL_API [^;]*?\b(dfl_\w+)\(", header, re.M)
    assert len(found) > 70 and len(set(found)) == len(found)
    return set(found)


@pytest.fixture(scope="module")
def version(header):
    return ".".join(re.search(rf"DFL_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH"))


@pytest.fixture(scope="module")
def openvino(root):
    """OpenVINO's Python package, or None."""
    found = sorted(root.glob("build/venv/lib/python3*/site-packages/openvino"))
    return found[0] if found else None


@pytest.fixture(scope="module")
def prefix(root, openvino, tmp_path_factory):
    """An installed copy, staged under DESTDIR and then moved; built where nothing is left."""
    away = tmp_path_factory.mktemp("away")
    source, build, stage = away / "source", away / "build", away / "stage"
    for part in PARTS:
        target = source / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (root / part).is_dir() else shutil.copy)(root / part, target)
    settings = ["CMAKE_BUILD_TYPE=Debug", "CMAKE_C_FLAGS_DEBUG=-O0", "DFL_TESTS=OFF",
                "CMAKE_INSTALL_PREFIX=/opt/driftless", f"DFL_OPENVINO_ROOT={away / 'openvino'}"]
    if openvino:
        (away / "openvino").symlink_to(openvino)
    execute(["cmake", "-S", source, "-B", build, *(f"-D{setting}" for setting in settings)])
    execute(["cmake", "--build", build, "-j", os.environ.get("JOBS", "2")])
    execute(["cmake", "--install", build], env=dict(os.environ, DESTDIR=str(stage)))
    final = tmp_path_factory.mktemp("installed") / "prefix"
    (stage / "opt/driftless").rename(final)
    shutil.rmtree(away)
    return final


@pytest.fixture(scope="module")
def environment(prefix):
    """What finds the installed copy."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DRIFTLESS", "LD_"))}
    return dict(kept, LD_LIBRARY_PATH=str(prefix / "lib"), PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig"),
                CMAKE_PREFIX_PATH=str(prefix))


@pytest.fixture
def examples(prefix, tmp_path):
    """The installed examples, where they can be built."""
    return shutil.copytree(prefix / "share/doc/driftless/examples", tmp_path / "examples")


# ---- what is there ---------------------------------------------------------------------------------

def test_files(prefix, version, root):
    expected = FILES.replace("MINOR", version.rpartition(".")[0]).replace("VERSION", version).split()
    expected += [f"share/driftless/{path.relative_to(root)}" for path in root.glob("models/**/*")
                 if path.is_file()]
    found = [path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if not path.is_dir()]
    assert sorted(name for name in found if "/examples/" not in name) == sorted(expected)


def test_paths(prefix, root):
    """No file that other builds read names a folder of this one, and the binaries search none."""
    for path in [*prefix.glob("lib/cmake/driftless/*"), prefix / "lib/pkgconfig/driftless.pc"]:
        text = path.read_text()
        assert str(root) not in text and "/away" not in text and "/opt/driftless" not in text, path
    for path in (prefix / "lib/libdriftless.so", prefix / "bin/driftless"):
        assert not re.search(r"RPATH|RUNPATH", execute(["readelf", "-d", path]).stdout)


@pytest.mark.parametrize("where", ["built", "installed"])
def test_exports(where, program, prefix, functions):
    """The library shows what the header declares, all of it and nothing else."""
    folder = Path(program).parent if where == "built" else prefix / "lib"
    lines = execute(["nm", "-D", "--defined-only", folder / "libdriftless.so"]).stdout.splitlines()
    assert {line.split()[-1] for line in lines} == functions


def test_soname(prefix, version):
    shown = execute(["readelf", "-d", prefix / "lib/libdriftless.so"]).stdout
    minor = version.rpartition(".")[0]
    assert f"[libdriftless.so.{minor if minor.startswith('0.') else minor.split('.')[0]}]" in shown


@pytest.mark.parametrize("compiler", ["gcc -std=c11", "g++ -std=c++17", "clang -std=c11", "clang++ -std=c++17",
                                      "gcc -std=c2x", "g++ -std=c++20"])
def test_header(compiler, prefix, tmp_path):
    """The one header is clean C and C++, by itself and twice; every status has its value."""
    source = tmp_path / ("a.cpp" if "++" in compiler else "a.c")
    source.write_text("#include <driftless/driftless.h>\n#include <driftless/driftless.h>\n"
                      "int main(void) { return !*dfl_status_name(DFL_E_RANGE) || DFL_E_RANGE != -3; }\n")
    warnings = "-Wall -Wextra -Wpedantic -Werror -Wconversion -Wshadow -Wundef".split()
    strict = ["-Wold-style-cast", "-Wzero-as-null-pointer-constant"] if "++" in compiler else ["-Wstrict-prototypes"]
    execute([*compiler.split(), *warnings, *strict, f"-I{prefix}/include", source, f"-L{prefix}/lib", "-ldriftless",
             "-o", tmp_path / "a"])
    execute([tmp_path / "a"], env=dict(os.environ, LD_LIBRARY_PATH=str(prefix / "lib")))


# ---- programs ----------------------------------------------------------------------------------------

def judge(output):
    """The samples of an example are those of N(3, 0.5^2), in twelve evaluations."""
    shown = re.fullmatch(r"mean (\d\.\d{4}), deviation (0\.\d{4}), (\d+) calls\n", output)
    assert shown, output
    assert abs(float(shown[1]) - 3) < 0.04 and abs(float(shown[2]) - 0.5) < 0.03 and shown[3] == "12"
    return output


def assert_linked(binary, prefix, environment):
    linked = execute(["ldd", binary], env=environment).stdout
    assert re.search(rf"libdriftless\.so\.\S+ => {re.escape(str(prefix))}/lib/", linked), linked


def test_consumers(prefix, environment, examples):
    """C by pkg-config and by CMake, Fortran and Python draw the same samples."""
    said = set()
    execute(["make", "-C", examples / "c", "CFLAGS=-O1 -Wall -Wextra -Wpedantic -Werror"], env=environment)
    execute(["cmake", "-S", examples / "c", "-B", examples / "c/build"], env=environment)
    execute(["cmake", "--build", examples / "c/build"], env=environment)
    execute(["make", "-C", examples / "fortran", "FFLAGS=-O1 -Wall -Wextra -Werror"], env=environment)
    for name in ("c/callback", "c/loop", "c/build/callback", "c/build/loop", "fortran/gaussian"):
        assert_linked(examples / name, prefix, environment)
        said.add(judge(execute([examples / name], env=environment).stdout))
    python = [sys.executable, examples / "python/gaussian.py"]
    said.add(judge(execute([*python, prefix / "lib/libdriftless.so"], env=environment).stdout))
    assert len(said) == 1  # one seed; float32 and float64 agree in the digits shown


def test_examples_are_complete(examples):
    """Their README names every program."""
    text = (examples / "README.md").read_text()
    for path in [*examples.glob("c/*.c"), *examples.glob("python/*.py")]:
        assert f"`{path.relative_to(examples)}`" in text, path


def test_package_versions(prefix, environment, version, tmp_path):
    """CMake takes this version and refuses another minor one; both packages know where the models are."""
    major, minor, _ = version.split(".")
    source = tmp_path / "CMakeLists.txt"
    models = str(prefix / "share/driftless/models")

    def configure(wanted, ok):
        source.write_text("cmake_minimum_required(VERSION 3.22)\nproject(x LANGUAGES NONE)\n"
                          f"find_package(driftless {wanted} REQUIRED)\nmessage(\"at ${{driftless_MODELS_DIR}}\")\n")
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        return execute(["cmake", "-S", tmp_path, "-B", tmp_path / "b"], ok=ok, env=environment)

    assert f"at {models}\n" in configure(f"{major}.{minor}", True).stderr
    assert "compatible" in configure(f"{major}.{int(minor) + 1}", False).stderr
    assert "compatible" in configure(f"{int(major) + 1}.0", False).stderr
    shown = execute(["pkg-config", "--variable=modelsdir", "driftless"], env=environment).stdout.strip()
    assert os.path.realpath(shown) == os.path.realpath(models)
    assert execute(["pkg-config", "--modversion", "driftless"], env=environment).stdout.strip() == version
    static = execute(["pkg-config", "--static", "--libs", "driftless"], env=environment).stdout
    assert "-ljansson" in static and "-lm" in static
    shown = execute(["pkg-config", "--cflags", "--libs", "driftless"], env=environment).stdout.split()
    assert [word[:2] for word in shown] == ["-I", "-L", "-l"] and shown[2] == "-ldriftless"


# ---- the installed program -----------------------------------------------------------------------------

def test_installed_program(prefix, environment, openvino, version, tmp_path):
    """It runs from anywhere; OpenVINO's place, which went away with the build, is asked for with a sentence."""
    program, model = prefix / "bin/driftless", prefix / "share/driftless/models/fashion-vp"
    bare = {key: value for key, value in environment.items() if key != "LD_LIBRARY_PATH"}
    assert execute([program, "version"], env=bare).stdout == f"driftless {version}\n"
    sample = [program, "sample", model, "-n", "2", "--steps", "2", "-o", tmp_path / "x.png"]
    if not ctypes.util.find_library("openvino_c"):
        done = execute(sample, ok=False, env=bare)
        assert done.returncode == 3 and done.stderr.count("\n") == 1
        assert "OpenVINO" in done.stderr
        assert not openvino or "DRIFTLESS_OPENVINO" in done.stderr
    if openvino:
        library = next(openvino.glob("libs/libopenvino_c.so.*"))
        execute(sample, env=dict(bare, DRIFTLESS_OPENVINO=str(library)))
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_make_install(root):
    """make install hands PREFIX and DESTDIR on."""
    done = execute(["make", "-n", "install", "PREFIX=/opt/x", "DESTDIR=/stage"], cwd=root)
    assert "DESTDIR='/stage' cmake --install build/release --prefix '/opt/x'" in done.stdout


# ---- manual pages ----------------------------------------------------------------------------------------

PAGES = ["man1/driftless.1", "man7/driftless-samplers.7", "man3/libdriftless.3"]


@pytest.mark.parametrize("page", PAGES)
def test_manual_is_clean(page, prefix):
    execute(["mandoc", "-Tlint", "-W", "warning", prefix / "share/man" / page])


def shown(prefix, page):
    text = execute(["mandoc", "-Tascii", "-O", "width=200", prefix / "share/man" / page]).stdout
    return re.sub(r".\x08", "", text)


def test_manual_has_every_option(prefix, run):
    """Each option of each command's help stands in its section, with its default."""
    sections = re.split(r"^   (\w+)$", shown(prefix, PAGES[0]), flags=re.M)
    page = dict(zip(sections[1::2], sections[2::2]))
    commands = re.findall(r"^  (\w+) ", run("help").stdout.split("commands:")[1], re.M)
    assert len(commands) >= 12 and set(commands) <= set(page)
    for command in commands:
        told = run("help", command).stdout
        options = re.findall(r"^  (?:-\w, |    )--([\w-]+)", told, re.M)
        assert "help" in options
        for option in options:
            assert f"--{option}" in page[command] or len(options) == 1, (command, option)
    assert "(default: power:kappa=2)" in page["sample"]


def test_manual_has_every_sampler(prefix, run):
    page = shown(prefix, PAGES[1])
    for listing in ("solvers", "grids", "processes"):
        names = re.findall(r"^(\w+) - ", run(listing).stdout, re.M)
        assert len(names) > 5
        for name in names:
            assert re.search(rf"^ +{name} - ", page, re.M), name


def test_manual_has_every_function(prefix, functions):
    assert set(re.findall(r"\b(dfl_\w+)\(", shown(prefix, PAGES[2]))) == functions
