"""From the run's configuration to a source: which driver, with which options."""

from __future__ import annotations

from typing import Any

from teleopd.drivers.source import Source
from teleopd.launch import registry
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.options import checked


def source_options(config: RunConfig) -> dict[str, Any]:
    """Constructor arguments of the configured source.

    Raises:
        UnknownName: the source is not registered.
        ConfigError: it needs an option that is missing.
    """
    registry.check("source", config.source)
    if config.character >= 0 and config.source != "xsens":
        raise ConfigError(f"character {config.character} is for source xsens; source {config.source} has no characters")
    if config.source == "motion_file":
        if not config.motion:
            raise ConfigError("source motion_file plays a motion; give one with --motion FILE or a built-in name")
        return {"motion": config.motion, "loop": config.loop}
    options: dict[str, Any] = {"host": config.host}
    if config.port:
        options["port"] = config.port
    if config.character >= 0:
        options["character"] = config.character
    if config.device:
        target = registry.load("source", config.source)
        options.update(checked(config.device, target, f"source {config.source}", ("host", "port", "character")))
    return options


def make_source(name: str, options: dict[str, Any]) -> Source:
    """Construct a registered source; runs in the source process, so that no other imports the driver."""
    source: Source = registry.load("source", name)(**options)
    return source
