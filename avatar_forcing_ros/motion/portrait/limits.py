"""What a photo bears of a rig latent: soft limits, and combinations that would break a face."""

from __future__ import annotations

import numpy as np

from avatar_forcing_ros.motion import rig

# Up to the knee a value is drawn as it is; beyond it approaches the limit and never reaches it. What is not named here
# has its range of rig.py, the last tenth of it soft. A photo shows one side of a head: it cannot turn far.
_HEAD = {"headYaw": (0.40, 0.56), "headPitch": (0.28, 0.42), "headRoll": (0.42, 0.65), "headX": (0.6, 1.2),
         "headY": (0.5, 1.0), "headScale": (0.30, 0.55)}  # fmt: skip
_KNEE, _LIMIT = 0.9 * rig.HIGH, 1.02 * rig.HIGH
for _name, (_knee, _limit) in _HEAD.items():
    _KNEE[rig.INDEX[_name]], _LIMIT[rig.INDEX[_name]] = _knee, _limit
_ONE_WAY = rig.LOW == 0.0
_SIDES = ("Left", "Right")


def resolved(motion: np.ndarray) -> np.ndarray:
    """A rig latent (32,) as a photo can show it; a new array. Values must be finite."""
    motion = _softly(np.asarray(motion, dtype=np.float32))
    value = {name: motion[i] for name, i in rig.INDEX.items()}

    def scale(name: str, share: float) -> None:
        motion[rig.INDEX[name]] *= min(max(share, 0.0), 1.0)

    turn = np.hypot(value["headYaw"] / 0.56, value["headPitch"] / 0.42)
    if turn > 1.0:  # turned and nodded at once, as far as one of them goes alone
        for name in ("headYaw", "headPitch"):
            scale(name, 1.0 / turn)
    for side in _SIDES:
        scale("eyeWide" + side, 1.0 - value["eyeBlink" + side])  # closing wins over widening
        scale("eyeSquint" + side, 1.0 - 0.5 * value["eyeBlink" + side])
        both = min(value["mouthSmile" + side], value["mouthFrown" + side])  # a corner goes one way
        motion[rig.INDEX["mouthSmile" + side]] -= both
        motion[rig.INDEX["mouthFrown" + side]] -= both
    wide = max(value["mouthSmileLeft"], value["mouthSmileRight"], value["mouthStretchLeft"], value["mouthStretchRight"])
    scale("mouthPucker", 1.0 - 0.5 * wide - 0.6 * value["jawOpen"])  # a mouth wide open is not narrow as well
    scale("mouthFunnel", 1.0 - 0.5 * wide)
    scale("mouthPress", 1.0 - 3.0 * value["jawOpen"])  # lips that are apart do not press
    scale("mouthLowerDown", 1.0 - 0.6 * value["jawOpen"])  # the lower lip stays off the chin,
    scale("mouthUpperUp", 1.0 - 0.4 * value["mouthFunnel"])  # the upper one off the nose
    return motion


def _softly(motion: np.ndarray) -> np.ndarray:
    size = np.abs(motion)
    room = np.maximum(_LIMIT - _KNEE, 1e-6)
    soft = _LIMIT - room * np.exp(-np.maximum(size - _KNEE, 0.0) / room)
    limited = np.sign(motion) * np.where(size > _KNEE, soft, size)
    return np.where(_ONE_WAY, np.maximum(limited, 0.0), limited).astype(np.float32)
