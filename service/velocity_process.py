"""The source process for sources of velocity commands: command -> gait template or bare velocity -> `Reference`."""

from __future__ import annotations

import asyncio
import time

from teleopd.drivers.arrival_rate import ArrivalRate
from teleopd.drivers.gamepad.stick import Said, StickSource
from teleopd.drivers.health import Content, Health, HealthMeter
from teleopd.drivers.source import SourceCounters, SourceError
from teleopd.drivers.velocity import VelocityCommand, VelocitySource
from teleopd.robots.ipc.session import Session
from teleopd.robots.model import RobotModel
from teleopd.robots.rates import freeze_collector
from teleopd.safety.operator import OperatorWriter
from teleopd.service.child import Ending, refuse
from teleopd.service.policy.gait_table import GaitTableError
from teleopd.service.policy.legs import NoLegs
from teleopd.service.source_process import publish_status
from teleopd.service.streams import Bus, ReferenceLog, StickWord
from teleopd.service.velocity_stage import NoGait, VelocityStage


class CommandHealth(HealthMeter):
    """A stick has no delay of its own and may rest as long as it likes: only its rate and age count."""

    def __init__(self, declared_hz: float) -> None:
        super().__init__(declared_hz)
        self._arrivals = ArrivalRate(declared_hz)
        self._newest: VelocityCommand | None = None

    @property
    def newest_ns(self) -> int:
        """Time of the newest command [monotonic ns]; 0 before the first."""
        return 0 if self._newest is None else self._newest.t_ns

    def command(self, command: VelocityCommand) -> None:
        """Take one command."""
        self._arrivals.arrived(command.t_ns)
        self._newest = command

    def figures(self, counters: SourceCounters, now_ns: int) -> Health:
        """Figures at this moment."""
        if self._newest is None:
            return Health(-1.0, 0.0, 0.0, 0.0, 0.0, self._arrivals.hz, Content.NONE, -1.0, 0)
        age_ms = (now_ns - self._newest.t_ns) / 1e6
        return Health(age_ms, 0.0, 0.0, 0.0, 0.0, self._arrivals.hz, Content.FRESH, age_ms, self._newest.resets)


def serve_velocity(
    source: VelocitySource, model: RobotModel, policy: tuple[str, str], session: Session, bus: Bus, ending: Ending
) -> None:
    """Run until the service ends. `policy`: name and role of the card; refuses what the robot cannot do."""
    name, role = policy
    if isinstance(source, StickSource):
        source.listen(lambda: said_in(bus.slot("stick").read()))
    try:
        stage = VelocityStage(
            model, time.monotonic_ns(), policy=name, drive="direct" if role == "velocity" else "gait"
        )
        asyncio.run(_run(source, stage, OperatorWriter(bus.slot("operator_device"), session.token), bus, ending))
    except (SourceError, NoGait, NoLegs, GaitTableError) as error:
        refuse(session, "source", str(error))


def said_in(word: StickWord | None) -> Said | None:
    """The page's newest word, as the driver knows it."""
    return None if word is None else Said(*word)


async def _run(
    source: VelocitySource, stage: VelocityStage, operator: OperatorWriter, bus: Bus, ending: Ending
) -> None:
    await source.open()
    health = CommandHealth(source.nominal_hz)
    publisher = asyncio.create_task(publish_status(source, stage, health, bus, ending))
    commands = asyncio.create_task(_commands(source, stage, operator, health, bus))
    freeze_collector()
    try:
        await asyncio.wait({publisher, commands}, return_when=asyncio.FIRST_COMPLETED)
        if commands.done():
            commands.result()
            await publisher
    finally:
        commands.cancel()
        publisher.cancel()
        await source.close()


async def _commands(
    source: VelocitySource, stage: VelocityStage, operator: OperatorWriter, health: CommandHealth, bus: Bus
) -> None:
    references, log, record = bus.slot("reference"), bus.ring("reference_log"), bus.record("reference")
    async for command in source.commands():
        operator.stop_button(command.stop, command.t_ns)
        tick = stage.on_command(command)
        assert tick.reference is not None
        published_ns = time.monotonic_ns()
        reference = tick.reference._replace(t_published_ns=published_ns)
        references.write(reference)
        record(reference)
        log.push(ReferenceLog(tick.reference.seq, tick.reference.t_ns, tick.retarget_us, published_ns))
        health.command(command)
