"""From the run's configuration to a source: which driver, with which options."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from teleopd.drivers.home import expanded
from teleopd.drivers.motion_file.library import find_motion
from teleopd.drivers.source import Source, SourceUnavailable
from teleopd.drivers.tap.capture import check_capture
from teleopd.drivers.tap.tapped import TappedSource, check_recordable
from teleopd.drivers.tap.writer import TapWriter
from teleopd.launch import registry
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.options import checked


def source_options(config: RunConfig) -> dict[str, Any]:
    """Constructor arguments of the configured source.

    Raises:
        UnknownName: the source is not registered.
        ConfigError: it needs an option that is missing.
        SourceUnavailable: its file is not there or cannot be what it plays; or its packets cannot be tapped.
    """
    registry.check("source", config.source)
    if config.character >= 0 and config.source != "xsens":
        raise ConfigError(f"character {config.character} is for source xsens; source {config.source} has no characters")
    if config.tap:
        check_recordable(registry.load("source", config.source), config.source)
    if config.file and config.source != "tap":
        raise ConfigError(f"file {config.file} is for source tap; source {config.source} plays no capture")
    if config.source == "tap":
        return _tap_options(config)
    if config.source == "motion_file":
        if not config.motion:
            raise ConfigError("source motion_file plays a motion; give one with --motion FILE or a built-in name")
        find_motion(config.motion)
        return {"motion": config.motion, "loop": config.loop}
    if config.source == "stick" and not config.view:
        raise ConfigError("source stick is the buttons of the browser view; leave out --no-view")
    if config.source in ("gamepad", "keyboard", "stick"):
        return checked(config.device, registry.load("source", config.source), f"source {config.source}")
    options: dict[str, Any] = {"host": config.host} if config.host else {}
    if config.port:
        options["port"] = config.port
    if config.character >= 0:
        options["character"] = config.character
    if config.device:
        target = registry.load("source", config.source)
        taken = ("host", "port", "character") if config.character >= 0 else ("host", "port")
        options.update(checked(config.device, target, f"source {config.source}", taken))
    return options


def _tap_options(config: RunConfig) -> dict[str, Any]:
    if not config.file:
        raise ConfigError("source tap feeds back a capture; give one with --file FILE")
    if config.loop:
        raise ConfigError("source tap feeds a capture back once; --loop is for source motion_file")
    taken = ("file", "clock_ns", "sleep")
    options = checked(config.device, registry.load("source", "tap"), "source tap", taken)
    if options.get("keep_deadman") and config.link != "sim":
        raise ConfigError(
            f"keep_deadman is refused on link '{config.link}': a recorded deadman is nobody's hand, "
            "only a virtual robot may follow it"
        )
    check_capture(expanded(config.file, ConfigError, "file "))
    return {"file": config.file, **options}


def make_source(name: str, options: dict[str, Any], tap: str = "") -> Source:
    """Construct a registered source; runs in the source process, so that no other imports the driver.

    `tap`: file in which everything that arrives is recorded; '' records nothing.

    Raises:
        SourceUnavailable: the tap cannot be written ...
    """
    source: Source = registry.load("source", name)(**options)
    if not tap:
        return source

    def show(sentence: str) -> None:
        source.counters.last_rejection = sentence

    tapped = TappedSource(source, TapWriter(Path(tap), time.time_ns() - time.monotonic_ns(), show))
    return cast(Source, tapped)  # its attributes are read only, and only read


def begin_tap(path: Path) -> None:
    """Empty the tap's file before the run; the source process, and one that replaces it, continues it.

    Raises:
        SourceUnavailable: it cannot be written.
    """
    try:
        path.open("wb").close()
    except OSError as error:
        raise SourceUnavailable(f"cannot write the tap {path}: {error.strerror}") from None
