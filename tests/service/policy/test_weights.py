"""The registry of published weights: pinned, https, and in step with the shipped cards."""

from __future__ import annotations

import pytest

from teleopd.launch import registry as robots
from teleopd.service.policy.card_reader import load_card
from teleopd.service.policy.library import shipped_cards
from teleopd.service.policy.weights import UnknownWeights, parse_registry, published, registry


def test_the_three_public_trackers_are_registered():
    assert set(registry()) == {"twist2", "gentle_humanoid", "sonic"}
    for entry in registry().values():
        assert entry.licence and entry.terms and entry.page.startswith("https://")


def test_what_is_downloaded_is_what_the_card_wants():
    for entry in registry().values():
        model = robots.load("robot", entry.robot)
        if not entry.shipped_card:
            assert (model.mjcf.parent / "policies" / entry.card).is_file()
            continue
        card = load_card(shipped_cards(model)[entry.card])
        (file,) = entry.files
        assert (card.model.file, card.model.sha256, card.licence) == (file.file, file.sha256, entry.licence)


def test_sizes_are_those_of_the_files(shared_data):
    (file,) = published("twist2").files
    assert (shared_data / "policies" / "twist2" / file.file).stat().st_size == file.size


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(UnknownWeights) as caught:
        published("twist")
    assert str(caught.value) == (
        "no published weights 'twist'; did you mean 'twist2'? Valid: gentle_humanoid, sonic, twist2"
    )


ENTRY = """
[a]
title = "t"
licence = "l"
terms = "t"
page = "https://a"
card = "c"
robot = "r"
"""
FILE = '[[a.files]]\nfile = "FILE"\nurl = "URL"\nsha256 = "SHA"\nsize = SIZE\n'


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"URL": "http://a"}, "a has url 'http://a' of 5 bytes: https, 1 to "),
        ({"SIZE": "0"}, "a has url 'https://a' of 0 bytes: https, 1 to "),
        ({"SHA": "0" * 63}, f"a has a file 'w' with sha256 '{'0' * 63}': not a name and 64 hex digits"),
        ({"FILE": "../w"}, "a has a file '../w' with sha256 "),
    ],
)
def test_an_entry_that_is_not_pinned_is_refused(change: dict[str, str], problem: str):
    text = ENTRY + FILE
    for key, value in ({"FILE": "w", "URL": "https://a", "SHA": "0" * 64, "SIZE": "5"} | change).items():
        text = text.replace(key, value)
    with pytest.raises(ValueError, match=f"^{problem}"):
        parse_registry(text)


def test_an_entry_says_what_to_download_or_what_to_bring():
    with pytest.raises(ValueError, match="^a must have either files to download or files that are wanted$"):
        parse_registry(ENTRY)
