"""What a face is told to do: an expression, a gesture, how lively it is. It bends what a generator makes."""

from avatar_forcing_ros.motion.direction.director import Director, sounding
from avatar_forcing_ros.motion.direction.expressions import EXPRESSIONS, Expression
from avatar_forcing_ros.motion.direction.gestures import GESTURES, Gesture

__all__ = ["EXPRESSIONS", "GESTURES", "Director", "Expression", "Gesture", "sounding"]
