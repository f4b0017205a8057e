"""The files that install, build and check the project agree with one another."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import toylab

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge calls a package by another name


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements():
    """{name: requirement} of the package and all its extras."""
    extras = project()["optional-dependencies"]
    lines = [*project()["dependencies"], *(line for extra in extras.values() for line in extra)]
    parsed = [Requirement(line) for line in lines]
    names = [canonicalize_name(r.name) for r in parsed]
    assert len(set(names)) == len(names), f"listed twice: {sorted(names)}"
    return dict(zip(names, parsed, strict=True))


def constraints():
    """{name: version} of constraints.txt, which may hold nothing but exact pins."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pin_pattern = r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)"
    pins = [re.fullmatch(pin_pattern, line) for line in lines if not line.startswith("#")]
    assert all(pins), "constraints.txt holds a line that is not NAME==VERSION"
    return {canonicalize_name(pin[1]): Version(pin[2]) for pin in pins}


def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def conda_pins():
    """{conda name: what follows it} of the conda part of environment.yml."""
    names = [entry for entry in environment()["dependencies"] if isinstance(entry, str)]
    entries = [re.fullmatch(r"([a-z0-9_-]+)(.*)", name) for name in names]
    return {entry[1]: entry[2] for entry in entries}


def test_every_requirement_is_pinned_once_and_nothing_else_is():
    assert set(constraints()) == set(requirements())


@pytest.mark.parametrize("name", sorted(requirements()))
def test_pin_satisfies_the_bound_of_pyproject(name):
    specifier = requirements()[name].specifier
    assert str(specifier), f"{name} has no lower bound"
    assert constraints()[name] in specifier


def test_environment_lists_the_same_packages_with_the_same_versions():
    peers = {canonicalize_name(Requirement(line).name) for line in project()["optional-dependencies"]["bench"]}
    kept = {name: version for name, version in constraints().items() if name not in peers}
    wanted = {CONDA_NAMES.get(name, name): f"={version}" for name, version in kept.items()}
    found = conda_pins()
    assert found.pop("pip") == ""
    assert SpecifierSet(found.pop("python")) == SpecifierSet(project()["requires-python"])
    assert found == wanted


def test_environment_is_what_binder_reads():
    assert environment()["name"] == "toylab"
    assert environment()["channels"] == ["conda-forge"]
    assert [e for e in environment()["dependencies"] if not isinstance(e, str)] == [{"pip": ["-e ."]}]


def test_version_is_told_once():
    assert toylab.__version__ == project()["version"]
    assert project()["version"] not in (ROOT / "toylab" / "__init__.py").read_text()


def test_ruff_and_ci_start_at_the_oldest_python_that_is_promised():
    oldest = project()["requires-python"].removeprefix(">=")
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert tool["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert min(workflow["jobs"]["test"]["strategy"]["matrix"]["python"]) == oldest


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # what an outer `make test ARGS=...` hands down would change the inner one
    handed_down = ("MAKE", "MFLAGS", "ARGS", "OUT", "SEED", "TORCH", "PYTHON")
    env = {k: v for k, v in os.environ.items() if k not in handed_down and not k.startswith("MAKE")}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_make_alone_lists_every_target():
    listed = make().stdout
    assert listed == make("help").stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert {"help", "env", "figures", "test", "test-browser", "lab", "notebooks", "site", "lint", "clean"} == set(phony)
    for target in phony:
        assert re.search(rf"^  {target} +\S", listed, re.MULTILINE), f"make help does not list {target}"


def test_make_test_lints_and_runs_the_suite_and_the_notebooks_strictly():
    plan = make("-n", "test").stdout
    assert "ruff check" in plan and "ruff format --check" in plan
    assert re.search(r"-m pytest -n auto --dist loadfile --ignore=tests/browser *$", plan, re.MULTILINE)
    assert re.search(r"--nbval .*tests/nbval_sanitize\.cfg notebooks/", plan.replace("\\\n", ""))
    assert "--nbval-lax" not in plan


def test_make_lab_is_the_command():
    assert re.search(
        r"^\.venv/bin/toylab lab --no-browser$", make("-n", "lab", "ARGS=--no-browser").stdout, re.MULTILINE
    )


def test_make_installs_no_peer_of_the_benchmarks():
    assert '-e ".[lab,test]"' in (ROOT / "Makefile").read_text()
    assert "bench" not in (ROOT / "Makefile").read_text()


def test_make_refuses_an_unknown_build_of_torch():
    answer = make("env", "TORCH=tpu")
    assert answer.returncode != 0
    assert "TORCH is 'tpu': it must be cpu or cuda." in answer.stderr


def test_ci_runs_make_test():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert re.search(r"^make test$", script.read_text(), re.MULTILINE)
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step] == [".ci/run"]


def test_ci_drives_the_widgets_in_a_browser_keeps_the_screenshots_and_renders_the_site():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["browser"]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["google-chrome --version", "make test-browser", "make site"]
    (upload,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/upload-artifact@"))
    assert job["env"]["TOYLAB_SCREENSHOTS"] == "${{ github.workspace }}/" + upload["with"]["path"]
    tests = "\n".join(path.read_text() for path in (ROOT / "tests" / "browser").glob("*.py"))
    assert "TOYLAB_SCREENSHOTS" in tests and '"google-chrome"' in tests


def test_binder_opens_the_first_page():
    (page,) = set(re.findall(r"lab/tree/(\S+?\.ipynb)`", (ROOT / "README.md").read_text()))
    assert (ROOT / page).is_file()
