"""What each rig coefficient does to a face mesh: displacement fields spread smoothly over the skin.

A coefficient names a few landmarks (handles) and how far they move, in D, along the face's own axes (x to image
right, y down, z away from the viewer); rig.py is the authority for those figures. Between the handles and the
landmarks that stay, the skin follows the smoothest field: the one that minimises the squared Laplacian over the
mesh (a discrete thin plate). Working on the mesh keeps the lips apart, and the lids, although they touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.portrait.lips import wide_open
from avatar_forcing_ros.motion.portrait.mesh import ABOVE_LID
from avatar_forcing_ros.motion.tracking.landmarks import AT, TYPICAL
from avatar_forcing_ros.motion.tracking.mesh import (
    BROW,
    CHIN,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    LOWER_LID,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
    UPPER_LID,
)

# Landmarks right of the midline have a twin on the left; (right, left) pairs used as handles.
_CORNER = {"Right": (61, 76, 62, 78), "Left": (291, 306, 292, 308)}
_CORNER_SKIN = {"Right": (57,), "Left": (287,)}
_CHEEK = {"Right": 205, "Left": 425}
_CHEEK_BONE = {"Right": 50, "Left": 280}
_UNDER_EYE = {"Right": (229, 230, 231), "Left": (449, 450, 451)}
_BELOW_RIM = 0.06  # D below the cheek bone; so far down a frame may reach
_TEMPLE = {"Right": (156, 139), "Left": (383, 368)}  # skin beside the tail of the brow
_CHIN_POINTS = (  # (right, left, how much of the chin's way this point of the jaw line goes)
    (152, 152, 1.0), (148, 377, 1.0), (176, 400, 0.94), (149, 378, 0.84), (150, 379, 0.68), (136, 365, 0.50),
    (172, 397, 0.32), (58, 288, 0.16), (132, 361, 0.05),
    (175, 175, 1.0), (199, 199, 1.02), (200, 200, 1.06), (18, 18, 1.18),
)  # fmt: skip
_NOSE = (1, 2, 4, 5, 6, 98, 327, 197, 195, 168, 64, 294, 129, 358, 94, 19)
_NOSE_WINGS = (64, 294, 98, 327, 129, 358)
_WINGS_RISE = 0.028  # D; the muscle that lifts the upper lip lifts the wings of the nose as well
_LIPS = tuple(dict.fromkeys(INNER_LIP_UPPER + INNER_LIP_LOWER + OUTER_LIP_UPPER + OUTER_LIP_LOWER))
_CORNER_DROP = 0.10  # D of the jaw's coefficient: the corners of the mouth follow
_AROUND = 0.5  # of the way outward: a corner of the mouth slides back around the teeth
_JAW_NARROWS = 0.02  # D of the jaw's coefficient: each corner goes inward as lips are drawn long
_SMILING_LIPS = 0.008  # D; how far the middle of the lips rises with one side's smile
_PARTED_IN = 0.02  # D; lips that part draw the corners inward
_LID_FOLLOWS = 0.032  # D; how far the upper lid goes with an eye turned up or down
_SMILE_GONE = 0.75  # of a smile that the rest shows, where its lips are round: people do not smile with a pout
_FROWN_TAKES = 1.15
_PEOPLE_DIFFER = 0.05  # D; corners so much further out and up are no smile yet
_CLOSED_LIP = 0.065  # D; a closed lip's height in its middle at least
_CHIN_DROP = 0.38  # of the jaw's coefficient: the chin goes nearly as far as the lower lip
_Way = tuple[float, float, float]  # of a handle, in D: x, y, z
_STAYS: _Way = (0, 0, 0)


class Shapes:
    """Displacement fields of the coefficients on one mesh.

    rest: (V, 3) vertices in D, in the face's axes, origin between the eyes; the first 468 are the landmarks.
    edges: (E, 2). lashes: vertex of the band above an upper lid -> the landmark of the lid below it. glasses: before the eyes;
    their frame lies on the skin that lids and cheeks would take along.
    """

    def __init__(self, rest: np.ndarray, edges: np.ndarray, lashes: dict[int, int], glasses: bool = False):
        self._rest = rest
        self._glasses = glasses
        self._lashes = lashes
        self._stiffness = {weld: self._bending(edges, weld) for weld in (False, True)}

    @cached_property
    def basis(self) -> np.ndarray:
        """(32, V, 3) float32: displacements in D per unit of each coefficient; pose coefficients have none."""
        self._basis = np.zeros((rig.DIM, len(self._rest), 3), dtype=np.float32)
        self._mouth()
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            self._mouth_side(side, sign)
            self._lids(side)
            self._brow(side)
        inner = {}
        for side in ("Right", "Left"):
            for row in BROW[side]:
                for point, share in zip(row, (1.0, 0.85, 0.45, 0.1)):
                    inner[point] = (0, -0.10 * share, 0)
        rims = tuple(ABOVE_LID["Right"] + ABOVE_LID["Left"] if self._glasses else ())
        self._set("browInnerUp", inner, fixed=self._lid_points() + rims, reach=0.62)
        self._unsmile()
        return self._basis

    def _unsmile(self) -> None:
        """Lips that round take back the smile of the rest: its long creases else stay where they are, and its corners with them."""
        for side, amount in zip(("Right", "Left"), self.smile_at_rest()):
            smile = amount * self._basis[rig.INDEX["mouthSmile" + side]]
            self._basis[rig.INDEX["mouthFrown" + side]] -= (
                _FROWN_TAKES * smile
            )  # else a frown on a laugh is a smaller laugh
            self._basis[rig.INDEX["mouthPucker"]] -= _SMILE_GONE * smile
            self._basis[rig.INDEX["mouthFunnel"]] -= 0.5 * _SMILE_GONE * smile

    def smile_at_rest(self) -> np.ndarray:
        """How much of mouthSmileRight and mouthSmileLeft the rest shows, (2,) from 0 to 0.9, beyond what people differ by."""
        nose = self._rest[2]
        amounts = []
        for side, sign in (("Right", -1.0), ("Left", 1.0)):
            corner = self._rest[_CORNER[side][0]] - nose
            outward, up = (
                sign * corner[0] - TYPICAL[AT["cornerOut" + side]],
                -corner[1] - TYPICAL[AT["cornerUp" + side]],
            )
            amounts.append((outward + up - _PEOPLE_DIFFER) / 0.2)
        return np.clip(np.mean(amounts) + 0.5 * (amounts - np.mean(amounts)), 0.0, 0.9)

    def closing(self) -> np.ndarray:
        """Displacements (V, 3) in D that close the lips of a rest that has them apart.

        Lips parted a little, as over a smile's teeth, meet by themselves; a wide open mouth closes by its jaw, as
        `jawOpen` opens it, and its corners come back to the height of the lips.
        """
        rest = self._rest
        gap = rest[INNER_LIP_LOWER, 1] - rest[INNER_LIP_UPPER, 1]
        upper_share = np.interp(gap.max(), (0.12, 0.45), (0.35, 0.12))
        middle = rest[INNER_LIP_UPPER[5], 1] + upper_share * gap[5]
        handles: dict[int, _Way] = {}
        for side in ("Right", "Left"):
            height = rest[_CORNER[side][-1], 1] - middle
            rise = np.clip(height, -0.14, 0.02) - height
            handles |= dict.fromkeys(_CORNER[side], (0.0, rise, 0.0)) | dict.fromkeys(
                _CORNER_SKIN[side], (0.0, 0.8 * rise, 0.0)
            )
        ends = [rest[p, 1] + handles[p][1] for p in (INNER_LIP_UPPER[0], INNER_LIP_UPPER[-1])]
        across = self._across(INNER_LIP_UPPER[1:-1])
        line = ends[0] + (ends[1] - ends[0]) * (across + 1) / 2
        line += (middle - sum(ends) / 2) * (1 - across**2)
        lower_rise = 0.0
        for k, height in enumerate(line, start=1):
            pair = INNER_LIP_UPPER[k], INNER_LIP_LOWER[k]
            goal = rest[list(pair)].mean(axis=0)
            goal[1] = height
            # Lips stretched thin by a wide mouth are thick again.
            least = wide_open(gap.max()) * _CLOSED_LIP * (1 - across[k - 1] ** 2)
            for inner, outer, way in zip(pair, (OUTER_LIP_UPPER[k], OUTER_LIP_LOWER[k]), (-1.0, 1.0)):
                thicker = max(least - way * (rest[outer, 1] - rest[inner, 1]), 0.0)
                handles[inner] = tuple(goal - rest[inner])
                handles[outer] = (0.0, goal[1] - rest[inner, 1] + way * thicker, 0.0)
            if k == 5:
                lower_rise = goal[1] - rest[pair[1], 1]
        for right, left, share in _CHIN_POINTS:
            handles[right] = handles[left] = (0.0, 0.8 * share * lower_rise, 0.0)
        return self._field(handles, _NOSE + self._lid_points(), 0.75, False)

    def _bending(self, edges: np.ndarray, weld: bool) -> np.ndarray:
        """(V, V) matrix of the bending energy; `weld` ties the inner lips together, so that a field cannot part them."""
        count = len(self._rest)
        gap = np.linalg.norm(self._rest[edges[:, 0], :2] - self._rest[edges[:, 1], :2], axis=1)
        weights = np.zeros((count, count))
        weights[edges[:, 0], edges[:, 1]] = weights[edges[:, 1], edges[:, 0]] = 1.0 / np.maximum(gap, 0.015)
        if weld:
            for upper, lower in zip(INNER_LIP_UPPER[1:-1], INNER_LIP_LOWER[1:-1]):
                weights[upper, lower] = weights[lower, upper] = 1e4
        laplacian = np.diag(weights.sum(axis=1)) - weights
        return laplacian @ laplacian

    def _set(self, name: str, handles: dict, fixed: Sequence[int] = (), reach: float = 0.7, weld: bool = False) -> None:
        self._basis[rig.INDEX[name]] = self._field(handles, fixed, reach, weld)

    def _field(self, handles: dict, fixed: Sequence[int], reach: float, weld: bool) -> np.ndarray:
        """(V, 3) field. handles: landmark -> (x, y, z). Vertices farther than `reach` (D) stay."""
        if weld:  # what the tie holds together must be told to go the same way
            for upper, lower in zip(INNER_LIP_UPPER[1:-1], INNER_LIP_LOWER[1:-1]):
                if upper in handles or lower in handles:
                    ways = [handles[p] for p in (upper, lower) if p in handles]
                    handles[upper] = handles[lower] = tuple(np.mean(ways, axis=0))
        moved = np.array(list(handles))
        distance = np.linalg.norm(self._rest[:, None, :2] - self._rest[None, moved, :2], axis=2).min(axis=1)
        bound = distance > reach
        bound[list(fixed)] = True
        field = np.zeros_like(self._rest)
        bound[moved] = True
        field[moved] = np.array(list(handles.values()))
        free = ~bound
        energy = self._stiffness[weld]
        field[free] = np.linalg.solve(energy[np.ix_(free, free)], -energy[np.ix_(free, bound)] @ field[bound])
        return field

    def _across(self, points: Any) -> np.ndarray:
        """Position of lip points between the corners: -1 at image left, 1 at image right."""
        left, right = self._rest[INNER_LIP_UPPER[0], 0], self._rest[INNER_LIP_UPPER[-1], 0]
        return np.clip(2 * (self._rest[points, 0] - left) / (right - left) - 1, -1, 1)

    def _mouth(self) -> None:
        upper_inner, lower_inner = INNER_LIP_UPPER[1:-1], INNER_LIP_LOWER[1:-1]
        upper_outer, lower_outer = OUTER_LIP_UPPER[1:-1], OUTER_LIP_LOWER[1:-1]
        corners = _CORNER["Right"] + _CORNER["Left"]

        def arch(points: Any, power: float) -> np.ndarray:  # 1 in the middle, 0 at the corners
            return (1 - self._across(points) ** 2) ** power

        jaw: dict[int, _Way] = {
            p: (-sign * _JAW_NARROWS, _CORNER_DROP, 0)
            for side, sign in (("Right", -1.0), ("Left", 1.0))
            for p in _CORNER[side]
        }
        for points, centre, power in (
            (upper_inner, -0.045, 0.7), (upper_outer, -0.03, 0.7), (lower_inner, 0.405, 0.62), (lower_outer, 0.39, 0.5),
        ):  # fmt: skip
            for point, x, share in zip(points, self._across(points), arch(points, power)):
                jaw[point] = (-x * _JAW_NARROWS, _CORNER_DROP * (1 - share) + centre * share, 0)
        for right, left, share in _CHIN_POINTS:
            jaw[right] = jaw[left] = (0, _CHIN_DROP * share, 0.05 * share)
        self._set("jawOpen", jaw, fixed=_NOSE + self._lid_points(), reach=0.75)

        sideways: dict[int, _Way] = {}
        for points, way in ((upper_inner, 0.05), (lower_inner, 0.05), (upper_outer, 0.035), (lower_outer, 0.075)):
            sideways |= {p: (way * s, 0, 0) for p, s in zip(points, arch(points, 0.5))}
        for right, left, share in _CHIN_POINTS:
            sideways[right] = sideways[left] = (0.10 * share, 0, 0)
        self._set("jawX", sideways, fixed=_NOSE, reach=0.6, weld=True)

        def all_lips(width: Any, upper: Any, lower: Any, forward: Any, parting: Any) -> dict:
            """Corners `width` inward, and the skin beside them, which holds the end of the line between the lips; outer lips
            rise and sink by upper, lower; inner lips part by `parting` each."""
            field = {}
            for points, rise in (
                (upper_inner, -parting), (lower_inner, parting), (upper_outer, -upper), (lower_outer, lower),
            ):  # fmt: skip
                for point, x, share in zip(points, self._across(points), arch(points, 0.5)):
                    field[point] = (-width * x, rise * share, -forward * (0.4 + 0.6 * share))
            for side, sign in (("Right", -1), ("Left", 1)):
                field |= {p: (-sign * width, 0, -forward * 0.3) for p in _CORNER[side]}
                field |= {p: (-sign * width, 0, 0) for p in _CORNER_SKIN[side]}
            return field

        self._set("mouthPucker", all_lips(0.12, 0.025, 0.03, 0.12, 0.0), fixed=_NOSE, reach=0.45, weld=True)
        self._set("mouthFunnel", all_lips(0.06, 0.07, 0.075, 0.10, 0.06), fixed=_NOSE, reach=0.45)
        press = {p: (0, 0, 0) for p in upper_inner + lower_inner + list(corners)}
        for outer, inner in ((upper_outer, upper_inner), (lower_outer, lower_inner)):
            for point, towards in zip(outer, inner):
                press[point] = tuple(0.5 * (self._rest[towards] - self._rest[point]) * (0, 1, 0))
        self._set("mouthPress", press, fixed=_NOSE, reach=0.3)
        parted: dict[int, _Way] = {
            p: (sign * _PARTED_IN, 0, 0) for side, sign in (("Right", 1.0), ("Left", -1.0)) for p in _CORNER[side]
        }
        rise = dict.fromkeys(lower_inner, _STAYS) | parted
        rise |= {p: (0, -0.08 * s, 0) for p, s in zip(upper_inner, arch(upper_inner, 0.5))}
        rise |= {p: (0, -0.08 * s, 0) for p, s in zip(upper_outer, arch(upper_outer, 0.4))}
        rise |= dict.fromkeys(_NOSE_WINGS, (0, -_WINGS_RISE, 0))
        self._set("mouthUpperUp", rise, fixed=(1, 4), reach=0.4)
        sink = dict.fromkeys(upper_inner, _STAYS) | parted
        sink |= {p: (0, 0.08 * s, 0) for p, s in zip(lower_inner, arch(lower_inner, 0.5))}
        sink |= {p: (0, 0.075 * s, 0) for p, s in zip(lower_outer, arch(lower_outer, 0.4))}
        self._set("mouthLowerDown", sink, fixed=(CHIN,), reach=0.4)

    def _mouth_side(self, side: str, sign: float) -> None:
        corner, skin = _CORNER[side], _CORNER_SKIN[side]
        middle = (0, 13, 14, 17)
        other = _CORNER["Left" if side == "Right" else "Right"]

        def lips(outward: float, up: float, middle_up: float = 0.0) -> dict:
            """Corner moved, the lips follow more the nearer they are to it, more gently upward than outward."""
            field = {p: (sign * outward, -up, _AROUND * outward) for p in corner}
            for point in _LIPS:
                reach = sign * self._across([point])[0]  # 1 at this corner
                if point not in corner and reach > 0.05:
                    share = reach**1.1
                    rise = up * reach**2 + middle_up * (1 - reach)
                    field[point] = (sign * outward * share, -rise, _AROUND * outward * share)
            return field | dict.fromkeys(middle, (0, -middle_up, 0))

        smile = lips(0.10, 0.10, _SMILING_LIPS) | {p: (sign * 0.085, -0.085, _AROUND * 0.085) for p in skin}
        smile[_CHEEK_BONE[side]] = (sign * 0.01, -0.035, -0.02)
        smile[_CHEEK[side]] = (sign * 0.035, -0.055, -0.03)
        smile |= {p: (0, -0.012, 0) for p in _UNDER_EYE[side]}
        above: tuple[int, ...] = ()
        if self._glasses:  # cheeks rise below the frame alone
            above = tuple(np.flatnonzero(self._rest[:, 1] <= self._rest[_CHEEK_BONE[side], 1] + _BELOW_RIM).tolist())
            smile = {p: way for p, way in smile.items() if p not in above}
        away = other + _NOSE[:6] + (CHIN,) + self._lid_points() + above
        self._set("mouthSmile" + side, smile, fixed=away, reach=0.55, weld=True)
        frown = lips(0.0, -0.08) | {p: (0, 0.07, 0) for p in skin}
        self._set("mouthFrown" + side, frown, fixed=other + _NOSE, reach=0.4, weld=True)
        stretch = lips(0.12, 0.0) | {p: (sign * 0.10, 0, _AROUND * 0.10) for p in skin}
        self._set("mouthStretch" + side, stretch, fixed=other + _NOSE, reach=0.5, weld=True)

    def _lid_points(self) -> tuple[int, ...]:
        return tuple(p for side in ("Right", "Left") for p in UPPER_LID[side] + LOWER_LID[side])

    def _lids(self, side: str) -> None:
        upper, lower = UPPER_LID[side][1:-1], LOWER_LID[side][1:-1]
        corners = [UPPER_LID[side][0], UPPER_LID[side][-1]]
        brow = [p for row in BROW[side] for p in row]
        if self._glasses:  # lids and lashes alone move: all other skin may have a frame on it
            brow = [p for p in range(len(self._rest)) if p not in self._lashes and p not in upper + lower + corners]
        gap = self._rest[lower] - self._rest[upper]
        still = dict.fromkeys(corners, (0, 0, 0))
        blink = still | {p: tuple(0.86 * g * (0, 1, 0)) for p, g in zip(upper, gap)}
        blink |= {p: tuple(-0.14 * g * (0, 1, 0)) for p, g in zip(lower, gap)}
        # Lashes go down with the lid as they are; what stretches is the smooth skin above them.
        blink |= {band: tuple(0.97 * np.array(blink[lid])) for band, lid in self._lashes.items() if lid in blink}
        self._set("eyeBlink" + side, blink, fixed=brow, reach=0.28)
        wide = still | {p: tuple(-0.5 * g * (0, 1, 0)) for p, g in zip(upper, gap)}
        self._set("eyeWide" + side, wide, fixed=brow + lower, reach=0.25)
        arch = np.sin(np.linspace(0, np.pi, len(lower) + 2))[1:-1] ** 0.6
        squint = still | {p: (0, -0.04 * s, 0) for p, s in zip(lower, arch)}
        if not self._glasses:
            squint |= {p: (0, -0.03, 0) for p in _UNDER_EYE[side]}
            squint[_CHEEK[side]] = (0, -0.02, 0)
        self._set("eyeSquint" + side, squint, fixed=brow + upper if self._glasses else upper, reach=0.3)
        # Lids go with the eye, up and down.
        follow = still | {p: (0, -_LID_FOLLOWS * s, 0) for p, s in zip(upper, arch)}
        follow |= {p: (0, -0.35 * _LID_FOLLOWS * s, 0) for p, s in zip(lower, arch)}
        follow |= {band: follow[lid] for band, lid in self._lashes.items() if lid in follow}
        self._basis[rig.INDEX["gazeY"]] += self._field(follow, brow, 0.25, False)

    def _brow(self, side: str) -> None:
        lids = self._lid_points() + tuple(ABOVE_LID[side] if self._glasses else ())
        down, outer = {}, {}
        for row in BROW[side]:
            # The tail goes a little farther than the rest: at the temple landmarks lean to where it was.
            for point, sinks, rises in zip(row, (1.0, 1.0, 1.0, 1.0, 0.85), (0.0, 0.15, 0.55, 1.0, 1.3)):
                down[point] = (0, 0.07 * sinks, 0)
                outer[point] = (0, -0.10 * rises, 0)
        outer |= {point: (0, -rise, 0) for point, rise in zip(_TEMPLE[side], (0.09, 0.06))}
        self._set("browDown" + side, down, fixed=lids, reach=0.5)
        self._set("browOuterUp" + side, outer, fixed=lids, reach=0.55)
