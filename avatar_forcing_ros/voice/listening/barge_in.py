"""What happens to the avatar's speech when the user speaks: nothing, quieter, or an end."""

from __future__ import annotations

from typing import NamedTuple

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.voice.listening.ear import INTERRUPTION, NONE, Heard

POLICIES = ("off", "duck", "stop")


class Action(NamedTuple):
    """gain: to be set now, or None; stop: end what is said; listen: the user has the turn from this frame on."""

    gain: float | None = None
    stop: bool = False
    listen: bool = False


class BargeIn:
    """policy: off, duck (quieter while the user speaks), stop. duck_gain: 0 to 1.

    stop: quieter at once, silent when it sounds as if the user took the turn, an end when that is sure, up again after an "mhm" or a
    "yeah".
    """

    def __init__(self, policy: str = "stop", duck_gain: float = 0.3) -> None:
        if policy not in POLICIES:
            raise InputError(f"barge-in '{policy}' is unknown; use one of {', '.join(POLICIES)}")
        self._policy, self._duck = policy, duck_gain
        self.reset()

    def reset(self) -> None:
        self._gain, self._stopped = 1.0, False

    def decide(self, heard: Heard, speaking: bool) -> Action:
        """Once per frame of the user's sound. speaking: the avatar says something that can be ended."""
        listen = heard.state == INTERRUPTION
        if heard.state == NONE or not speaking:
            if heard.state == NONE:
                self._stopped = False
            return Action(self._set(1.0), listen=listen)
        if self._policy == "stop" and listen and not self._stopped:
            self._stopped, self._gain = True, 1.0
            return Action(1.0, stop=True, listen=True)  # what is said next is as loud as ever
        if self._policy == "off" or self._stopped:
            return Action(listen=listen)
        wanted = 0.0 if heard.claims and self._policy == "stop" else self._duck
        return Action(self._set(min(wanted, self._gain)), listen=listen)

    def _set(self, gain: float) -> float | None:
        """None where it is so already."""
        if gain == self._gain:
            return None
        self._gain = gain
        return gain
