from __future__ import annotations

from pathlib import Path

import pytest

from teleopd.service.console.access import Access, Brake, Budget, Role, Tokens


def test_each_token_has_its_role_and_nothing_else_has_one():
    tokens = Tokens.new()
    assert tokens.role(tokens.operate) is Role.OPERATE
    assert tokens.role(tokens.watch) is Role.WATCH
    for wrong in ("", "x", tokens.operate[:-1], tokens.operate + "x", tokens.operate.swapcase(), "\udcff", "ä" * 32):
        assert tokens.role(wrong) is None


def test_no_two_installations_share_a_token():
    found = {token for _ in range(100) for token in Tokens.new()}
    assert len(found) == 200 and min(map(len, found)) >= 32


@pytest.mark.parametrize(
    ("where", "address", "local"),
    [
        ({}, "http://127.0.0.1:8765", True),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8765", False),
        ({"host": "10.0.0.7", "certificate": Path("c.pem")}, "https://10.0.0.7:8765", False),
        ({"host": "::1"}, "http://[::1]:8765", True),
    ],
)
def test_the_address_is_one_that_a_browser_opens(where, address: str, local: bool):
    access = Access(8765, Tokens("o" * 32, "w" * 32), **where)
    assert (access.address, access.local) == (address, local)
    assert access.url() == f"{address}/?token={'o' * 32}"
    assert access.url(Role.WATCH) == f"{address}/?token={'w' * 32}"


def test_guessing_is_braked_by_address_and_forgotten_after_a_minute():
    brake = Brake()
    assert [brake.wrong("a", 0.1 * i) for i in range(12)] == [False] * 10 + [True] * 2
    assert not brake.wrong("b", 1.5)
    assert brake.wrong("a", 59.0)
    assert not brake.wrong("a", 61.0)
    assert brake.refused == 15


def test_the_brake_remembers_no_more_than_it_may():
    brake = Brake()
    for i in range(3 * Brake.MAX_ADDRESSES):
        brake.wrong(str(i), 0.0)
    assert len(brake._wrong) == Brake.MAX_ADDRESSES


def test_a_budget_lets_a_burst_through_and_then_its_rate():
    budget = Budget(10.0, 5, 0.0)
    assert [budget.spend(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [budget.spend(0.1), budget.spend(0.1)] == [True, False]
    assert [budget.spend(100.0) for _ in range(6)] == [True] * 5 + [False]
