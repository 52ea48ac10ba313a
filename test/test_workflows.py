"""What runs on other people's machines is what runs here: the workflows parse, and their scripts and targets exist."""

import os
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(workflow: Path) -> list[str]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: p.name)
def test_scripts_and_targets_exist(workflow):
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    assert steps(workflow)
    for run in steps(workflow):
        for target in re.findall(r"(?:^|&& )make ([\w-]+)", run, re.M):
            assert target in targets, f"{workflow.name}: make {target}"
        for script in re.findall(r"(?:^|\s|/)((?:\.ci|tools)/[\w/.]+)", run):
            assert (ROOT / script).is_file(), f"{workflow.name}: {script}"


@pytest.mark.parametrize("script", sorted((ROOT / ".ci").iterdir()), ids=lambda p: p.name)
def test_scripts_can_be_run(script):
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash")


def test_every_supported_distribution_is_tried():
    """The support matrix of the README and the workflow name the same distributions."""
    matrix = yaml.safe_load((ROOT / ".github/workflows/ros.yml").read_text())["jobs"]["ros"]["strategy"]["matrix"]
    readme = (ROOT / "README.md").read_text()
    for name in matrix["distribution"]:
        assert name.capitalize() in readme, name
