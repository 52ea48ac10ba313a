"""A photo of a face, animated by rig latents on the CPU.

The photo's own pose and expression are the rig's neutral: a latent of zeros gives the photo back, only that lips which
the photo has apart are closed. From the face mesh of the photo a mesh of the whole head is built; coefficients displace
its vertices (portrait/shapes.py), the head turns about the top of the neck in weak perspective, and the neck and shoulders
follow less the lower they lie. The person is cut out softly and drawn over a background completed behind the head, so
nothing else ever moves. A few drawn poses are measured as a tracker would, to fit the photo to the rig (portrait/fit.py).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.base import Avatar
from avatar_forcing_ros.motion.idle import breath
from avatar_forcing_ros.motion.portrait.fit import fitted_gains
from avatar_forcing_ros.motion.portrait.limits import resolved
from avatar_forcing_ros.motion.portrait.lips import seam, wide_open, with_line, with_wide_mouth
from avatar_forcing_ros.motion.portrait.matte import completed, continued
from avatar_forcing_ros.motion.portrait.mesh import (
    child_of,
    grid_around,
    patch,
    reach,
    smoothstep,
    strip,
    triangles_around,
    wears_glasses,
    with_large_eyes,
    with_still_skin,
    without_cliffs,
)
from avatar_forcing_ros.motion.portrait.mouth import Mouth, PhotoTeeth
from avatar_forcing_ros.motion.portrait.openings import Eye, curve_matrix, unseen, with_smooth_lids
from avatar_forcing_ros.motion.portrait.photo import read_picture, sampled
from avatar_forcing_ros.motion.portrait.shapes import Shapes
from avatar_forcing_ros.motion.portrait.source import Source, cache_file, load, store
from avatar_forcing_ros.motion.portrait.warp import Warp
from avatar_forcing_ros.motion.tracking import mesh as face_mesh
from avatar_forcing_ros.motion.tracking.landmarks import HEAD_CENTRE, fit_pose, rotation_of
from avatar_forcing_ros.motion.tracking.mesh import (
    EYE_OUTER_LEFT,
    EYE_OUTER_RIGHT,
    FACE_OVAL,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    IRIS,
    LOWER_LID,
    MOUTH_CORNER,
    UPPER_LID,
)

_NECK = 0.8  # D; from the chin down to where the shoulders follow the head only a little
_SHOULDERS = 0.08  # of the head's movement that the shoulders make
_GRID_STEP = 0.34  # D; spacing of the vertices around the face
_CLOSED_MOUTH = 0.04  # D; inner lips nearer than this are one line: the mesh is never exact
_DEPTH = 1.3  # the mesh's depth is flatter than a head: ears lie 0.8 D behind the eyes' corners, the nose 0.5 D before
_DEEP, _FLATTEN = 0.10, 0.55  # D behind the eyes; beyond it depth counts less, so that a turned cheek does not stretch
_STEEPEST = 1.0, 3.0  # depth per way across a picture from the side, from the front: steeper skin is seen edge-on
_LASHES = 0.035  # D; height of the band above the upper lid that holds the lashes
_STRETCHES = 0.015  # D; height of the skin above it that a closing lid stretches below glasses
_LASH_LINE = 0.022  # D; width of the line that closed lids make
_LID_EDGE = 0.04  # D; lids that moved this far have left behind the shadow they cast on the photo's eyes
_BREATH = 0.012  # D; how far the shoulders rise
_SHUT_BY_LOOK = 0.5  # of the opening at most; lids follow an eye that looks down, and would shut a narrow one
_FRONTAL = 0.25  # radians; a photo turned less than this turns as far as any
_CALMED = 0.35  # of a photo's smile that is taken back at rest: more would leave its cheeks without their reason
_CHEEK_LEFT = 0.3, 0.7  # of the way to the outline that a corner of the mouth may go, turned far and frontal
_LEAST_SMILE = 0.35  # of itself
_MIN_SIDE = 64
BEYOND = 8  # so many parts of a picture's side a person goes on beyond the photo


class PortraitAvatar(Avatar):
    """Animates one photo. Stateless: the same latent gives the same picture.

    image: (H, W, 3) uint8 RGB, in any of four turns. size: of the pictures in pixels, a square's side or (width, height). device: see warp.Warp.
    Raises InputError when no face is found. Attribute `photo` is the view of it that is drawn: latent zero gives it back, with
    the lips closed where the photo has them apart. `notes` tells what was chosen: a turn, one face of several.
    """

    def __init__(self, image: np.ndarray, size: int | tuple[int, int] = 512, device: str = "cpu"):
        _check(image, size)
        self._set_up(Source.of(image, size), size, device)

    @classmethod
    def from_file(
        cls, path: str | Path, size: int | tuple[int, int] = 512, device: str = "cpu", cache: bool = False
    ) -> PortraitAvatar:
        """Reads a picture of any usual format: colour, grey, 16 bits, transparent; one that lies on its side or stands on its head
        is turned. Raises InputError when it cannot.

        cache: keep what is found in the photo on disk (portrait/source.py), and take it from there.
        """
        picture = read_picture(path)
        try:
            _check(picture, size)
            file = cache_file(picture, size) if cache else None
            source = (load(file) if file else None) or Source.of(picture, size)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        avatar = cls.__new__(cls)
        fitted = bool(len(source.gain))
        avatar._set_up(source, size, device)
        if file and not fitted:
            store(file, source)
        return avatar

    # ---- once per photo -------------------------------------------------------------------------------------------

    def _set_up(self, source: Source, size: int | tuple[int, int], device: str) -> None:
        self.size = size if isinstance(size, int) or size[0] != size[1] else size[0]
        self.width, self.height = (size, size) if isinstance(size, int) else size
        self.notes = [str(note) for note in source.notes]
        self._skin = source.skin
        self._fineness = self._skin.shape[1] / self.width
        self.photo = sampled(self._skin, (self.width, self.height))
        points = with_large_eyes(self.photo, source.points)
        self._measure(points)
        points = with_wide_mouth(self.photo, points, self._unit)
        self._build_mesh(points)
        if not source.person.size:
            source.person = self._cut_out(points, source.mask, source.background)
        beyond = (source.person.shape[0] - self._skin.shape[0]) // 2
        corners = self._on_skin(self._photo_mesh[self._triangles, :2]) + beyond
        self._warp = Warp(source.person, source.background, self._triangles, corners)
        self._prepare_openings(points)
        if not len(source.gain):
            source.gain = fitted_gains(self._draw)  # before another device: the same gains everywhere
        self._gain = 1 + self._turns * (source.gain - 1)  # from the side landmarks are a guess, and so is the fit
        self._keep_on_cheeks()
        self._warp.use(device)

    def _measure(self, points: np.ndarray) -> None:
        """The face's unit, axes and centre of turning, in pixels of the crop."""
        right, left = points[EYE_OUTER_RIGHT], points[EYE_OUTER_LEFT]
        self._unit = float(np.linalg.norm(left - right))
        yaw, _, roll = fit_pose(points * _AXES_UP).angles
        # A photo from the side knows little of the far side, and turns less.
        self._turns = float(np.clip(1.0 - (abs(yaw) - _FRONTAL) / 0.65, 0.5, 1.0))
        self._axes = _as_image(rotation_of(np.array([yaw, 0.0, roll]))).T  # rows: face right, down, away, on the image
        self._between_eyes = (left + right) / 2
        self._pivot = self._between_eyes + (HEAD_CENTRE * _AXES_UP * self._unit) @ self._axes

    def _to_face(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 3) in D along the face's axes, from between the eyes."""
        return (points - self._between_eyes) @ self._axes.T / self._unit

    def _to_image(self, ways: np.ndarray) -> np.ndarray:
        """Displacements (..., 3) in D along the face's axes in pixels along the image's."""
        return ways @ (self._axes * self._unit)

    def _on_skin(self, points: np.ndarray) -> np.ndarray:
        """Where points (..., 2) of the picture lie on the finer skin."""
        return (points + 0.5) * self._fineness - 0.5

    def _build_mesh(self, points: np.ndarray) -> None:
        face = points[: face_mesh.MESH_POINTS].copy()
        upper, lower = INNER_LIP_UPPER[1:-1], INNER_LIP_LOWER[1:-1]
        self._gap_at_rest = float(((face[lower] - face[upper]) @ self._axes[1]).max()) / self._unit
        if self._gap_at_rest <= _CLOSED_MOUTH:
            face[upper] = face[lower] = seam(self.photo, face[upper], face[lower], self._axes, self._unit)
        at = self._to_face(face)
        at[:, 2] *= _DEPTH
        at[:, 2] -= np.maximum(at[:, 2] - _DEEP, 0.0) * (1 - _FLATTEN)
        face = self._to_image(at) + self._between_eyes
        face[:, 2] = without_cliffs(face, np.interp(self._turns, (0.5, 1.0), _STEEPEST))
        upper_lids = UPPER_LID["Right"][1:-1] + UPPER_LID["Left"][1:-1]
        surface, face, owners = face_mesh.with_band(face_mesh.triangles(), face, upper_lids, _LASHES * self._unit)
        lashes = dict(zip(range(face_mesh.MESH_POINTS, len(face)), owners))
        self._glasses = glasses = wears_glasses(self.photo, points)
        if glasses:
            surface, face = with_still_skin(surface, face, lashes, _STRETCHES * self._unit)
        holes = [strip(INNER_LIP_UPPER, INNER_LIP_LOWER)] + [
            strip(UPPER_LID[s], LOWER_LID[s]) for s in ("Right", "Left")
        ]
        around = grid_around(face[FACE_OVAL, :2], (self.width, self.height), _GRID_STEP * self._unit)
        photo_mesh = np.concatenate([face, np.column_stack([around, self._depth_around(face, around)])])
        outer = triangles_around(photo_mesh[:, :2], len(face))
        self._triangles = np.concatenate([surface, *holes, outer])
        edges = face_mesh.edges(np.concatenate([surface, outer]))
        shapes = Shapes(self._to_face(photo_mesh), edges, lashes, glasses)
        self._photo_mesh = self._rest = photo_mesh
        if self._gap_at_rest > _CLOSED_MOUTH:  # the rig's neutral is a calm closed mouth, whatever the photo shows
            self._rest = photo_mesh + self._to_image(shapes.closing())
            shapes = Shapes(self._to_face(self._rest), edges, lashes, glasses)
            smile = _CALMED * shapes.smile_at_rest()
            if smile.any():
                index = [rig.INDEX["mouthSmileRight"], rig.INDEX["mouthSmileLeft"]]
                self._rest = self._rest - self._to_image(np.tensordot(smile, shapes.basis[index], 1))
                shapes = Shapes(self._to_face(self._rest), edges, lashes, glasses)
        self._basis = self._to_image(shapes.basis).astype(np.float32).reshape(rig.DIM, -1)
        lids = [[contour[side][4] for side in ("Right", "Left")] for contour in (UPPER_LID, LOWER_LID)]
        looking_up = self._basis[rig.INDEX["gazeY"]].reshape(-1, 3)
        gap, closing = ((x[lids[1]] - x[lids[0]]) @ self._axes[1] for x in (self._rest, looking_up))
        self._lowest_look = -_SHUT_BY_LOOK * float((gap / closing).min())
        self._follow = np.ones(len(self._rest))
        chin = self._to_face(self._rest[face_mesh.CHIN])[1]
        below = (self._to_face(self._rest[len(face) :])[:, 1] - chin) / _NECK
        self._follow[len(face) :] = 1 - (1 - _SHOULDERS) * smoothstep(below)

    def _keep_on_cheeks(self) -> None:
        """A turned face has little room beside the far corner of its mouth: smiles on that side stay this side of the outline."""
        most = float(np.interp(self._turns, (0.8, 1.0), _CHEEK_LEFT))
        for side in ("Right", "Left"):
            corner, outline = MOUTH_CORNER[side], self._rest[FACE_OVAL, :2]
            for name in ("mouthSmile" + side, "mouthStretch" + side):
                i = rig.INDEX[name]
                way = self._basis[i].reshape(-1, 3)[corner, :2] * self._gain[i]
                room = reach(self._rest[corner, :2], way, outline)
                self._gain[i] *= min(max(most * room, _LEAST_SMILE), 1.0)

    def _depth_around(self, face: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Depth of vertices beyond the face: from its border back to the plane through the centre of the head."""
        oval = face[FACE_OVAL]
        distance = np.linalg.norm(around[:, None] - oval[None, :, :2], axis=2)
        share = 1 / distance**3
        border = (share * oval[:, 2]).sum(axis=1) / share.sum(axis=1)
        back = self._pivot[2]
        return border + (back - border) * smoothstep(distance.min(axis=1) / (0.7 * self._unit))

    def _cut_out(self, points: np.ndarray, mask: np.ndarray, background: np.ndarray) -> np.ndarray:
        """The person (P, Q, 4) uint8 RGBA: the skin's, continued by as much on each side."""
        # The person's own colour in mixed pixels, so that person over background gives the photo back.
        texels = self._skin.shape[1::-1]
        mask = cv2.resize(mask, texels, interpolation=cv2.INTER_LINEAR)
        behind = cv2.resize(background, texels, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        cover = np.maximum(mask, 0.08)[..., None]
        person = np.clip((self._skin - (1 - cover) * behind) / cover, 0, 255)
        rim = max(1, round(0.008 * self._unit * self._fineness))
        # Closed lids must not show the eye that the photo has between them, nor closed lips the teeth.
        openings = [(points[UPPER_LID[side] + LOWER_LID[side][::-1], :2], (rim, 0)) for side in ("Right", "Left")]
        if self._gap_at_rest > _CLOSED_MOUTH:
            openings.append((points[INNER_LIP_UPPER + INNER_LIP_LOWER[::-1], :2], (rim, rim)))
        for contour, (down, up) in openings:
            opening = np.zeros(mask.shape, np.uint8)
            cv2.fillPoly(opening, [self._on_skin(contour).astype(np.int32)], 1)
            grown = opening.copy()
            grown[down:] |= opening[:-down]
            if up:
                grown[:-up] |= opening[up:]
            person = completed(person.astype(np.float32), grown.astype(np.float32))
        fine = self._unit * self._fineness
        if self._glasses:
            person = with_smooth_lids(person, self._on_skin(points[:, :2]), fine, _LASHES, _LASHES + _STRETCHES)
        if wide_open(self._gap_at_rest):
            smooth = curve_matrix(len(INNER_LIP_UPPER))
            lips = [self._on_skin(smooth @ self._photo_mesh[c, :2]) for c in (INNER_LIP_UPPER, INNER_LIP_LOWER)]
            person = with_line(person, lips, fine, wide_open(self._gap_at_rest))
        layer = (np.dstack([person, mask * 255.0]) + 0.5).astype(np.uint8)
        side, pad = min(self._skin.shape[:2]), min(self._skin.shape[:2]) // 4
        return continued(layer, side // BEYOND, pad, fine)

    def _prepare_openings(self, points: np.ndarray) -> None:
        self._lip_curve, self._lid_curve = curve_matrix(len(INNER_LIP_UPPER)), curve_matrix(len(UPPER_LID["Right"]))
        rest = self._rest[:, :2]
        self._eyes, self._eyes_at = {}, {}
        lids = {
            s: (self._lid_curve @ rest[UPPER_LID[s]], self._lid_curve @ rest[LOWER_LID[s]]) for s in ("Right", "Left")
        }
        guessed = unseen(self.photo, list(lids.values()))
        for side, curves in lids.items():
            self._eyes[side] = Eye(self.photo, *curves, points[IRIS[side], :2], guessed)
            lids_of = self._rest[UPPER_LID[side] + LOWER_LID[side]]
            self._eyes_at[side] = lids_of.mean(axis=0)  # the ball turns with its lids
        down = self._axes[1] * self._unit
        cheeks = np.concatenate([patch(self.photo, points[p, :2], 0.08 * self._unit) for p in (50, 280, 4, 151)])
        skin = np.percentile(cheeks, 85, axis=0)
        teeth = None
        if self._gap_at_rest > _CLOSED_MOUTH:
            upper, lower = (
                self._lip_curve @ self._photo_mesh[contour, :2] for contour in (INNER_LIP_UPPER, INNER_LIP_LOWER)
            )
            teeth = PhotoTeeth.of(self.photo, upper, lower, self._unit, skin)
        # Teeth lie behind the lips; their edge shows a little below the line where closed lips meet; where the photo shows it,
        # there; and where its lips are open on something else, as far below the upper one as teeth are high.
        middle = (self._photo_mesh[INNER_LIP_UPPER[0]] + self._photo_mesh[INNER_LIP_UPPER[-1]]) / 2
        edge = max(0.022, min(0.8 * self._gap_at_rest, 0.09)) if self._gap_at_rest > _CLOSED_MOUTH else 0.022
        if teeth is not None:
            edge = float(np.clip(teeth.edge / self._unit, 0.022, 0.14))
        above = middle + self._axes[1] * ((self._photo_mesh[13] - middle) @ self._axes[1])
        below = middle + self._axes[1] * ((self._rest[14] - middle) @ self._axes[1])
        self._skull_teeth = above + down * edge + self._axes[2] * 0.06 * self._unit
        self._jaw_teeth = below + down * 0.018 + self._axes[2] * 0.08 * self._unit
        skin = skin / 255.0
        bright = float(np.clip(skin.max() * 1.2, 0.08, 1.0))
        cast = skin / skin.max() / np.array([1.0, 0.80, 0.70])  # against the colour of usual skin
        colour = float(np.clip((skin.max() - skin.min()) / max(skin.max(), 1e-3) / 0.12, 0.0, 1.0))
        light = 1 + colour * 0.4 * (cast / cast.mean() - 1)
        self._mouth = Mouth(self._unit, bright * np.clip(light, 0.7, 1.2), teeth, colour, self._axes, child_of(points))

    # ---- per frame ------------------------------------------------------------------------------------------------

    def render(self, motion: np.ndarray, frame: int | None = None) -> np.ndarray:
        """The picture (height, width, 3) uint8 RGB of one rig latent (32,); values beyond what a photo bears are limited.

        frame: the frame's index on the clock; given, the person breathes.
        """
        motion = np.asarray(motion, dtype=np.float32)
        if motion.shape != (rig.DIM,):
            raise InputError(f"portrait: expected a rig latent ({rig.DIM},), got {motion.shape}")
        return self._draw(resolved(np.nan_to_num(motion)), self._gain, frame)

    def points(self, motion: np.ndarray) -> np.ndarray:
        """Where the picture of a latent (32,) has the face's landmarks: (468, 3) pixels, y down, z away from the viewer."""
        return self._posed(resolved(np.asarray(motion, dtype=np.float32)) * self._gain)[1][: face_mesh.MESH_POINTS]

    def _draw(self, motion: np.ndarray, gain: np.ndarray, frame: int | None = None) -> np.ndarray:
        motion = motion * gain
        vertices, posed, pose, shift = self._posed(motion)
        if frame is not None:
            posed[:, 1] -= breath(frame) * _BREATH * self._unit * (1.0 - self._follow)
        picture = self._warp.draw(posed)
        self._draw_openings(picture, motion, vertices, posed, pose, shift)
        return picture

    def _posed(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The mesh (V, 3) with its expression, the same turned and shifted with the head, and the head's pose and shift."""
        of_skin = motion.copy()
        of_skin[rig.INDEX["gazeY"]] = max(motion[rig.INDEX["gazeY"]], self._lowest_look)
        vertices = self._rest + (of_skin @ self._basis).reshape(-1, 3)
        self._keep_apart(vertices)
        pose, shift = self._head(motion)
        posed = (vertices - self._pivot) @ pose.T + self._pivot + shift
        return vertices, vertices + (posed - vertices) * self._follow[:, None], pose, shift

    def _keep_apart(self, vertices: np.ndarray) -> None:
        """Summed coefficients must not push an upper lid below the lower one, or the lips through one another."""
        down = self._axes[1]
        for upper, lower, upper_share in (
            (UPPER_LID["Right"], LOWER_LID["Right"], 1.0), (UPPER_LID["Left"], LOWER_LID["Left"], 1.0),
            (INNER_LIP_UPPER, INNER_LIP_LOWER, 0.5),
        ):  # fmt: skip
            crossed = np.minimum((vertices[lower] - vertices[upper]) @ down, 0.0)[:, None] * down
            vertices[upper] += crossed * upper_share
            vertices[lower] -= crossed * (1 - upper_share)

    def _head(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(3, 3) turning and scale about the pivot in image coordinates, and the shift (3,) in pixels."""
        yaw, pitch, roll, x, y, scale = motion[rig.HEAD].astype(np.float64)
        rotation = _as_image(rotation_of(np.array([yaw * self._turns, pitch, roll])))
        return rotation * np.exp(scale), np.array([x, -y, 0.0]) * self._unit

    def _draw_openings(
        self,
        picture: np.ndarray,
        motion: np.ndarray,
        vertices: np.ndarray,
        posed: np.ndarray,
        pose: np.ndarray,
        shift: np.ndarray,
    ) -> None:
        linear = pose[:2, :2]

        def place(point: np.ndarray) -> np.ndarray:
            return ((point - self._pivot) @ pose.T + self._pivot + shift)[:2]

        for side in ("Right", "Left"):
            eye = self._eyes[side]
            moved = place(self._eyes_at[side]) - linear @ self._eyes_at[side][:2]
            look = np.array([0.25 * motion[rig.INDEX["gazeX"]], -0.125 * motion[rig.INDEX["gazeY"]]]) * eye.width
            upper, lower = self._lid_curve @ posed[UPPER_LID[side], :2], self._lid_curve @ posed[LOWER_LID[side], :2]
            lids = [UPPER_LID[side][4], LOWER_LID[side][4]]
            lids_moved = np.linalg.norm(vertices[lids] - self._rest[lids], axis=1).max() / (_LID_EDGE * self._unit)
            eye.draw(
                picture, upper, lower, linear, moved,
                gaze=look @ self._axes[:2, :2], lids_moved=float(smoothstep(lids_moved)),
            )  # fmt: skip
            eye.draw_lashes(picture, upper, lower, _LASH_LINE * self._unit)
        jaw = self._axes[1] * 0.40 * motion[rig.INDEX["jawOpen"]] + self._axes[0] * 0.08 * motion[rig.INDEX["jawX"]]
        upper, lower = self._lip_curve @ posed[INNER_LIP_UPPER, :2], self._lip_curve @ posed[INNER_LIP_LOWER, :2]
        skull = place(self._skull_teeth)
        on_frame = np.column_stack([linear, skull - linear @ self._skull_teeth[:2]])
        self._mouth.draw(
            picture, upper, lower, on_frame,
            skull=skull, jaw=place(self._jaw_teeth + jaw * self._unit), face_axes=self._axes[:2, :2].T,
        )  # fmt: skip


_AXES_UP = np.array([1.0, -1.0, -1.0])  # between y up, z near (landmarks.py) and the image's y down, z away


def _check(image: np.ndarray, size: int | tuple[int, int]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"portrait: expected an image (H, W, 3) of uint8, got {image.shape} of {image.dtype}")
    if min(image.shape[:2]) < _MIN_SIDE or np.min(size) < _MIN_SIDE:
        have = f"{image.shape[1]}x{image.shape[0]} at size {size}"
        raise InputError(f"portrait: image {have}: both need {_MIN_SIDE} pixels or more")


def _as_image(rotation: np.ndarray) -> np.ndarray:
    """A rotation (3, 3) of landmarks.py as one of image coordinates."""
    return rotation * _AXES_UP[:, None] * _AXES_UP
