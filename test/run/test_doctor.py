"""The doctor: a whole installation is well, each thing that is missing is named with its mend."""

import json

from avatar_forcing_ros import cli
from avatar_forcing_ros.motion.tracking import models
from avatar_forcing_ros.run import doctor


def by_name() -> dict[str, doctor.Finding]:
    return {finding.what: finding for finding in doctor.examine()}


def test_this_installation_is_well(tmp_path, capsys):
    out = tmp_path / "doctor.json"
    assert cli.main(["doctor", "--json", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["well"] and {"face models", "embedded network"} <= {f["what"] for f in told["findings"]}
    assert "good" in capsys.readouterr().out


def test_missing_face_models_are_told_with_their_mend(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(models.ENVIRONMENT, str(tmp_path))
    assert cli.main(["doctor"]) == 1
    seen = capsys.readouterr()
    assert "models fetch" in seen.out
    assert seen.err.startswith("avatar-forcing: to be fixed: face models")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy", "no_such_package"))
    finding = by_name()["Python packages"]
    assert finding.state == doctor.WRONG and finding.told == "no_such_package" and finding.mend


def test_little_shared_memory_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "_LEAST_SHARED_MEMORY_MB", 10**9)
    assert by_name()["shared memory"].state == doctor.WRONG


def test_a_cache_that_cannot_be_made_is_told_and_needs_no_mending(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert by_name()["cache"].state != doctor.WRONG
    assert doctor.report(doctor.examine())["findings"]


def test_a_report_cannot_be_written_is_one_line(capsys):
    assert cli.main(["doctor", "--json", "/nowhere/at/all.json"]) == 1
    assert "/nowhere/at/all.json: cannot be written" in capsys.readouterr().err
