"""The checksum of the low-level messages, against published values and its own definition."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from teleopd.robots.links.dds import crc
from teleopd.robots.links.dds.idl import zero

BY_MESSAGE = {
    ("hg", "LowCmd_"): crc.hg_low_cmd, ("hg", "LowState_"): crc.hg_low_state,
    ("go", "LowCmd_"): crc.go_low_cmd, ("go", "LowState_"): crc.go_low_state,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [("hg", "LowCmd_", 0xFE172F9F), ("go", "LowCmd_", 0x4B5A4880), ("hg", "LowState_", 0xD64BB04A),
     ("go", "LowState_", 0x85F11EA6)],
)  # fmt: skip
def test_golden_values_of_zero_messages(family: str, name: str, expected: int):
    assert BY_MESSAGE[family, name](zero(family, name).serialize()[4:]) == expected


def test_golden_hg_command():
    low = zero("hg", "LowCmd_")
    low.mode_machine = 5
    for i in range(29):
        motor = low.motor_cmd[i]
        motor.mode, motor.q, motor.kp, motor.kd = 1, 0.1 * i, 40.0, 1.0
    low.crc = crc.hg_low_cmd(low.serialize()[4:])
    assert low.crc == 0x2D82BC79
    assert hashlib.sha1(low.serialize()).hexdigest() == "833d0c7ccf52c9f03c581cc68aa644f7c70c91ca"


def test_golden_go_command():
    low = zero("go", "LowCmd_")
    low.head, low.level_flag = [0xFE, 0xEF], 0xFF
    for i, motor in enumerate(low.motor_cmd):
        motor.mode, motor.q, motor.kp, motor.kd = 0x0A, 0.1 * i, 100.0, 5.0
    assert crc.go_low_cmd(low.serialize()[4:]) == 0xB0D29927


@pytest.mark.parametrize(("family", "name"), BY_MESSAGE)
def test_with_arrays_made_once_it_is_the_same_message_after_message(family: str, name: str):
    rng, checksum = np.random.default_rng(4), BY_MESSAGE[family, name]
    reusing, other = checksum.reusing(), checksum.reusing()
    size = len(zero(family, name).serialize()) - 4
    for _ in range(50):
        body, later = rng.bytes(size), rng.bytes(size)
        assert reusing(memoryview(body)) == checksum(body)
        assert other(bytearray(later)) == checksum(later)


def crc32_by_bits(words: bytes) -> int:
    """The definition, bit by bit."""
    register = 0xFFFFFFFF
    for at in range(0, len(words), 4):
        register ^= int.from_bytes(words[at : at + 4], "little")
        for _ in range(32):
            carry = register & 0x80000000
            register = (register << 1) & 0xFFFFFFFF
            if carry:
                register ^= 0x04C11DB7
    return register


def test_fast_form_equals_the_definition():
    rng = np.random.default_rng(1)
    assert crc.crc32(b"") == crc32_by_bits(b"") == 0xFFFFFFFF
    for _ in range(400):
        data = rng.bytes(4 * int(rng.integers(0, 40)))
        assert crc.crc32(data) == crc32_by_bits(data)
    data = rng.bytes(2088)
    assert crc.crc32(bytearray(data)) == crc32_by_bits(data)


@pytest.mark.long
def test_fast_form_equals_the_definition_on_100000_buffers():
    rng = np.random.default_rng(2)
    for _ in range(100_000):
        data = rng.bytes(4 * int(rng.integers(1, 8)))
        assert crc.crc32(data) == crc32_by_bits(data)


def test_part_of_a_word_is_refused():
    with pytest.raises(ValueError, match="^7 bytes are not a whole number of 4-byte words$"):
        crc.crc32(bytes(7))


@pytest.mark.parametrize(("family", "name"), BY_MESSAGE)
def test_every_field_but_the_crc_counts(family: str, name: str):
    """One changed byte that a field occupies changes the checksum; the crc field and the CDR padding do not."""
    body = bytearray(zero(family, name).serialize()[4:])
    check = BY_MESSAGE[family, name]
    clean = check(body)
    quiet = []
    for at in range(len(body)):
        body[at] ^= 0x5A
        if check(body) == clean:
            quiet.append(at)
        body[at] ^= 0x5A
    first = {"hg LowCmd_": 3, "hg LowState_": 71, "go LowCmd_": 23, "go LowState_": 78}[f"{family} {name}"]
    padding = [at for at in range(first, (first + 3) & ~3)]
    assert quiet == padding + list(range(len(body) - 4, len(body)))
