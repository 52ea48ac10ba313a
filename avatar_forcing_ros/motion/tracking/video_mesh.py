"""The face mesh with irises of each face in a video: found once, then followed from image to image.

As MediaPipe's FaceMesh does with refined landmarks: a detector finds a face; the mesh is measured in a square around it, level
with its eyes; the next image's square is the one around this image's mesh, as long as the mesh says that it sees a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from avatar_forcing_ros.motion.tracking.detector import Detection, detect, overlap
from avatar_forcing_ros.motion.tracking.models import MESH, network, table

COUNT = 478
_MARGIN = 1.5  # side of the square over the face's longer side
_EYE_CORNERS = (33, 263)
_LID_POINTS = 16  # the first points of an eye's crop are its lids'; an iris is as deep as they are
_LEAST_PRESENCE = 0.5
_SAME_SQUARE = 0.5


@dataclass(frozen=True)
class Square:
    """A turned square of the image. x, y: its centre; side: pixels; angle: radians, of its upper edge, y down."""

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def around(cls, low: np.ndarray, high: np.ndarray, first: np.ndarray, second: np.ndarray) -> Square:
        """low, high: corners (2,) of a face's box. first, second: eyes, from image left to right."""
        (x, y), side = (low + high) / 2, float((high - low).max())
        return cls(float(x), float(y), _MARGIN * side, float(np.arctan2(second[1] - first[1], second[0] - first[0])))

    @classmethod
    def of_detection(cls, face: Detection) -> Square:
        return cls.around(face.box[:2], face.box[2:], face.points[0], face.points[1])

    @classmethod
    def of_mesh(cls, points: np.ndarray) -> Square:
        flat = points[:, :2]
        return cls.around(flat.min(axis=0), flat.max(axis=0), flat[_EYE_CORNERS[0]], flat[_EYE_CORNERS[1]])

    @property
    def box(self) -> np.ndarray:
        half = self.side / 2
        return np.array([self.x - half, self.y - half, self.x + half, self.y + half])

    @property
    def turn(self) -> np.ndarray:
        """(2, 2): from the square's own axes, in units of its side, to pixels."""
        c, s = self.side * np.cos(self.angle), self.side * np.sin(self.angle)
        return np.array([[c, -s], [s, c]])


def cut(image: np.ndarray, square: Square, side: int) -> np.ndarray:
    """A square of an image, (side, side, 3) uint8; beyond the image its border is repeated."""
    matrix, turn = np.eye(3), square.turn
    matrix[:2, :2] = turn / side
    matrix[:2, 2] = (square.x, square.y) - turn.sum(axis=1) / 2
    # Not warpAffine: that rounds places to 1/1024 pixel a step, which the mesh sees.
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(image, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def measure(image: np.ndarray, square: Square, gain: float = 1.0) -> tuple[np.ndarray, float]:
    """The mesh in a square of an image: (478, 3) pixels, x right, y down, z away from the viewer; and how surely it is a face, 0 to 1.

    image: (H, W, 3) uint8 RGB. gain: how much brighter a dark image is made.
    """
    mesh = network(MESH)
    turn, side = square.turn, mesh.side
    crop = cut(image, square, side)
    values = np.multiply(crop, np.float32(gain / 255), dtype=np.float32)
    if gain != 1.0:
        np.minimum(values, np.float32(1), out=values)
    face, lips, right_eye, left_eye, right_iris, left_iris, flag = mesh(values[None])
    points = np.empty((COUNT, 3))
    points[:468] = face.reshape(468, 3)
    points[table("lips"), :2] = lips.reshape(-1, 2)
    for first, name, eye, iris in ((468, "eyeRight", right_eye, right_iris), (473, "eyeLeft", left_eye, left_iris)):
        indices = table(name)
        points[indices, :2] = eye.reshape(-1, 2)
        points[first : first + 5, :2] = iris.reshape(-1, 2)
        points[first : first + 5, 2] = points[indices[:_LID_POINTS], 2].mean()
    points /= side
    points[:, :2] = (points[:, :2] - 0.5) @ turn.T + (square.x, square.y)
    points[:, 2] *= square.side
    return points, float(1 / (1 + np.exp(-flag.item())))


class VideoMesh:
    """Finds and follows the meshes of at most `faces` faces. least: the score from which a detection is a face."""

    def __init__(self, faces: int = 1, least: float = 0.5) -> None:
        self.faces, self._least = faces, least
        self._squares: list[Square] = []

    def reset(self) -> None:
        """Forgets the video."""
        self._squares = []

    def process(self, image: np.ndarray, search: bool = True) -> list[np.ndarray]:
        """The meshes of the next image, each as `measure` gives it. search: look for faces where fewer than `faces` are followed."""
        squares = self._squares
        if search and len(squares) < self.faces:
            found = [Square.of_detection(d) for d in detect(image, least=self._least)[: self.faces]]
            squares = _without_doubles([*found, *squares])
        meshes = []
        for square in squares:
            points, presence = measure(image, square)
            if presence > _LEAST_PRESENCE:
                meshes.append(points)
        self._squares = [Square.of_mesh(points) for points in meshes]
        return meshes


def _without_doubles(squares: list[Square]) -> list[Square]:
    """Where two squares show one face the later one stays."""
    kept: list[Square] = []
    for square in squares:
        kept = [k for k in kept if overlap(square.box, k.box[None])[0] <= _SAME_SQUARE]
        kept.append(square)
    return kept
