"""`teleop doctor --deploy`: is this computer fit to serve a robot, unattended and in real time? It changes nothing."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from teleopd.drivers.diagnosis import NOTE, OK, PROBLEM, Finding
from teleopd.launch import deploy
from teleopd.launch.config import ConfigError
from teleopd.launch.config_resolution import resolve
from teleopd.service.robot_io_process import PRIORITY

RMEM_BYTES = 2_097_152
"""Receive buffer that Cyclone DDS asks for where it may; the kernel's default is a tenth of it."""
GUIDE = "docs/deploy.md, tuning"


@dataclass(frozen=True, slots=True)
class DeployFacts:
    """What was read."""

    cores: int = 0
    governors: tuple[str, ...] = ()
    isolated: str = ""
    """Cores the scheduler leaves alone, as the kernel lists them."""
    preempt_rt: bool = False
    rtprio: int = 0
    memlock_unlimited: bool = False
    rmem_max: int = 0
    swap_kib: int = 0
    rt_runtime_us: int = -1
    """-1: real-time processes may use a core whole; 950000 is the kernel's default."""
    systemd: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    """Unit -> 'current', 'differs' or 'absent'."""
    run_files: Mapping[str, str] = field(default_factory=dict)
    """Run file -> empty, or why it cannot be used."""
    wireless: tuple[str, ...] = ()
    """Network interfaces without a cable."""


def observe(root: Path = Path("/")) -> DeployFacts:
    """Read what there is below `root`; what cannot be read is left at nothing."""
    proc, sys_ = root / "proc", root / "sys"
    cpu = sys_ / "devices/system/cpu"
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return DeployFacts(
        cores=os.cpu_count() or 0,
        governors=tuple(sorted({_text(path) for path in cpu.glob("cpu[0-9]*/cpufreq/scaling_governor")})),
        isolated=_text(cpu / "isolated"),
        preempt_rt=_text(sys_ / "kernel/realtime") == "1" or "PREEMPT_RT" in _text(proc / "version"),
        rtprio=_rtprio(),
        memlock_unlimited=soft == resource.RLIM_INFINITY,
        rmem_max=_number(proc / "sys/net/core/rmem_max"),
        swap_kib=_swap(_text(proc / "swaps")),
        rt_runtime_us=_number(proc / "sys/kernel/sched_rt_runtime_us", -1),
        systemd=(root / "run/systemd/system").is_dir() and shutil.which("systemctl") is not None,
        units=dict(_units(root)),
        run_files=dict(_run_files(root)),
        wireless=tuple(sorted(path.parent.name for path in sys_.glob("class/net/*/wireless"))),
    )


def findings(facts: DeployFacts) -> list[Finding]:
    """In words, with what to do."""
    return [*_installed(facts), *_real_time(facts), *_network(facts)]


def _installed(facts: DeployFacts) -> Iterator[Finding]:
    if not facts.systemd:
        yield Finding(NOTE, "systemd does not run here", "start teleop serve by hand or in a container")
    for unit, state in facts.units.items():
        if state == "absent":
            yield Finding(NOTE, f"{unit} is not installed", "teleop deploy install")
        elif state == "differs":
            yield Finding(PROBLEM, f"{unit} is of another version", "teleop deploy install")
        else:
            yield Finding(OK, f"{unit} is installed")
    for file, why in facts.run_files.items():
        if why:
            yield Finding(PROBLEM, f"{file} cannot be used: {why}", "correct it; docs/configuration.md lists the keys")
        else:
            yield Finding(OK, f"{file} can be used")


def _real_time(facts: DeployFacts) -> Iterator[Finding]:
    if facts.rtprio < PRIORITY:
        yield Finding(
            NOTE, f"this account may ask for real-time priority up to {facts.rtprio}, and {PRIORITY} is wanted",
            "the units grant it; by hand: LimitRTPRIO, or rtprio in /etc/security/limits.d",
        )  # fmt: skip
    else:
        yield Finding(OK, f"real-time priority {PRIORITY} is permitted")
    if not facts.memlock_unlimited:
        yield Finding(NOTE, "this account may not lock its memory", "the units grant it; by hand: memlock unlimited")
    slow = [name for name in facts.governors if name not in ("performance", "schedutil")]
    if slow:
        saves = f"the processor saves power (governor {', '.join(slow)})"
        yield Finding(PROBLEM, saves, f"cpupower frequency-set -g performance; {GUIDE}")
    if facts.cores and facts.cores < 4:
        yield Finding(NOTE, f"{facts.cores} cores: the motor loop shares one with everything else", GUIDE)
    if not facts.preempt_rt:
        yield Finding(NOTE, "the kernel is not PREEMPT_RT", f"it cuts the worst case: {GUIDE}")
    if not facts.isolated:
        yield Finding(NOTE, "no core is isolated", f"isolcpus or a cpuset, for the last microseconds: {GUIDE}")
    if facts.rt_runtime_us == 0:
        what = "the kernel forbids real-time processes to run"
        yield Finding(PROBLEM, what, "sysctl kernel.sched_rt_runtime_us=950000")
    if facts.swap_kib:
        used = f"{facts.swap_kib // 1024} MiB of swap are in use"
        yield Finding(NOTE, used, "the motor process locks its memory; the other stages may be swapped: swapoff -a")


def _network(facts: DeployFacts) -> Iterator[Finding]:
    if 0 < facts.rmem_max < RMEM_BYTES:
        what = f"receive buffers end at {facts.rmem_max} bytes"
        yield Finding(NOTE, what, f"sysctl net.core.rmem_max={RMEM_BYTES}; {GUIDE}")
    for name in facts.wireless:
        yield Finding(NOTE, f"{name} is wireless", "fine for a headset; the robot itself belongs on a cable")


def _units(root: Path) -> Iterator[tuple[str, str]]:
    """Compared with what `install` would write; the path of the program may be another."""
    folder = deploy.units_folder()
    for unit in sorted(folder.glob("teleopd*")):
        there = root / "etc/systemd/system" / unit.name
        if not there.is_file():
            yield unit.name, "absent"
            continue
        ours = [line for line in unit.read_text().splitlines() if "@TELEOP@" not in line]
        theirs = [line for line in there.read_text().splitlines()[1:] if not line.startswith("Exec")]
        yield unit.name, "current" if ours == theirs else "differs"


def _run_files(root: Path) -> Iterator[tuple[str, str]]:
    for file in sorted((root / deploy.CONFIG).glob("*.toml")):
        try:
            resolve({}, file, {})
        except ConfigError as error:
            yield str(file), str(error).removeprefix(f"{file}: ")
        else:
            yield str(file), ""


def _rtprio() -> int:
    if os.geteuid() == 0:
        return 99
    return resource.getrlimit(resource.RLIMIT_RTPRIO)[0]


def _swap(table: str) -> int:
    """Used swap [KiB], of /proc/swaps."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(int(row[3]) for row in rows if len(row) > 3 and row[3].isdigit())


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path, default: int = 0) -> int:
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else default
