"""Topics on one network interface: raw bytes out and in, polled; nothing here waits and nothing here calls back.

The raw path uses two functions of cyclonedds' C layer that its Python classes are built on. Where they are missing the
public calls do the same, more slowly.
"""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.dds.idl import message, require_cyclonedds

_ANY = 0x7F
"""Sample, view and instance state: any (DDS_ANY_STATE)."""
_TAKE = 16
"""Most messages taken at a time; with a history of one there is one, whoever sent it: these topics have no keys."""
_ALIVE = 16
"""Instance state of what is still published (DDS_ALIVE_INSTANCE_STATE)."""
_MOST_PUBLICATIONS = 500
LOOPBACK = "lo"
_TEMPLATE = (
    '<CycloneDDS><Domain Id="any"><General><Interfaces><NetworkInterface name="{interface}"/></Interfaces>{multicast}'
    "</General>{discovery}</Domain></CycloneDDS>"
)
_UNICAST = "<AllowMulticast>false</AllowMulticast>"
_LOCAL_PEERS = (
    '<Discovery><Peers><Peer address="127.0.0.1"/></Peers><ParticipantIndex>auto</ParticipantIndex></Discovery>'
)
_domains: dict[int, tuple[str, Any]] = {}
"""Domain number -> its interface and the object that keeps it: a process configures a domain once."""


def configuration(interface: str) -> str:
    """Configuration of Cyclone DDS for one interface; on loopback unicast, which needs no root.

    Raises:
        ValueError: the name is empty or has characters no interface name has.
    """
    if not re.fullmatch(r"[\w.:@-]+", interface):
        raise ValueError(f"'{interface}' is not the name of a network interface; see: ip link")
    local = interface == LOOPBACK
    return _TEMPLATE.format(
        interface=interface, multicast=_UNICAST if local else "", discovery=_LOCAL_PEERS if local else ""
    )


class Publication(NamedTuple):
    """One writer somewhere in the domain."""

    topic: str
    type_name: str
    participant: str
    """Identity of its participant."""


class Participant:
    """This process's membership of a DDS domain on one interface."""

    def __init__(self, interface: str, domain: int = 0) -> None:
        """
        Raises:
            LinkUnavailable: cyclonedds is missing, the interface is, or something in this process forbids it.
            ValueError: not an interface name, or a domain outside 0 to 232.
        """
        if not 0 <= domain <= 232:
            raise ValueError(f"domain is {domain}; valid: 0 to 232")
        settings = configuration(interface)
        require_cyclonedds()
        if any(name.split(".")[0] == "unitree_sdk2py" for name in sys.modules):
            raise LinkUnavailable(
                "unitree_sdk2py is loaded in this process: with cyclonedds 11 its message types end older peers, "
                "perhaps the robot's; run it in a process of its own"
            )
        self.interface, self.domain = interface, domain
        self._entity = _participant(interface, domain, settings)
        self._topics: dict[str, Any] = {}
        self._announced: Any = None

    def writer(self, topic: str, family: str, name: str) -> Writer:
        """A reliable writer that keeps one message."""
        return Writer(self, topic, family, name)

    def reader(
        self, topic: str, family: str, name: str, *, reliable: bool = False, others_only: bool = False
    ) -> Reader:
        """A reader of the newest message (`reliable`: of the newest 8); `others_only` leaves out this participant's."""
        return Reader(self, topic, family, name, reliable=reliable, others_only=others_only)

    def topic(self, topic: str, family: str, name: str) -> Any:
        """The DDS topic object, made once."""
        from cyclonedds.topic import Topic

        if topic not in self._topics:
            self._topics[topic] = Topic(self._entity, topic, message(family, name))
        return self._topics[topic]

    def publications(self) -> list[Publication]:
        """What is published in the domain by others than this participant, as far as discovery has come."""
        from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication

        if self._announced is None:
            self._announced = BuiltinDataReader(self._entity, BuiltinTopicDcpsPublication)
        own = str(self._entity.guid)
        found = [
            Publication(sample.topic_name, sample.type_name, str(sample.participant_key))
            for sample in self._announced.read(_MOST_PUBLICATIONS)
            if sample.sample_info.valid_data and sample.sample_info.instance_state == _ALIVE
        ]
        return [one for one in found if one.participant != own]

    @property
    def entity(self) -> Any:
        """The cyclonedds object."""
        return self._entity

    def close(self) -> None:
        """Leave the domain: readers and writers end, peers forget us. Safe to call twice."""
        if self._entity is not None:
            self._topics.clear()
            self._announced = None
            _delete(self._entity)
            self._entity = None


def _participant(interface: str, domain: int, settings: str) -> Any:
    from cyclonedds.core import DDSException
    from cyclonedds.domain import Domain, DomainParticipant

    if domain in _domains:
        known = _domains[domain][0]
        if known != interface:
            raise LinkUnavailable(f"DDS domain {domain} is on interface '{known}' in this process, not '{interface}'")
    try:
        if domain not in _domains:
            _domains[domain] = (interface, Domain(domain, settings))
        return DomainParticipant(domain)
    except DDSException as error:
        _domains.pop(domain, None)
        raise LinkUnavailable(
            f"DDS cannot use interface '{interface}' (domain {domain}): {error.msg or error}; is it up? see: ip link"
        ) from None


def _delete(entity: Any) -> None:
    """End an entity and what it contains, now rather than when Python collects it."""
    entity._delete(entity._ref)
    entity._ref = 0


class Writer:
    """Sends whole messages as bytes (header, body, checksum)."""

    def __init__(self, participant: Participant, topic: str, family: str, name: str) -> None:
        from cyclonedds.pub import DataWriter
        from cyclonedds.qos import Policy, Qos

        self._kind = message(family, name)
        qos = Qos(Policy.Reliability.Reliable(0), Policy.History.KeepLast(1))  # 0: never wait for a slow reader
        self._writer = DataWriter(participant.entity, participant.topic(topic, family, name), qos=qos)
        self._ref = self._writer._ref
        self._raw_write = _raw("ddspy_write")
        self.failed = 0
        """Messages DDS did not take."""

    def write(self, data: bytes) -> None:
        """Send; a failure is counted, not raised."""
        if self._raw_write is None:
            self.write_slowly(data)
        elif self._raw_write(self._ref, data) < 0:
            self.failed += 1

    def write_slowly(self, data: bytes) -> None:
        """The same through the public call: the fall-back, and the oracle of tests."""
        self.write_message(self._kind.deserialize(data))

    def write_message(self, sample: Any) -> None:
        """Send a message object; a failure is counted."""
        from cyclonedds.core import DDSException

        try:
            self._writer.write(sample)
        except DDSException:
            self.failed += 1

    @property
    def matched(self) -> int:
        """How many readers it reaches."""
        return len(self._writer.get_matched_subscriptions())


class Reader:
    """Takes what arrived since the last time."""

    def __init__(
        self, participant: Participant, topic: str, family: str, name: str, *, reliable: bool, others_only: bool
    ) -> None:
        from cyclonedds.qos import Policy, Qos
        from cyclonedds.sub import DataReader

        self._kind = message(family, name)
        parts = [Policy.Reliability.Reliable(100_000_000) if reliable else Policy.Reliability.BestEffort,
                 Policy.History.KeepLast(8 if reliable else 1)]  # fmt: skip
        if others_only:
            parts.append(Policy.IgnoreLocal.Participant)
        self._reader = DataReader(participant.entity, participant.topic(topic, family, name), qos=Qos(*parts))
        self._ref = self._reader._ref
        self._raw_take = _raw("ddspy_take")

    def take(self) -> list[bytes]:
        """Whole messages, oldest first; empty when nothing arrived."""
        if self._raw_take is None:
            return self.take_slowly()
        taken = self._raw_take(self._ref, _ANY, _TAKE)
        if not isinstance(taken, list):
            return []
        return [data for data, info in taken if info.valid_data]

    def take_slowly(self) -> list[bytes]:
        """The same through the public calls: the fall-back, and the oracle of tests."""
        return [bytes(sample.serialize()) for sample in self.take_messages()]

    def take_messages(self) -> list[Any]:
        """Message objects, oldest first; none where what arrived cannot be read as one."""
        found = []
        for data in self.take() if self._raw_take is not None else self._public():
            try:
                found.append(self._kind.deserialize(data) if isinstance(data, bytes) else data)
            except Exception:  # a peer's malformed bytes raise whatever the deserialiser stumbled over
                continue
        return found

    def _public(self) -> list[Any]:
        from cyclonedds.core import DDSException

        try:
            return [sample for sample in self._reader.take(_TAKE) if sample.sample_info.valid_data]
        except DDSException:
            return []

    @property
    def matched(self) -> int:
        """How many writers reach it."""
        return len(self._reader.get_matched_publications())

    @property
    def publishers(self) -> frozenset[str]:
        """The participants whose writers reach it, each by its identity in the domain."""
        from cyclonedds.core import DDSException

        found = set()
        for handle in self._reader.get_matched_publications():
            try:
                data = self._reader.get_matched_publication_data(handle)
            except DDSException:  # gone since
                continue
            if data is not None:
                found.add(str(data.participant_key))
        return frozenset(found)



def _raw(name: str) -> Any:
    """A function of cyclonedds' C layer, or None where this version has none."""
    from cyclonedds import _clayer

    return getattr(_clayer, name, None)
