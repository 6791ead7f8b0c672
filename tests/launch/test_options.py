"""Device options as a user types them."""

from __future__ import annotations

import pytest

from teleopd.drivers.natnet.source import NatNetSource
from teleopd.drivers.pico.source import PicoSource
from teleopd.drivers.xsens.emulator import EmulatorOptions
from teleopd.launch.config import ConfigError, RunConfig
from teleopd.launch.options import checked, constructor_options, parse_pairs
from teleopd.launch.sources import source_options


def test_pairs_become_names_and_values():
    assert parse_pairs(["up-axis=z", "person=Anna=B"]) == {"up_axis": "z", "person": "Anna=B"}


@pytest.mark.parametrize("word", ["person", "=Anna"])
def test_a_word_without_a_value_is_refused(word: str):
    with pytest.raises(ConfigError, match=rf"^device option '{word}' is not of the form key=value$"):
        parse_pairs([word])


def test_values_get_the_declared_type():
    found = checked({"freeze_at_s": "5", "character": "2", "rate_hz": "none"}, EmulatorOptions, "emulator xsens")
    assert found == {"freeze_at_s": 5.0, "character": 2, "rate_hz": None}
    assert isinstance(found["freeze_at_s"], float)


def test_buttons_are_named_in_words_or_in_a_table():
    found = checked({"buttons": "b:stop,a:force_limit_up"}, PicoSource, "source pico")
    assert found == {"buttons": {"b": "stop", "a": "force_limit_up"}}
    assert checked({"buttons": {"y": "stop"}}, PicoSource, "source pico") == {"buttons": {"y": "stop"}}
    for bad in ("b", "b:", "", {}, {"b": 1}, 3):
        with pytest.raises(ConfigError, match=r"^option 'buttons' of source pico is '.*'; give names like b:stop,"):
            checked({"buttons": bad}, PicoSource, "source pico")


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match=r"^emulator xsens has no option 'freeze'; did you mean 'freeze_s'\?$"):
        checked({"freeze": "5"}, EmulatorOptions, "emulator xsens")
    with pytest.raises(ConfigError, match=r"^source optitrack has no option 'qqqq'; valid: .*person.*up_axis"):
        checked({"qqqq": "5"}, NatNetSource, "source optitrack")


def test_a_value_of_another_type_says_what_would_be_right():
    with pytest.raises(ConfigError, match=r"^option 'character' of emulator xsens is 'two'; give a whole number$"):
        checked({"character": "two"}, EmulatorOptions, "emulator xsens")
    for word in ("nan", "inf"):
        with pytest.raises(ConfigError, match=rf"^option 'freeze_at_s' of emulator xsens is '{word}'; give a number$"):
            checked({"freeze_at_s": word}, EmulatorOptions, "emulator xsens")


def test_options_with_flags_of_their_own_cannot_be_given_twice():
    with pytest.raises(ConfigError, match=r"^source optitrack has no option 'host'"):
        source_options(RunConfig(source="optitrack", device={"host": "10.0.0.1"}))


def test_a_source_gets_its_own_options():
    config = RunConfig(source="optitrack", host="127.0.0.1", device={"person": "Anna"})
    assert source_options(config) == {"host": "127.0.0.1", "person": "Anna"}
    assert "person" in constructor_options(NatNetSource)
