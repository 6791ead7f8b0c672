"""Mutants that no test can kill, and why: `mutate.py` does not judge them, and refuses a line here that names none."""

from __future__ import annotations

_BLOCKED, _RAMPED = "self._blocked_by(False, now_ns)", "self._blocked_by(ramp_over, now_ns)"
_IDLES = "self._obstacles.to_idle(now_ns)"
_STALE = "cause 0, a stale source, is in the way of engaging only"
_FAST = "fast = _square(dq) > self._speed**2 and float(np.abs(dq).max()) > self._speed"
_LOOSENS = "loosens = value > high if row.strictest <= row.value else value < low"
EQUIVALENT: dict[str, str] = {
    "gate: self._turn = 0: 0 -> 1": "which of two equal buffers is filled first",
    **{f"gate: self._blend_from_ns = -1: {change}": "any entry sets it" for change in ("-1 -> 1", "1 -> 2", "1 -> 0")},
    "gate: self._blend_from_ns = -1  # over: 1 -> 2": "any negative number",
    "gate: self._blend_from_ns = now_ns if emit is Emit.POLICY else -1: 1 -> 2": "any negative number",
    **{f"gate: self._emit, self._source = Emit.NOTHING, 0: 0 -> {other}": "the first command is an entry anyway"
       for other in ("1", "-1")},
    "gate: self, emit: Emit, q: Array, kp: Array, kd: Array, state: LowState | None, now_ns: int, source: int = 0: "
    "0 -> -1": "a name for the only policy",
    "gate: elapsed_s = (now_ns - self._last_ns) * 1e-9 if self._last_ns else 0.0: 0.0 -> -1.0": "cut off at 0",
    "gate: return False  # and the same position: no joint differs: False -> True": "counts the joints that differ",
    "failsafe: return (causes & -causes).bit_length() - 1: causes & -causes -> causes | -causes":
    "minus the lowest bit, which is as long",
    "limits: for joint, value in zip(model.joint_names, given, strict=True):: True -> False": "the shape was checked",
    **{f"ramp: elapsed_s = (now_ns - self._started_ns) / 1e9: 1000000000.0 -> {other}": "a billionth of a gentle motion"
       for other in ("1000000001.0", "999999999.0")},
    **{f"remote: self._since_ns = self._released_ns = 0  # no press yet: 0 -> {other}": "set by the first press"
       for other in ("1", "-1")},
    **{f"stalls: NEVER_NS = 1 << 62: {change}": "older than any threshold all the same"
       for change in ("1 -> 2", "62 -> 63", "62 -> 61")},
    **{f"stalls: if excused_ns > 0:: {change}": "a nanosecond at most"
       for change in ("excused_ns > 0 -> excused_ns >= 0", "0 -> 1", "0 -> -1")},
    "stalls: if last > first:: last > first -> last >= first": "takes nothing away",
    **{f"stalls: self._excused: deque[tuple[int, int]] = deque(maxlen=64): 64 -> {other}":
       "the budget of a second is 25 of the shortest" for other in ("65", "63")},
    **{f"operator: self._written_ns = 0: 0 -> {other}": "the first word is a change" for other in ("1", "-1")},
    "operator: self._stop_damped = False: False -> True": "set by the first press",
    "overlap: self._gaps: Array = np.zeros(0): 0 -> 1": "never read before it is set",
    "overlap: if self._before is None or not np.array_equal(self._before, q):: self._before is None -> "
    "self._before is not None": "measures again what it knows",
    "overlap: if (gaps < least).any():: gaps < least -> gaps <= least": "exactly the limit less 1 nm",
    "overlap: if (tried < least).any():: tried < least -> tried <= least": "exactly the limit less 1 nm",
    "overlap: for i in np.flatnonzero(gaps < least):: gaps < least -> gaps <= least": "exactly the limit less 1 nm",
    **{f"supervisor: _ACT_ORDER = {{Act.DISENGAGE: 0, Act.ARM: 1, Act.READY: 2, Act.RESET: 3}}: {change}": why
       for change, why in (("0 -> -1", "the first all the same"), ("0 -> 1", "no mode heeds both DISENGAGE and ARM"),
                           ("1 -> 0", "no mode heeds both DISENGAGE and ARM"), ("3 -> 4", "the last all the same"),
                           ("1 -> 2", "a ramp that has just begun is not over, so that ARM is refused"),
                           ("2 -> 1", "a ramp that has just begun is not over, so that ARM is refused"))},
    **{f"supervisor: {line}": "what is sent is compared by rank"
       for line in ("NOTHING = 0: 0 -> -1", "POLICY = 3: 3 -> 4")},
    "supervisor: self._active = 0: 0 -> 1": "the source is not judged in the first tick",
    "supervisor: self._held = self._held_before = True  # a deadman held since before the start is no press: "
    "True -> False": "the first tick is in BOOT or DAMPED, where a press does nothing",
    **{f"supervisor: self._engaged_source = 0: 0 -> {other}": "set as it engages" for other in ("1", "-1")},
    **{f"supervisor: self._ramp_ns = 0: 0 -> {other}": "set as READY begins" for other in ("1", "-1")},
    **{f"supervisor: self._engaged, self._pressed_before = False, True  # only with latched_engage: {change}":
       "the first tick is in BOOT or DAMPED, which engages nothing" for change in ("False -> True", "True -> False")},
    **{f"supervisor: gap_ns = now_ns - self._last_ns if self._last_ns else 0: 0 -> {other}":
       "a nanosecond before the first tick" for other in ("1", "-1")},
    **{f"supervisor: if act is Act.READY and mode is Mode.IDLE and {_BLOCKED} < 0:: {change}": why for change, why in (
        (f"{_BLOCKED} < 0 -> {_BLOCKED} <= 0", _STALE), ("0 -> 1", _STALE), ("False -> True", "IDLE knows no ramp"))},
    **{f"supervisor: if {_BLOCKED} >= 0:: {change}": why for change, why in (
        (f"{_BLOCKED} >= 0 -> {_BLOCKED} > 0", _STALE), ("0 -> 1", _STALE), ("False -> True", "DAMPED knows no ramp"))},
    **{f"supervisor: ramp_over and blocked < 0, blocked, self._refused + self._inbox.refused,: {change}": _STALE
       for change in ("blocked < 0 -> blocked <= 0", "0 -> 1")},
    f"supervisor: elif mode is Mode.ARMED and self._pressing() and {_BLOCKED} < 0:: False -> True":
    "ARMED knows no ramp",
    **{f"supervisor: elif self._robot.messages >= self._check_messages and {_IDLES} < 0:: {change}": _STALE
       for change in (f"{_IDLES} < 0 -> {_IDLES} <= 0", "0 -> 1")},
    **{f"supervisor: if ramp_over and {_RAMPED} < 0:: {change}": _STALE
       for change in (f"{_RAMPED} < 0 -> {_RAMPED} <= 0", "0 -> 1")},
    "joint_steps: return q, np.where(np.abs(q - wanted) > 1e-9, self._speed, np.nan): np.abs(q - wanted) > 1e-09 -> "
    "np.abs(q - wanted) >= 1e-09": "exactly a nanoradian",
    **{f"policy_watch: self._stale_ns = 0: 0 -> {other}": "set with the first targets" for other in ("1", "-1")},
    **{f"policy_watch: self._samples: deque[tuple[int, int]] = deque(maxlen=128): 128 -> {other}":
       "a second of a 50 Hz policy is 51" for other in ("129", "127")},
    "policy_watch: if len(self._samples) < 2 or not nominal_hz > 0.0:: 2 -> 1": "one sample takes no time, as below",
    "robot_watch: self._foreign_commands = self._foreign_ns = 0: 0 -> -1": "less than any count, and none was heard",
    "robot_watch: if sine < 1e-6:: sine < 1e-06 -> sine <= 1e-06": "the sine of no arc cosine near it",
    **{f"robot_watch: {_FAST}: {change}": "quick look: the exact one beside it decides"
       for change in ("_square(dq) > self._speed ** 2 -> _square(dq) >= self._speed ** 2", "2 -> 1")},
    "robot_watch: if _square(state.q) < IMPOSSIBLE_Q**2 and _square(state.dq) < IMPOSSIBLE_DQ**2:: 2 -> 1":
    "quick look, of either: the exact one below decides",
    "robot_watch: self.tilt_rad = math.acos(max(-1.0, min(1.0, self.up_b[2]))): 1.0 -> 2.0":
    "either bound: a sum rounds to no more than that of the same squares with plus signs",
    **{f"conditions: held_for = in_mode_ns if mode is Mode.HOLD else 0: 0 -> {other}": "far below the longest hold"
       for other in ("1", "-1")},
    "conditions: found |= 1 << Cause.SOURCE_STALE: 1 << Cause.SOURCE_STALE -> 1 >> Cause.SOURCE_STALE": "cause 0",
    "conditions: tilted_ns = self._stalls.age_ns(self._tilted_since_ns, now_ns) if self._tilted_since_ns else -1: "
    "1 -> 2": "any negative number",
    **{f"thresholds: {_LOOSENS}: {change}": why for change, why in (
        ("row.strictest <= row.value -> row.strictest < row.value", "no limit is its own strictest"),
        ("value > high -> value >= high", "the ends of the range were accepted"),
        ("value < low -> value <= low", "the ends of the range were accepted"))},
    "thresholds: if not wanted < ceiling:: wanted < ceiling -> wanted <= ceiling": "the ceiling either way",
    "thresholds: period_ms = 1e3 / nominal_hz if nominal_hz > 0.0 else math.inf: 0.0 -> 1.0":
    "up to 1 Hz it is the ceiling anyway",
    "thresholds: near = difflib.get_close_matches(name, _BY_NAME, n=1): 1 -> 2": "the first of them is named",
    "thresholds: hint = f\"did you mean '{near[0]}'?\" if near else f\"valid: {', '.join(_BY_NAME)}\": 0 -> -1":
    "the only one",
}
"""'file: source line: original -> mutated' of mutants that no test can kill, and why."""
