"""What the policy was shown: through the ring, into the file, read by another decoder and by us."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from teleopd.robots.ipc.codec import Codec
from teleopd.robots.ipc.rings import Ring
from teleopd.service.capture import observation
from teleopd.service.capture.part_file import PartFile
from teleopd.service.capture.protobuf import LayoutError
from teleopd.service.capture.reader import read_episode
from teleopd.service.capture.records import (
    MOST_OBSERVED,
    OBSERVATION_FIELDS,
    ObservationSample,
    ObservationSamples,
)
from teleopd.service.capture.writer import EpisodeHeader, EpisodeWriter

T0, MS = 5_000_000_000, 1_000_000


def decoder():
    files = descriptor_pb2.FileDescriptorSet.FromString(observation.schema())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(observation.SCHEMA_NAME))


@settings(max_examples=25)
@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_another_decoder_reads_it_and_it_comes_back(size: int, seq: int):
    values = np.random.default_rng(size).normal(size=(3, size)).astype(np.float32)
    messages = [observation.message(row, seq + i) for i, row in enumerate(values)]
    other = decoder().FromString(messages[1])
    assert list(other.values) == values[1].tolist() and other.targets_seq == seq + 1
    found = observation.columns(messages)
    np.testing.assert_array_equal(found["values"], values)
    assert found["targets_seq"][:, 0].tolist() == [seq, seq + 1, seq + 2]


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
def test_other_bytes_are_refused(messages: list[bytes]):
    try:
        observation.columns(messages)
    except LayoutError as error:
        assert str(error) == "a message of teleopd.Observation has another layout than the first"


def test_through_the_ring_into_a_file_and_back(tmp_path: Path):
    ring = Ring.create(tmp_path / "ring", Codec(ObservationSample, OBSERVATION_FIELDS), 8)
    samples = ObservationSamples(ring.push)
    shown = np.random.default_rng(0).normal(size=(5, 1432)).astype(np.float32)
    for i, row in enumerate(shown):
        samples.add(T0 + 20 * MS * i, 7 + i, row)
    samples.add(T0, 99, np.zeros(MOST_OBSERVED + 1, dtype=np.float32))
    samples.add(T0, 99, np.zeros(0, dtype=np.float32))
    rows = ring.drain()
    assert len(rows) == 5, "too long and empty ones are left out"
    writer = EpisodeWriter(PartFile(tmp_path, "toy"), EpisodeHeader("toy", ("hip",), ("Pelvis",)), T0, T0)
    writer.observations(rows["t_ns"], rows["values"][:, : rows["size"][0]], rows["targets_seq"])
    stream = read_episode(writer.finish({}, {})).streams["observation"]
    np.testing.assert_array_equal(stream.columns["values"], shown)
    assert stream.t_ns.tolist() == [T0 + 20 * MS * i for i in range(5)]
    assert stream.columns["targets_seq"][:, 0].tolist() == [7, 8, 9, 10, 11]
    assert "observation" not in read_episode(tmp_path / "toy.mcap", streams=("state",)).streams


def test_nothing_of_nothing():
    assert observation.columns([]) == {}
    with pytest.raises(LayoutError):
        observation.columns([observation.message(np.ones(3, np.float32), 1), b"x"])
