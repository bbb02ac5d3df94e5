"""Every example is a Flower app with the layout of Flower's own quickstarts."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from .apps import EXAMPLES

FOLDERS = sorted(project.parent for project in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def test_a_project_has_the_name_of_its_folder_and_a_license(folder: Path, project: dict) -> None:
    assert project["project"]["name"] == folder.name
    assert project["project"]["license"] == "Apache-2.0"
    assert any(requirement.startswith("flskew[") for requirement in project["project"]["dependencies"])


def test_the_components_of_an_app_exist(folder: Path, project: dict) -> None:
    # With a table of federations, `flwr run` rewrites the file.
    assert set(project["tool"]["flwr"]) == {"app"}
    for component in project["tool"]["flwr"]["app"]["components"].values():
        module, _, name = component.partition(":")
        tree = ast.parse((folder / module.replace(".", "/")).with_suffix(".py").read_text("utf-8"))
        assert name in {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}


def test_every_setting_is_read_and_every_setting_read_exists(folder: Path, project: dict) -> None:
    read = set()
    for path in folder.glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) in {
                "config",
                "self.config",
                "context.run_config",
            }:
                read.add(ast.literal_eval(node.slice))
    if folder.name != "three-hospitals":  # which reads them through the fields of a dataclass
        # The server sends the other two in every round.
        assert read - {"server-round", "tables"} == set(project["tool"]["flwr"]["app"]["config"])


def test_the_site_lists_every_example(folder: Path) -> None:
    assert f"examples/{folder.name}" in (EXAMPLES.parent / "docs" / "examples.md").read_text("utf-8")
