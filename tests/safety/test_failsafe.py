"""The table: complete, ordered, and the same in code and documentation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teleopd.safety import failsafe
from teleopd.safety.failsafe import TABLE, Clear
from teleopd.safety.thresholds import THRESHOLD_TABLE, thresholds_markdown
from teleopd.safety.words import Action, Cause, Mode

causes = st.sets(st.sampled_from(list(Cause)))
DOCS = Path(__file__).resolve().parents[2] / "docs" / "SAFETY.md"


def mask(of: set[Cause]) -> int:
    return sum(1 << cause for cause in of)


def test_every_cause_has_one_row_that_explains_itself():
    assert [row.cause for row in TABLE] == list(Cause)
    for row in TABLE:
        assert row.text.endswith(".") and row.text[0].isupper()
        assert set(row.thresholds) <= {threshold.name for threshold in THRESHOLD_TABLE}
        assert set(row.as_dict()) == {"cause", "action", "threshold", "clears", "modes", "text", "provenance"}


def test_only_faults_lost_policies_and_the_operator_damp():
    """Sentence two of the design: losing the operator, the headset or the network never damps."""
    damping = {row.cause for row in TABLE if row.action is Action.DAMP}
    assert damping == {
        Cause.TARGETS_LOST, Cause.TARGETS_INVALID, Cause.STATE_LOST, Cause.STATE_INVALID, Cause.TILT_ERROR,
        Cause.TILT_ABSOLUTE, Cause.JOINT_SPEED, Cause.MOTOR_FAULT, Cause.OPERATOR_DAMP, Cause.COMMAND_GAP,
        Cause.WRONG_HARDWARE, Cause.RESTARTED, Cause.SHUTDOWN,
    }  # fmt: skip
    for cause in (Cause.SOURCE_LOST, Cause.SOURCE_STALE, Cause.CONSOLE_LOST, Cause.DEADMAN_RELEASED):
        assert failsafe.BY_CAUSE[cause].action < Action.DAMP


@pytest.mark.parametrize(
    "of, action, cause",
    [
        (set(), Action.NONE, -1),
        ({Cause.STATE_LATE}, Action.WARN, Cause.STATE_LATE),
        ({Cause.STATE_LATE, Cause.SOURCE_STALE}, Action.HOLD, Cause.SOURCE_STALE),
        ({Cause.SOURCE_STALE, Cause.SOURCE_LOST}, Action.RETURN, Cause.SOURCE_LOST),
        ({Cause.SOURCE_LOST, Cause.TILT_ERROR, Cause.MOTOR_HOT}, Action.DAMP, Cause.TILT_ERROR),
        ({Cause.TILT_ERROR, Cause.STATE_LOST}, Action.DAMP, Cause.STATE_LOST),
        ({Cause.TARGETS_LATE, Cause.OWN_LATENESS}, Action.WARN, Cause.TARGETS_LATE),
    ],
)
def test_the_strongest_wins(of, action, cause):
    assert failsafe.strongest(of) is action
    assert failsafe.action_of_mask(mask(of)) is action
    assert failsafe.strongest_cause(mask(of)) == cause


@given(causes, causes)
def test_p4_one_more_cause_never_lowers_the_action(some, more):
    assert failsafe.strongest(some | more) == max(failsafe.strongest(some), failsafe.strongest(more))


@given(causes)
def test_bit_set_and_set_agree(some):
    assert failsafe.action_of_mask(mask(some)) is failsafe.strongest(some)
    found = failsafe.strongest_cause(mask(some))
    assert found == -1 if not some else failsafe.BY_CAUSE[Cause(found)].action is failsafe.strongest(some)


def test_masks_partition_what_is_latched():
    for row in TABLE:
        bit = 1 << row.cause
        assert bool(failsafe.LATCH_MASK & bit) == (row.clear is not Clear.WHEN_CONDITION_CLEARS)
        assert bool(failsafe.REENGAGE_MASK & bit) == (row.clear is Clear.ON_REENGAGE)
        assert bool(failsafe.RESET_MASK & bit) == (row.clear is Clear.ON_RESET)
        assert bool(failsafe.NEVER_MASK & bit) == (row.clear is Clear.NEVER)
        for mode in Mode:
            assert bool(failsafe.JUDGED_MASK[mode] & bit) == (mode in row.modes)


def test_thresholds_are_shown_with_units():
    row = failsafe.BY_CAUSE[Cause.TARGETS_LOST]
    assert row.threshold_text() == "targets_lost 100 ms"
    assert row.as_dict()["provenance"] == "a frozen target falls within 0.9 s; damping is the gentler fall"
    assert failsafe.BY_CAUSE[Cause.OPERATOR_DAMP].threshold_text() == "-"
    assert failsafe.BY_CAUSE[Cause.OPERATOR_DAMP].as_dict()["provenance"] == "by definition"


@pytest.mark.checkout
def test_the_documentation_holds_the_generated_tables():
    text = DOCS.read_text()
    assert failsafe.rows_markdown() in text, "run: make docs-generated"
    assert thresholds_markdown() in text, "run: make docs-generated"


def test_a_row_says_in_which_modes_it_is_judged():
    rows = {row.cause: row for row in TABLE}
    assert rows[Cause.SOURCE_STALE].as_dict()["modes"] == ["ACTIVE", "HOLD"]
    assert set(rows[Cause.OWN_LATENESS].as_dict()["modes"]) >= {"BOOT", "CHECK", "IDLE", "ACTIVE", "DAMPED"}
    cells = [line.split(" | ") for line in failsafe.rows_markdown().splitlines()[2:]]
    modes = {Cause[row[0].removeprefix("| ")]: row[2] for row in cells}
    assert (modes[Cause.SOURCE_STALE], modes[Cause.OWN_LATENESS]) == ("ACTIVE, HOLD", "all")
    assert {cause for cause, said in modes.items() if said == "next act"} == {
        cause for cause, row in rows.items() if not row.modes
    } != set()  # fmt: skip
