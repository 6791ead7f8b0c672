"""Frames put together from datagrams, with injected times."""

from __future__ import annotations

from teleopd.drivers.vmc.assembly import MAX_BONES, MAX_DATAGRAMS, SHRINK_AFTER, FrameAssembler

AT = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
PERIOD_NS = 16_000_000


class Stream:
    """Datagrams as words of one-letter bones; a comma starts another datagram of the same frame."""

    def __init__(self):
        self.assembler = FrameAssembler()
        self.now_ns = 10**12
        self.count = 0

    def frame(self, *datagrams, period_ns=PERIOD_NS):
        """Bones of the frames this one made whole, in order."""
        self.now_ns += period_ns
        return [found for found in (self.datagram(letters) for letters in datagrams) if found is not None]

    def datagram(self, letters, raw=None):
        self.count += 1
        self.now_ns += 100_000
        bones = {letter: AT for letter in letters}
        raw = raw or f"{letters}{self.count}".encode()
        whole = self.assembler.add(bones, raw, self.now_ns, PERIOD_NS)
        return None if whole is None else "".join(sorted(whole))


def test_from_the_second_frame_on_every_one_is_whole_with_its_last_datagram():
    stream = Stream()
    assert [stream.frame("ab", "cd") for _ in range(4)] == [[], ["abcd"], ["abcd"], ["abcd"]]
    assert (stream.assembler.frames, stream.assembler.incomplete) == (4, 0)


def test_one_bone_a_datagram():
    stream = Stream()
    assert [stream.frame(*"abc") for _ in range(3)] == [[], ["abc"], ["abc"]]


def test_joining_in_the_middle_of_a_frame():
    stream = Stream()
    assert stream.frame("cd") == []
    assert [stream.frame("ab", "cd") for _ in range(3)] == [["abcd"]] * 3


def test_a_lost_datagram_costs_its_frame_only():
    stream = Stream()
    stream.frame("ab", "cd")
    stream.frame("ab", "cd")
    assert stream.frame("ab") == [] and stream.frame("ab", "cd") == ["abcd"]
    assert stream.frame("cd") == [] and stream.frame("ab", "cd") == ["abcd"]
    assert stream.assembler.incomplete == 2


def test_without_pauses_a_bone_that_comes_again_begins_a_frame():
    stream = Stream()
    found = [stream.frame("ab", "cd", period_ns=0) for _ in range(3)]
    assert found == [[], ["abcd"], ["abcd"]]
    assert stream.frame("ab", "ab", "cd", period_ns=0) == ["abcd"]
    assert stream.assembler.incomplete == 1


def test_repeated_datagrams_are_known_by_their_bytes_within_a_frame():
    stream = Stream()
    stream.frame("ab", "cd")
    stream.now_ns += PERIOD_NS
    found = [stream.datagram(letters, raw) for letters, raw in (("ab", b"1"), ("ab", b"1"), ("cd", b"2"), ("cd", b"2"))]
    assert found == [None, None, "abcd", None]
    stream.now_ns += PERIOD_NS
    found = [stream.datagram(letters, raw) for letters, raw in (("ab", b"1"), ("cd", b"2"))]
    assert found == [None, "abcd"], "a person who stands still is no repetition"
    assert (stream.assembler.duplicated, stream.assembler.incomplete) == (2, 0)


def test_a_new_bone_is_waited_for_from_then_on():
    stream = Stream()
    stream.frame("ab")
    assert stream.frame("ab") == ["ab"]
    stream.frame("ab", "c")
    assert [stream.frame("ab", "c") for _ in range(3)] == [["abc"]] * 3


def test_a_bone_that_is_gone_is_given_up_after_a_while():
    stream = Stream()
    stream.frame("abc")
    assert stream.frame("abc") == ["abc"]
    found = [stream.frame("ab") for _ in range(SHRINK_AFTER + 2)]
    assert found == [[]] * SHRINK_AFTER + [["ab"]] * 2


def test_bones_without_end_are_not_kept():
    stream = Stream()
    for k in range(10_000):
        assert stream.assembler.add({f"bone{k}": AT}, b"%d" % k, stream.now_ns, PERIOD_NS) is None
        assert len(stream.assembler._pending) <= MAX_BONES and len(stream.assembler._raw) <= MAX_DATAGRAMS
    assert len(stream.assembler._expected) <= MAX_BONES


def test_a_stream_without_pauses_is_not_remembered_for_ever():
    stream = Stream()
    for _ in range(1000):
        stream.frame("ab", "cd", period_ns=0)
        assert len(stream.assembler._raw) <= MAX_DATAGRAMS
