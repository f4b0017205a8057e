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
WORKFLOWS = ROOT / ".github" / "workflows"
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge calls a package by another name


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def project():
    return pyproject()["project"]


def parsed(lines):
    """{name: requirement} of a list of requirements, none of them twice."""
    requirements = [Requirement(line) for line in lines]
    names = [canonicalize_name(r.name) for r in requirements]
    assert len(set(names)) == len(names), f"listed twice: {sorted(names)}"
    return dict(zip(names, requirements, strict=True))


def requirements():
    """{name: requirement} of the package and all its extras."""
    extras = project()["optional-dependencies"]
    return parsed([*project()["dependencies"], *(line for extra in extras.values() for line in extra)])


def pins(file):
    """{name: version} of a file of constraints, which may hold nothing but exact pins."""
    lines = (ROOT / file).read_text().splitlines()
    pin_pattern = r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)"
    found = [re.fullmatch(pin_pattern, line) for line in lines if not line.startswith("#")]
    assert all(found), f"{file} holds a line that is not NAME==VERSION"
    return {canonicalize_name(pin[1]): pin[2] for pin in found}


def workflow(name):
    return yaml.safe_load((WORKFLOWS / name).read_text())


def commands(job):
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-floors.txt"])
def test_every_requirement_is_pinned_once_and_nothing_else_is(file):
    assert set(pins(file)) == set(requirements())


def test_the_floor_of_every_requirement_is_the_version_that_the_floors_are_tested_with():
    floors = pins("constraints-floors.txt")
    assert {name: str(r.specifier) for name, r in requirements().items()} == {n: f">={v}" for n, v in floors.items()}


def test_no_pin_is_below_its_floor():
    floors = pins("constraints-floors.txt")
    below = [name for name, version in pins("constraints.txt").items() if Version(version) < Version(floors[name])]
    assert below == []


def test_what_builds_the_package_is_what_the_tests_build_it_with():
    (backend,) = map(Requirement, pyproject()["build-system"]["requires"])
    assert str(backend) == str(requirements()["setuptools"])


def test_conda_installs_what_users_need_and_pip_the_rest():
    """Ranges, since conda-forge does not carry every version; `make` alone installs the exact ones."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "toylab"  # which Binder reads
    assert environment["channels"] == ["conda-forge"]
    (by_pip,) = (entry for entry in environment["dependencies"] if not isinstance(entry, str))
    assert by_pip == {"pip": ["-e .[lab,study,transport,test]"]}
    by_conda = parsed(entry for entry in environment["dependencies"] if isinstance(entry, str))
    assert str(by_conda.pop("pip")) == "pip"
    assert by_conda.pop("python").specifier == SpecifierSet(project()["requires-python"])
    extras = project()["optional-dependencies"]
    wanted = parsed([*project()["dependencies"], *extras["lab"], *extras["study"]])
    assert {name: r.specifier for name, r in by_conda.items()} == {
        canonicalize_name(CONDA_NAMES.get(name, name)): r.specifier for name, r in wanted.items()
    }


def test_the_version_is_written_once_and_cited():
    assert toylab.__version__ == project()["version"]
    assert project()["version"] not in (ROOT / "toylab" / "__init__.py").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # all that the format asks for


def test_the_address_of_the_repository_is_written_once():
    urls = project()["urls"]
    assert set(urls) == {"Repository", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(urls["Repository"]) for url in urls.values())


def test_every_python_that_is_promised_is_tested_for():
    oldest = project()["requires-python"].removeprefix(">=")
    promised = [c.rsplit(" ", 1)[1] for c in project()["classifiers"] if re.search(r"Python :: 3\.\d+$", c)]
    assert promised[0] == oldest
    assert pyproject()["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    matrix = workflow("ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert (matrix[0], matrix[-1]) == (promised[0], promised[-1])


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # what an outer `make test ARGS=...` hands down would change the inner one
    handed_down = ("MAKE", "MFLAGS", "ARGS", "OUT", "SEED", "TORCH", "PYTHON", "VENV", "CONSTRAINTS")
    env = {k: v for k, v in os.environ.items() if k not in handed_down and not k.startswith("MAKE")}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_make_alone_lists_every_target():
    listed = make().stdout
    assert listed == make("help").stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert {"help", "env", "figures", "test", "floors", "lab", "notebooks", "site", "lint", "clean"} < set(phony)
    for target in phony:
        assert re.search(rf"^  {target} +\S", listed, re.MULTILINE), f"make help does not list {target}"


def test_make_test_lints_checks_types_and_runs_the_suite_and_the_notebooks_strictly():
    plan = make("-n", "test").stdout.replace("\\\n", "")
    lint = [".venv/bin/ruff check .", ".venv/bin/ruff format --check .", ".venv/bin/mypy"]
    assert set(lint) < set(plan.splitlines())
    assert re.search(
        r"-m pytest -n auto --dist loadfile .*--nbval .*tests/nbval_sanitize\.cfg notebooks "
        r"--ignore=tests/browser tests toylab *$",
        plan,
        re.MULTILINE,
    )
    assert "--nbval-lax" not in plan
    assert pyproject()["tool"]["mypy"]["strict"] is True
    assert pyproject()["tool"]["mypy"]["files"] == ["toylab", "tests/static_types.py"]


def test_make_lab_is_the_command():
    plan = make("-n", "lab", "ARGS=--no-browser").stdout
    assert ".venv/bin/toylab lab --no-browser" in plan.splitlines()


def test_make_floors_installs_the_floors_beside_the_environment():
    plan = make("-n", "-B", "floors").stdout  # -B: also where that environment is there already
    torch = pins("constraints-floors.txt")["torch"]
    assert "version=$(sed -n 's/^torch==//p' constraints-floors.txt)" in plan and torch
    assert re.search(
        r'-m pip install .*-c constraints-floors\.txt -e "\.\[lab,study,transport,test,docs\]"$', plan, re.MULTILINE
    )
    assert ".venv-floors/bin/python -m pytest" in plan
    assert ".venv/" not in plan


def test_make_installs_no_peer_of_the_benchmarks():
    assert '-e ".[lab,study,transport,test,docs]"' in (ROOT / "Makefile").read_text()


def test_make_refuses_an_unknown_build_of_torch():
    answer = make("env", "TORCH=tpu")
    assert answer.returncode != 0
    assert "TORCH is 'tpu': it must be cpu or cuda." in answer.stderr


def test_ci_runs_the_tests_and_builds_the_site():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert [line for line in lines if "make" in line] == [
        "make env", "make site & # on one core, beside the lint and the types on the other", "make test",
    ]  # fmt: skip
    assert lines[-1] == 'wait "$site"'  # and fails if that did
    assert commands(workflow("ci.yml")["jobs"]["test"]) == [".ci/run"]
    assert commands(workflow("ci.yml")["jobs"]["floors"]) == ["make floors"]


def test_what_the_suite_leaves_out_is_run_by_night():
    assert "MARKS  ?= not nightly" in (ROOT / "Makefile").read_text()
    assert commands(workflow("nightly.yml")["jobs"]["suite"]) == ["make suite MARKS=nightly"]


def test_ci_drives_the_widgets_in_a_browser_and_keeps_the_screenshots():
    job = workflow("ci.yml")["jobs"]["browser"]
    assert commands(job) == ["google-chrome --version", "make test-browser"]
    (upload,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/upload-artifact@"))
    assert job["env"]["TOYLAB_SCREENSHOTS"] == "${{ github.workspace }}/" + upload["with"]["path"]
    tests = "\n".join(path.read_text() for path in (ROOT / "tests" / "browser").glob("*.py"))
    assert "TOYLAB_SCREENSHOTS" in tests and '"google-chrome"' in tests


def test_the_peers_are_installed_at_night_where_their_tests_are():
    install, suite = commands(workflow("nightly.yml")["jobs"]["peers"])[-2:]
    assert '".[bench]"' in install
    folder = suite.split()[-1]
    tests = "\n".join(path.read_text() for path in (ROOT / folder).glob("*.py"))
    for name in parsed(project()["optional-dependencies"]["bench"]):
        assert name in tests, f"no test in {folder} asks for {name}"


def test_a_release_is_tested_checked_and_published_without_a_password():
    jobs = workflow("release.yml")["jobs"]
    assert commands(jobs["test"]) == [".ci/run"]
    assert commands(jobs["build"])[-1] == "python -m twine check --strict dist/*"
    publish = jobs["publish"]
    assert publish["needs"] == ["test", "build"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "password" not in str(publish)


def test_before_a_commit_what_lint_runs_is_run_and_no_output_is_stripped():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    plan = make("-n", "lint").stdout
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].removesuffix(" --force-exclude") in plan
    assert {hook["id"] for hook in local["hooks"]} == {"ruff-check", "ruff-format", "mypy"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.stem)
def test_the_templates_of_issues_are_forms(path):
    form = yaml.safe_load(path.read_text())
    if path.stem != "config":
        assert {"name", "description", "body"} <= set(form)
        assert all(field["attributes"]["label"] for field in form["body"])


def test_binder_opens_pages_that_are_there():
    text = "\n".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))
    pages = set(re.findall(r"lab/tree/(\S+?\.ipynb)", text))
    assert "notebooks/00_start_here.ipynb" in pages
    assert all((ROOT / page).is_file() for page in pages)
