"""The message types: golden type hashes of the vendor's C++ headers, and never an 8-bit integer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from teleopd.robots.links.dds import idl
from teleopd.robots.links.dds.idl import MODULES, fields_of, message, zero

# 14-byte equivalence hashes (minimal, complete); those of hg and go equal the vendor's C++ headers.
GOLDEN = {
    "hg LowCmd_": ("6569fc15f0d47aa8600b9e91fbbc", "42b0283aa7e1bb592ec898a0dbed"),
    "hg LowState_": ("2f38296b52aa0230b92d378b1e39", "2be9706c9587e8d8afd8bfc6de7b"),
    "hg MotorCmd_": ("827f55de9b9de38c62bacd1e56c9", "a2d9ced50a7956e2a607613a13f1"),
    "hg MotorState_": ("7cc584ed940b8f3018f18de0ed24", "a86cbab3ae0aa98a1e746643a099"),
    "hg IMUState_": ("fc687176651206558473df442280", "7d4166754177d86fa27cd25b0403"),
    "hg BmsState_": ("4b98d809a63f63c7cb31a818506b", "0cdba6862498f554ba927ba18de0"),
    "hg BmsCmd_": ("91a3782446f5c1a3be38878238f4", "f31a4488bccedcaadb4915ee2b01"),
    "hg HandCmd_": ("a63e17e228e67d276dfe71d6f156", "5c45f9f8b1e1c279a659521332b0"),
    "hg HandState_": ("699eb3270c7d7788ed03bebe16b9", "b9f2806966060fc0f913a47b8ab9"),
    "hg PressSensorState_": ("03931d83676008266e466a66b255", "cd531f52247f1d07b3820ff42b21"),
    "hg MainBoardState_": ("deabb8f495165533d29d46465f6a", "56c359c8be34ecd038bc2176764d"),
    "go LowCmd_": ("832876ceec9737d69f6ed62a3f63", "52cc8eb0d427d692aa2b20a90540"),
    "go LowState_": ("853a99e23d0daa1610b65c526b40", "08f239c471d3a27e67e7c7723184"),
    "go MotorCmd_": ("c8e5835b0f0c1765bc231dfa02ff", "421fa5b2db2deff5c03fff16303b"),
    "go MotorState_": ("42a2288b798af8db05e12736b1be", "d2bcfb97be37a8bc9c41e50ba1c9"),
    "go IMUState_": ("4b1bf4af32e5bc6710efc8293115", "c4ecb49cd7b225d22628b6b764cc"),
    "go BmsState_": ("e118af070ba20bc2e0370cec4cbb", "2ed857ecb6b30579808c15fd143d"),
    "go BmsCmd_": ("3e8eb67c25fde07e52cf51ed4a23", "31a85924056b7af3d3f16b342233"),
    "go WirelessController_": ("d8dc69fff5d75961cd0e3fc049cb", "e9686fe76f7b08f92cb24943ac72"),
    "go SportModeState_": ("9fa6ccdc5cafdeaab8a762e31044", "e59749630fff75cc170afb238783"),
    "api Request_": ("cba4dc965d393ada76b4de081925", "c47a4429fcbf539486498753c48f"),
    "api Response_": ("48c997d379c3e18c530b5f8fe946", "d1c32cc02214901a464a6c51325d"),
}
STRUCTS = [(family, name) for family, module in MODULES.items() for name in module.TABLES]


@pytest.mark.parametrize("which", GOLDEN)
def test_type_information_equals_the_vendors(which: str):
    family, name = which.split()
    kind = message(family, name)
    kind.__idl__.populate()
    kind.__idl__.fill_type_data()
    data = bytes(kind.__idl__._xt_bytedata[0])
    minimal, complete = (bytes.fromhex(text) for text in GOLDEN[which])
    assert data.count(b"\xf1" + minimal) >= 1 and data.count(b"\xf2" + complete) >= 1
    assert kind.__idl__.idl_transformed_typename == f"unitree_{family}::msg::dds_::{name}"


@pytest.mark.parametrize(("family", "name"), STRUCTS)
def test_no_message_has_an_8_bit_integer(family: str, name: str):
    """uint8 ends cyclonedds 0.10 peers at discovery, a robot's own processes perhaps among them."""
    for annotation in message(family, name).__annotations__.values():
        assert not re.search(r"u?int8\b", repr(annotation)), f"{family} {name}: {annotation!r}"
    assert not {"u8", "i8", "uint8", "int8"} & {field.kind for field in fields_of(family, name)}


def test_the_notation_has_no_word_for_an_8_bit_integer():
    assert not {"uint8", "int8"} & set(idl._PRIMITIVE.values())


@pytest.mark.checkout
def test_no_source_of_the_link_uses_the_name():
    for path in Path(idl.__file__).parent.glob("*.py"):
        assert not re.search(r"types\.u?int8", path.read_text()), path


def test_zero_message_is_all_zero_on_the_wire():
    assert zero("hg", "LowCmd_").serialize() == b"\x00\x01\x00\x00" + bytes(1000)
    assert zero("go", "LowState_").serialize() == b"\x00\x01\x00\x00" + bytes(1176)
    request = zero("api", "Request_")
    assert (request.parameter, request.binary, request.header.policy.noreply) == ("", [], False)


def test_missing_cyclonedds_is_one_sentence_naming_the_extra():
    code = (
        "import sys; sys.modules['cyclonedds'] = None\n"
        "from teleopd.robots.links.dds.idl import message\n"
        "try: message('hg', 'LowCmd_')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("LinkUnavailable the dds link needs cyclonedds (")
    assert run.stdout.rstrip().endswith("): pip install 'teleopd[unitree]'")


def test_a_wrong_table_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(MODULES["hg"].TABLES, "Wrong_", "mode b, q [3]")
    with pytest.raises(ValueError, match=r"^'q \[3\]' in hg Wrong_ is not 'name type', "):
        fields_of("hg", "Wrong_")
