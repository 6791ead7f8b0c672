"""Bytes -> other bytes, a little different: what a broken or hostile sender might have sent. Deterministic."""

from __future__ import annotations

import struct
from random import Random

MAX_SIZE = 1 << 17
"""Longest input made [B]; every wire format here refuses less."""
EDGES = (0, 1, -1, 2, 4, 7, 16, 64, 100, 127, 128, 255, 256, 1023, 32767, 32768, 65535, 65536, 1 << 24, 0x7FFFFFFF,
         -0x80000000, 1 << 40, (1 << 63) - 1, -(1 << 63))  # fmt: skip
"""Integers at which counts and sizes go wrong."""
FLOATS = tuple(
    struct.pack(order + code, value)
    for order in "<>"
    for code in "fd"
    for value in (0.0, -0.0, 1.0, 0.01, 100.0, 1e-40, 1e30, float("inf"), float("nan"))
)
_CODES = ("b", "h", "i", "q")


def mutate(rng: Random, data: bytes, other: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """`data` with one to eight changes; `other` lends parts, `tokens` are words of the protocol."""
    raw = bytearray(data)
    count = 1
    while count < 8 and rng.random() < 0.5:
        count += 1
    for _ in range(count):
        _CHANGES[int(rng.random() * len(_CHANGES))](rng, raw, other, tokens)
    return bytes(raw[:MAX_SIZE])


def _at(rng: Random, raw: bytearray, room: int = 0) -> int:
    return int(rng.random() * (max(0, len(raw) - room) + 1))


def _flip(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    if raw:
        raw[_at(rng, raw, 1)] ^= 1 << int(rng.random() * 8)


def _byte(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    if raw:
        raw[_at(rng, raw, 1)] = int(rng.random() * 256)


def _integer(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    """An edge value over one, two, four or eight bytes, in either byte order."""
    width = int(rng.random() * 4)
    size = 1 << width
    value = EDGES[int(rng.random() * len(EDGES))] & (1 << 8 * size) - 1
    at = _at(rng, raw, size)
    raw[at : at + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")


def _step(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    """A number that is there, plus or minus a little."""
    width = int(rng.random() * 4)
    size = 1 << width
    if len(raw) < size:
        return
    at, order = _at(rng, raw, size), "little" if rng.random() < 0.5 else "big"
    value = int.from_bytes(raw[at : at + size], order) + int(rng.random() * 9) - 4  # type: ignore[arg-type]
    raw[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, order)  # type: ignore[arg-type]


def _float(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    value = FLOATS[int(rng.random() * len(FLOATS))]
    at = _at(rng, raw, len(value))
    raw[at : at + len(value)] = value


def _cut(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    del raw[_at(rng, raw) :]


def _remove(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    at = _at(rng, raw)
    del raw[at : at + 1 + int(rng.random() * 32)]


def _repeat(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    """A part of it again, seldom many times: long inputs are what cost."""
    at = _at(rng, raw)
    part = raw[at : at + 1 + int(rng.random() * 64)]
    times = 1 + int(rng.random() * 3) if rng.random() < 0.97 else 1 + int(rng.random() * 1000)
    raw[at:at] = part * times


def _insert(rng: Random, raw: bytearray, _other: bytes, _tokens: tuple[bytes, ...]) -> None:
    at = _at(rng, raw)
    raw[at:at] = rng.randbytes(1 + int(rng.random() * 8))


def _splice(rng: Random, raw: bytearray, other: bytes, _tokens: tuple[bytes, ...]) -> None:
    """The head of one input, the tail of another."""
    cut = _at(rng, raw)
    raw[cut:] = other[int(rng.random() * (len(other) + 1)) if rng.random() < 0.5 else cut :]


def _borrow(rng: Random, raw: bytearray, other: bytes, _tokens: tuple[bytes, ...]) -> None:
    """A part of another input over a part of this one."""
    start, size = int(rng.random() * (len(other) + 1)), 1 + int(rng.random() * 64)
    at = _at(rng, raw)
    raw[at : at + size] = other[start : start + size]


def _token(rng: Random, raw: bytearray, _other: bytes, tokens: tuple[bytes, ...]) -> None:
    if tokens:
        token = tokens[int(rng.random() * len(tokens))]
        at = _at(rng, raw)
        raw[at : at + (len(token) if rng.random() < 0.5 else 0)] = token


_CHANGES = (_flip, _byte, _integer, _integer, _step, _float, _cut, _remove, _repeat, _insert, _splice, _borrow, _token)
