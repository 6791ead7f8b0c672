"""`teleop doctor --deploy`: what it reads below a folder, and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from teleopd.drivers.diagnosis import NOTE, OK, PROBLEM
from teleopd.launch import cli, deploy
from teleopd.launch.deploy_doctor import DeployFacts, findings, observe

GOOD = DeployFacts(
    cores=8, governors=("performance",), isolated="2-3", preempt_rt=True, rtprio=99, memlock_unlimited=True,
    rmem_max=4_194_304, systemd=True, units={"teleopd.target": "current"}, run_files={"/etc/teleopd/g1.toml": ""},
)  # fmt: skip


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_is_read(tmp_path: Path):
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    put(tmp_path, "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n")
    put(tmp_path, "sys/devices/system/cpu/isolated", "2-3\n")
    put(tmp_path, "sys/kernel/realtime", "1\n")
    put(tmp_path, "sys/class/net/wlan0/wireless/x", "")
    put(tmp_path, "proc/sys/net/core/rmem_max", "212992\n")
    put(tmp_path, "proc/sys/kernel/sched_rt_runtime_us", "950000\n")
    put(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n/dev/a partition 8388604 204800 -2\n")
    put(tmp_path, "etc/teleopd/good.toml", 'robot = "unitree_g1"\n')
    put(tmp_path, "etc/teleopd/bad.toml", 'robots = "x"\n')
    for one in deploy.plan(tmp_path, Path("/opt/teleopd/bin/teleop"), "unitree_g1"):
        if one.path.name in ("teleopd@.service", "teleopd.target"):
            put(tmp_path, str(one.path.relative_to(tmp_path)), one.text)
    target = tmp_path / "etc/systemd/system/teleopd.target"
    target.write_text(target.read_text() + "# changed\n")
    facts = observe(tmp_path)
    assert (facts.governors, facts.isolated, facts.preempt_rt) == (("performance", "powersave"), "2-3", True)
    assert (facts.rmem_max, facts.swap_kib, facts.rt_runtime_us) == (212992, 204800, 950000)
    assert facts.wireless == ("wlan0",)
    assert facts.units == {
        "teleopd-lcm-bridge@.service": "absent", "teleopd.target": "differs", "teleopd@.service": "current",
    }  # fmt: skip
    assert facts.run_files == {
        str(tmp_path / "etc/teleopd/bad.toml"): "unknown key 'robots'; did you mean 'robot'?",
        str(tmp_path / "etc/teleopd/good.toml"): "",
    }


def test_a_bare_machine_is_read_without_an_error(tmp_path: Path):
    facts = observe(tmp_path)
    assert (facts.governors, facts.isolated, facts.rmem_max, facts.run_files, facts.systemd) == ((), "", 0, {}, False)
    assert [f.level for f in findings(facts)].count(PROBLEM) == 0


def test_a_fit_computer_has_nothing_to_mend():
    assert {finding.level for finding in findings(GOOD)} == {OK}


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"units": {"teleopd.target": "differs"}}, PROBLEM, "teleopd.target is of another version"),
        ({"units": {"teleopd.target": "absent"}}, NOTE, "teleopd.target is not installed"),
        ({"run_files": {"/x.toml": "unknown key"}}, PROBLEM, "/x.toml cannot be used: unknown key"),
        ({"governors": ("powersave",)}, PROBLEM, "the processor saves power (governor powersave)"),
        ({"rt_runtime_us": 0}, PROBLEM, "the kernel forbids real-time processes to run"),
        ({"rtprio": 0}, NOTE, "this account may ask for real-time priority up to 0, and 80 is wanted"),
        ({"memlock_unlimited": False}, NOTE, "this account may not lock its memory"),
        ({"rmem_max": 212992}, NOTE, "receive buffers end at 212992 bytes"),
        ({"wireless": ("wlan0",)}, NOTE, "wlan0 is wireless"),
        ({"swap_kib": 204800}, NOTE, "200 MiB of swap are in use"),
        ({"preempt_rt": False}, NOTE, "the kernel is not PREEMPT_RT"),
        ({"isolated": ""}, NOTE, "no core is isolated"),
        ({"cores": 2}, NOTE, "2 cores: the motor loop shares one with everything else"),
        ({"systemd": False}, NOTE, "systemd does not run here"),
    ],
)  # fmt: skip
def test_each_fault_is_one_finding_with_something_to_do(change: dict[str, object], level: str, words: str):
    from dataclasses import replace

    found = [finding for finding in findings(replace(GOOD, **change)) if finding.level != OK]  # type: ignore[arg-type]
    assert [(finding.level, finding.what) for finding in found] == [(level, words)]
    assert found[0].do


def test_on_this_computer_it_prints_facts_and_findings(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--deploy", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is (ended.value.code == 0)
    assert {finding["level"] for finding in answer["findings"]} <= {OK, NOTE, PROBLEM}
    assert set(answer["facts"]["units"]) >= {"teleopd.target", "teleopd@.service"}
