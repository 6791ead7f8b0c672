"""Who owns the motors: the robot's `motion_switcher` service, asked by us and, for the virtual robot, answered.

Two controllers on one command topic fight, so the robot's own one must be released before the first command. Requests
and responses are messages of their own topics; a response repeats the identity of its request.
"""

from __future__ import annotations

import json
import time
from typing import Any

from teleopd.robots.link import LinkTimeout, LinkUnavailable, RobotLinkError
from teleopd.robots.links.dds.idl import zero
from teleopd.robots.links.dds.transport import Participant

REQUEST_TOPIC, RESPONSE_TOPIC = "rt/api/motion_switcher/request", "rt/api/motion_switcher/response"
VERSION = "1.0.0.1"
ASK_VERSION, CHECK_MODE, SELECT_MODE, RELEASE_MODE = 1, 1001, 1002, 1003
OK, NOT_IMPLEMENTED, BAD_PARAMETER = 0, 3203, 3204
MAX_TEXT = 4096
"""Longest text taken from the other side."""
RELEASE_TRIES = 5
_POLL_S = 0.005
_SETTLE_S = 0.2
"""Between release and the next check: the robot takes a moment."""


class MotionSwitcherError(RobotLinkError):
    """The robot refused a request, or answered with something else than was asked for."""


class MotionSwitcherClient:
    """Asks the robot which of its controllers owns the motors. Waits for answers: for set-up, not for the loop."""

    def __init__(self, participant: Participant) -> None:
        self._where = f"on interface '{participant.interface}'"
        self._requests = participant.writer(REQUEST_TOPIC, "api", "Request_")
        self._responses = participant.reader(RESPONSE_TOPIC, "api", "Response_", reliable=True)
        self._last_id = 0

    def check(self, timeout_s: float = 5.0) -> str:
        """Name of the controller that owns the motors; empty when none does.

        Raises:
            LinkTimeout: no answer.
            MotionSwitcherError: a refusal, or an answer without a name.
        """
        text = self._call(CHECK_MODE, {}, timeout_s)
        try:
            name = json.loads(text)["name"]
        except (ValueError, KeyError, TypeError):
            name = None
        if not isinstance(name, str):
            raise MotionSwitcherError(f"motion_switcher answered CheckMode with {text[:80]!r}, which names no mode")
        return name

    def release(self, timeout_s: float = 5.0) -> None:
        """Take the motors from whatever owns them; the robot goes limp.

        Raises:
            LinkTimeout, MotionSwitcherError: no answer; a refusal.
        """
        self._call(RELEASE_MODE, {}, timeout_s)

    def make_free(self, *, release: bool, timeout_s: float = 5.0) -> None:
        """Confirm that nothing owns the motors; `release`: release what does, and confirm again.

        Raises:
            LinkUnavailable: a controller owns them and `release` is not wanted, or it does not let go.
            LinkTimeout, MotionSwitcherError: no answer; a refusal.
        """
        name = self.check(timeout_s)
        if name and not release:
            raise LinkUnavailable(
                f"the robot's controller '{name}' owns the motors {self._where}; hang the robot, which goes limp then, "
                "and give --release-controller"
            )
        for _ in range(RELEASE_TRIES):
            if not name:
                return
            self.release(timeout_s)
            name = self.check(timeout_s)
            if name:
                time.sleep(_SETTLE_S)
        if name:
            raise LinkUnavailable(
                f"the robot's controller '{name}' still owns the motors {self._where} after {RELEASE_TRIES} releases"
            )

    def _call(self, api: int, parameter: dict[str, Any], timeout_s: float) -> str:
        """Data of the answer to one request."""
        deadline = time.monotonic() + timeout_s
        while not (self._requests.matched and self._responses.matched):
            if time.monotonic() >= deadline:
                raise LinkTimeout(f"no motion_switcher service {self._where} within {timeout_s:g} s")
            time.sleep(_POLL_S)
        self._last_id = max(self._last_id + 1, time.monotonic_ns())
        request = zero("api", "Request_")
        request.header.identity.id, request.header.identity.api_id = self._last_id, api
        request.parameter = json.dumps(parameter)
        self._requests.write_message(request)
        while True:
            for response in self._responses.take_messages():
                if response.header.identity.id != self._last_id:
                    continue  # an answer to somebody else, or to a question given up
                code = response.header.status.code
                if code != OK:
                    raise MotionSwitcherError(f"motion_switcher refused request {api} {self._where} with code {code}")
                return str(response.data)[:MAX_TEXT]
            if time.monotonic() >= deadline:
                raise LinkTimeout(f"motion_switcher did not answer request {api} {self._where} within {timeout_s:g} s")
            time.sleep(_POLL_S)


class MotionSwitcherServer:
    """The service as the virtual robot offers it. `poll` answers what has come and never waits."""

    def __init__(self, participant: Participant, mode: str = "ai") -> None:
        """`mode`: name of the controller that owns the motors at first."""
        self._requests = participant.reader(REQUEST_TOPIC, "api", "Request_", reliable=True)
        self._responses = participant.writer(RESPONSE_TOPIC, "api", "Response_")
        self.mode = mode

    @property
    def released(self) -> bool:
        """Nothing owns the motors: commands may be obeyed."""
        return self.mode == ""

    def poll(self) -> None:
        """Answer every request that has come since the last time."""
        for request in self._requests.take_messages():
            identity = request.header.identity
            code, data = self._answer(identity.api_id, request.parameter[:MAX_TEXT])
            if request.header.policy.noreply:
                continue
            response = zero("api", "Response_")
            response.header.identity.id, response.header.identity.api_id = identity.id, identity.api_id
            response.header.status.code, response.data = code, data
            self._responses.write_message(response)

    def _answer(self, api: int, parameter: str) -> tuple[int, str]:
        if api == ASK_VERSION:
            return OK, VERSION
        if api == CHECK_MODE:
            return OK, json.dumps({"form": "0", "name": self.mode})
        if api == RELEASE_MODE:
            self.mode = ""
            return OK, ""
        if api == SELECT_MODE:
            try:
                name = json.loads(parameter)["name"]
            except (ValueError, KeyError, TypeError, RecursionError):
                name = None
            if not isinstance(name, str) or not name:
                return BAD_PARAMETER, ""
            self.mode = name
            return OK, ""
        return NOT_IMPLEMENTED, ""
