"""The project as a whole: what is tracked, what is shipped, what an import costs, what must agree with what."""
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import pvlab

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def tracked() -> list[Path]:
    """The files that git tracks or would track; everything that is not ignored where there is no git."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    ignored = re.compile(r"/(\.\w+_cache|\.venv|__pycache__|\.hypothesis|\.ipynb_checkpoints|build|dist)/|\.egg-info/")
    return [file for file in ROOT.rglob("*") if file.is_file() and not ignored.search(file.as_posix())]


def run_python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout


# One version of the truth

def requirement(line: str) -> tuple[str, frozenset[str]]:
    """"unicorn>=2.1.4,<3" as ("unicorn", {">=2.1.4", "<3"})."""
    name, bounds = re.fullmatch(r"([\w-]+)(.*)", line.strip()).groups()
    return name, frozenset(bounds.split(",")) - {""}


def test_environment_yml_asks_for_what_pyproject_asks_for():
    lines = (ROOT / "environment.yml").read_text("utf-8").splitlines()
    entries = [line.strip().removeprefix("- ") for line in lines if line.strip().startswith("- ")]
    pip_section = entries[entries.index("pip:") + 1:]
    conda = dict(requirement(entry) for entry in entries[entries.index("conda-forge") + 1:entries.index("pip:")])
    pip = dict(requirement(entry) for entry in pip_section if not entry.startswith("-e"))

    assert conda.pop("python") == frozenset({PROJECT["requires-python"]})
    assert conda.pop("pip") == frozenset()
    assert conda | pip == dict(map(requirement, PROJECT["dependencies"]))
    assert {"unicorn", "ziglang", "capstone"} <= set(pip), "conda-forge's are not what pvlab needs"
    assert "-e .[test]" in pip_section


def test_version_is_said_once_in_two_places():
    assert pvlab.__version__ == PROJECT["version"]


# What is tracked

def test_no_tracked_file_names_a_registry_or_one_machine():
    private = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(org|com)|debian\.org|anaconda\.org|/wor[k]/|/roo[t]/")
    named = [f"{file.relative_to(ROOT)}: {found[0]}" for file in tracked()
             if (found := private.search(file.read_text("utf-8", "replace")))]
    assert named == []


def test_no_tracked_file_is_a_binary_a_cache_or_too_large():
    allowed = {".png"}
    for file in tracked():
        name, content = file.relative_to(ROOT).as_posix(), file.read_bytes()
        assert file.suffix in allowed or b"\0" not in content, f"{name} is binary"
        assert not re.search(r"__pycache__|\.ipynb_checkpoints|\.egg-info|\.lock$|\.DS_Store", name), name
        assert len(content) < 1_000_000, f"{name} is too large"


def test_lines_end_as_gitattributes_says():
    crooked = [file.name for file in tracked() if file.suffix != ".png" and b"\r\n" in file.read_bytes()]
    assert crooked == []


# What is shipped

@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built without a network by the build backend that the test environment holds."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
                           "--no-build-isolation", "--wheel-dir", folder, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("pvlab-*.whl"))


def test_wheel_is_small(wheel):
    assert wheel.stat().st_size < 1_000_000


def test_wheel_holds_the_package_and_its_data(wheel):
    def of_package(names):
        return {name for name in names if name.startswith("pvlab/")}
    shipped = of_package(zipfile.ZipFile(wheel).namelist())
    assert shipped == of_package(file.relative_to(ROOT).as_posix() for file in tracked())
    assert {Path(name).suffix for name in shipped} >= {".py", ".toml", ".c", ".S", ".h", ".ld"}


def test_wheel_runs_a_guest_and_says_that_the_lessons_are_elsewhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)

    def command(*words):
        return subprocess.run([sys.executable, "-m", "pvlab", *words], cwd=tmp_path, capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert command("run", "hello").returncode == 0
    lab = command("lab")
    assert lab.returncode == 2
    assert lab.stderr == ("pvlab: the lessons are not here: they come with a checkout of pvlab, "
                          "not with the installed package\n")


# What an import costs

def test_import_loads_nothing_that_is_slow():
    slow = {"capstone", "matplotlib", "nbformat", "numpy", "ipywidgets", "IPython", "rich", "typer", "elftools"}
    loaded = run_python("import pvlab, sys; print(*{name.partition('.')[0] for name in sys.modules})")
    assert slow & set(loaded.split()) == set()


def test_a_run_does_not_load_what_draws_or_tests():
    code = ("import pvlab, sys; pvlab.Native().run(pvlab.guest('hello')); "
            "print(*{name.partition('.')[0] for name in sys.modules})")
    assert {"matplotlib", "nbformat", "ipywidgets", "pytest"} & set(run_python(code).split()) == set()


# The package's own face

def test_every_exported_name_is_there():
    assert {name: hasattr(pvlab, name) for name in pvlab.__all__} == dict.fromkeys(pvlab.__all__, True)
    assert dir(pvlab) == sorted(pvlab.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pvlab' has no attribute 'nothing'"):
        pvlab.nothing
