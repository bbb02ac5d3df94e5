"""Files around the package: workflows, templates, the citation, and the extras that the wheel is tested with."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

import check_extras

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def workflow(name: str) -> dict[Any, Any]:
    return load(ROOT / ".github" / "workflows" / f"{name}.yml")


def steps(content: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in content["jobs"].values() for step in job["steps"]]


def commands(content: dict[Any, Any]) -> str:
    return "\n".join(step["run"] for step in steps(content) if "run" in step)


def triggers(content: dict[Any, Any]) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    found: dict[str, Any] = content[True]
    return found


def test_there_are_workflows_for_tests_docs_and_release() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "release", "tests"]


@every_workflow
def test_a_workflow_only_names_targets_of_the_makefile(path: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z0-9-]+)", commands(load(path))))
    assert named
    assert named <= targets


@every_workflow
def test_a_workflow_may_only_read_unless_a_job_declares_more(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text("utf-8")
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 90


@every_workflow
def test_every_action_has_a_version(path: Path) -> None:
    for step in steps(load(path)):
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert re.fullmatch(r"[\w./-]+@(v\d+|release/v\d+)", step["uses"])


def test_tests_run_on_three_systems_with_every_supported_python() -> None:
    jobs = workflow("tests")["jobs"]
    systems = ["ubuntu-latest", "macos-latest", "windows-latest"]
    claimed = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert jobs["newest"]["strategy"]["matrix"] == {"os": systems, "python": claimed}
    assert jobs["oldest"]["strategy"]["matrix"] == {"os": systems}
    assert PROJECT["requires-python"] == f">={claimed[0]}"
    oldest = [step["with"]["python-version"] for step in jobs["oldest"]["steps"] if "with" in step]
    assert oldest == [claimed[0]]


@pytest.mark.parametrize(
    ("job", "constraints"), [("newest", "requirements/constraints.txt"), ("oldest", "requirements/oldest.txt")]
)
def test_the_commands_on_windows_equal_those_of_the_makefile(job: str, constraints: str) -> None:
    (step,) = [step for step in workflow("tests")["jobs"][job]["steps"] if step.get("if") == "runner.os == 'Windows'"]
    install, test = step["run"].splitlines()
    (light,) = re.findall(r"^LIGHT := (.*)$", MAKEFILE, re.MULTILINE)
    assert test == f'python -m pytest -n auto --dist worksteal -m "{light}"'
    wanted = f"-c {constraints} -r requirements/examples.txt -e '.[dev,plot,sklearn,study]'"
    assert install == f"python -m pip install {wanted}".replace("'", '"')
    assert wanted in MAKEFILE


def test_nothing_is_published_without_a_tag() -> None:
    release = workflow("release")
    assert triggers(release) == {"push": {"tags": ["v*"]}}
    publish = release["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    others = [path for path in WORKFLOWS if path.stem != "release" and "pypi-publish" in path.read_text("utf-8")]
    assert not others


def test_a_pull_request_publishes_no_site() -> None:
    docs = workflow("docs")
    assert "pull_request" in triggers(docs)
    assert docs["jobs"]["publish"]["if"] == "github.event_name != 'pull_request' && github.ref == 'refs/heads/main'"
    assert docs["jobs"]["publish"]["needs"] == "build"


@pytest.mark.parametrize("path", [path for path in TEMPLATES if path.stem != "config"], ids=lambda path: path.stem)
def test_an_issue_template_has_a_required_field(path: Path) -> None:
    template = load(path)
    assert template["name"]
    assert template["description"]
    fields = template["body"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["type"] in ("input", "textarea") and field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_citation_matches_the_package() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == PROJECT["name"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["license"] == PROJECT["license"]
    assert citation["abstract"] == PROJECT["description"]
    # The version is only in src/flskew/_version.py.
    assert set(citation) == {"cff-version", "message", "type", "title", "abstract", "authors", "license", "keywords"}


def test_the_version_is_written_in_one_place() -> None:
    assert PROJECT["dynamic"] == ["readme", "version"]
    assert "version" not in PROJECT
    (version,) = re.findall(r'^__version__ = "(.*)"$', (ROOT / "src/flskew/_version.py").read_text("utf-8"), re.M)
    for path in (ROOT / "src").rglob("*.py"):
        if path.name != "_version.py":
            assert f'"{version}"' not in path.read_text("utf-8"), f"{path.name} repeats the version"


def test_the_projects_address_is_written_in_one_file() -> None:
    addresses = [url.rstrip("/") for url in PROJECT["urls"].values()]
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if name != "pyproject.toml" and (ROOT / name).is_file():
            text = (ROOT / name).read_text("utf-8", errors="ignore")
            assert not any(address in text for address in addresses), f"{name} repeats the project's address"


def test_every_extra_is_tested_with_the_wheel() -> None:
    assert set(check_extras.EXTRAS) == set(PROJECT["optional-dependencies"]) - {"dev", "docs"}
    for extra in check_extras.EXTRAS.values():
        assert set(extra.others) <= set(PROJECT["optional-dependencies"])
        compile(extra.code, "use.py", "exec")


def test_on_a_package_index_every_link_of_the_readme_starts_with_the_projects_address() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    address = project["project"]["urls"]["Repository"]
    (change,) = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    readme = re.sub(change["pattern"], change["replacement"], (ROOT / "README.md").read_text("utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert len(links) > 10
    assert all(link.startswith((address, "https://flower.ai")) for link in links)


def test_every_relative_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert all((ROOT / link).is_file() for link in links)
