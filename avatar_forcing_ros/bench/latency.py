"""Latency from outside: a face that jumps to a smile in front of the camera, a voice that begins; when do the pixels change?

The graph of `avatar-forcing run` without sources and recorder; instead of them one reader, which sends the stimuli and looks
at the images that come back. What it sees is set against what the graph reports of itself. Generator: reflex, whose
answer to a smile has a known delay and whose lips move with the first frame of the voice.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar_forcing_ros.audio.decode import AudioDecoder
from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.generators.reflex import MIRROR_DELAY_FRAMES
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.space import make_avatar
from avatar_forcing_ros.paths import node_executable
from avatar_forcing_ros.run.session import Session
from avatar_forcing_ros.timeline import FRAME_NS, NANOSECONDS, SAMPLE_RATE, SAMPLES_PER_FRAME

SIZE = 256  # of the camera's and the avatar's images: the reader is not to be what is measured
_SETTLE_S = 3.5  # the tracker learns the neutral face, the presentation delay settles
_HOLD_S, _REST_S = 1.2, 2.0  # how long a stimulus lasts, and the rest before the next one
_RISING = 0.15  # share of the quickest change from image to image at which the change has begun
_SUSTAINED = 5  # images over which a change has to stay
_ANSWER_FRAMES = 36  # within which the change is looked for
_SMILE = rig.pose(mouthSmileLeft=0.9, mouthSmileRight=0.9)
_READY_S = 90.0
_BUSY = "The machine was too busy to show it: stop other programs, or measure steps of 10 frames"


@dataclass(frozen=True)
class SeenImage:
    received_ns: int
    smile: float  # how far the picture goes from rest toward a smile, 1: a whole smile
    mouth: float  # and toward an open mouth


class _Direction:
    """How far a picture goes from one to another, by the pixels that differ most."""

    def __init__(self, rest: np.ndarray, there: np.ndarray) -> None:
        change = there.astype(np.float32) - rest
        strong = np.abs(change).max(axis=2) > 0.4 * np.abs(change).max()
        self._where, self._rest = strong, rest[strong].astype(np.float32)
        self._change = change[strong] / float(np.square(change[strong]).sum())

    def __call__(self, image: np.ndarray) -> float:
        return float(np.vdot(image[self._where] - self._rest, self._change))


def stimulus_test(
    commit: int | None = None,
    delay: float | None = None,
    rounds: int = 4,
    avatar: str = "screen_face",
    show: Callable[[str], object] = print,
) -> dict:
    """Runs the graph, smiles at it and speaks through it `rounds` times each. Needs ROS.

    commit, delay: as of Session. Returns, medians in ms of all rounds:
    smile: from the stamp of the first smiling camera image (sent at once) to the reader's first image with a changed mouth;
        `reported` the graph's own reaction latency of that camera image, `generator` the mirror delay of reflex, and
        `difference` what the outside saw beyond both, `resolution` the largest gap between two images, `answered` of how
        many rounds an answer was seen: a machine that leaves out images hides some.
    voice: from the sending of speech to its first sample at the reader, and `lips_after_sound` from then to the
        first image with an opening mouth; `reported` the presentation delay.
    """
    node_executable("motion_generator")  # where there is none there is no rclpy either, and it says what to do
    from avatar_forcing_ros.run.graph import NAMESPACE, Graph, NodePlan
    from avatar_forcing_ros.run.live import plan

    session = Session(out="none.mp4", generator="reflex", avatar=avatar, size=SIZE, commit=commit, delay=delay)
    nodes = [n for n in plan(session) if n.executable != "recorder"]
    nodes += [NodePlan("face_ingest", "face", "user", {"reliable": True}), NodePlan("audio_ingest", "microphone", "user"),
              NodePlan("audio_ingest", "speech", "speech")]  # fmt: skip
    with Graph(nodes) as graph:
        client = graph.client
        client.wait_for_state([n.path for n in graph.nodes], "active", _READY_S, graph.check)
        with _Reader(f"/{NAMESPACE}", avatar, delay) as reader:
            reader.wait_until_connected(graph.check)
            reader.settle()
            for _ in range(rounds):
                reader.smile()
                graph.check()
            for _ in range(rounds):
                reader.speak()
                graph.check()
        result: dict[str, Any] = {"commit_frames": commit, "smile": reader.smiles(), "voice": reader.voices()}
    for name in ("smile", "voice"):
        told = ", ".join(f"{k} {v:.0f} ms" for k, v in result[name].items() if k != "answered")
        show(f"{name}: {told}; {result[name]['answered']} of {rounds} answered")
    return result


class _Reader:
    """Camera, microphone, synthesiser and viewer in one node of its own."""

    def __init__(self, namespace: str, avatar: str, delay: float | None) -> None:
        self.namespace = namespace
        self._delay_ns = round((delay or 0.0) * NANOSECONDS)  # before it nothing can answer
        user = make_avatar("portrait", size=SIZE)
        self._neutral, self._smiling = user.render(rig.neutral()), user.render(_SMILE)
        face = make_avatar(avatar, size=SIZE)
        rest = face.render(rig.neutral())
        self._to_smile = _Direction(rest, face.render(_SMILE))
        self._to_open = _Direction(rest, face.render(rig.pose(jawOpen=0.35)))
        self._images: deque[SeenImage] = deque(maxlen=4000)
        self._sounds: deque[tuple[int, float]] = deque(maxlen=4000)  # (received, peak)
        self._used: deque[tuple[int, int]] = deque(maxlen=4000)  # newest camera frame used, image published
        self._smile_sent: list[int] = []
        self._speech_sent: list[int] = []
        self._delays: deque[float] = deque(maxlen=100)
        self._next = 0  # camera frame to send, in ns

    def __enter__(self) -> _Reader:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import Image

        from avatar_forcing_ros.msg import AvatarFrame, PresentationState
        from avatar_forcing_ros.ros import qos
        from avatar_forcing_ros.ros.sound import STAMPED, SoundPublisher

        self._decoder = AudioDecoder()  # of either package called audio_common_msgs
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("stimulus", namespace=self.namespace, context=self._context)
        self._camera = self.node.create_publisher(Image, "user/camera/image_raw", qos.reliable(4))
        self._voice = SoundPublisher(self.node, "user/")
        self._speech = SoundPublisher(self.node, "speech/")
        self.node.create_subscription(Image, "image_raw", self._on_image, qos.reliable(10))
        self.node.create_subscription(AvatarFrame, "avatar_frame", self._on_frame, qos.reliable(50))
        self.node.create_subscription(PresentationState, "presentation", self._on_state, qos.reliable(50))
        self.node.create_subscription(STAMPED, "spoken/audio_stamped", self._on_sound, qos.reliable(50))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        import rclpy

        self._executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def wait_until_connected(self, check: Callable[[], None]) -> None:
        deadline = time.monotonic() + _READY_S
        while not (self._camera.get_subscription_count() and self._images and self._sounds):
            check()
            if time.monotonic() > deadline:
                raise AvatarForcingError("the graph shows no images to the stimulus test")
            time.sleep(0.05)
        self._next = self._now()

    # --- stimuli ------------------------------------------------------------------------------------------------
    def play(self, seconds: float, smiling: bool) -> None:
        """The camera's images and the microphone's silence, 25 per second, each sent at the moment that its stamp says."""
        end = self._next + round(seconds * NANOSECONDS)
        while self._next < end:
            time.sleep(max(0, self._next - self._now()) / NANOSECONDS)
            self._send_image(self._smiling if smiling else self._neutral, self._next)
            silence = np.zeros(SAMPLES_PER_FRAME, np.float32)
            self._voice.publish(silence, SAMPLE_RATE, _stamp(self._next - FRAME_NS), "stimulus")
            self._next += FRAME_NS

    def settle(self) -> None:
        """Until the tracker knows the neutral face and the avatar answers what the camera sees."""
        self.play(_SETTLE_S, smiling=False)
        until = self._next + 10 * NANOSECONDS
        while not self._used and self._next < until:
            self.play(0.5, smiling=False)

    def smile(self) -> None:
        self._smile_sent.append(self._next)
        self.play(_HOLD_S, smiling=True)
        self.play(_REST_S + self._delay_ns / NANOSECONDS, smiling=False)

    def speak(self) -> None:
        """A vowel of half a second at once and unstamped, as a synthesiser sends it."""
        t = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
        vowel = 0.3 * np.sum([np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9)], axis=0)
        self._speech_sent.append(self._now())
        self._speech.publish(vowel.astype(np.float32), SAMPLE_RATE, _stamp(0), "stimulus")
        self.play(_REST_S + self._delay_ns / NANOSECONDS, smiling=False)

    def _send_image(self, picture: np.ndarray, stamp_ns: int) -> None:
        from sensor_msgs.msg import Image

        from avatar_forcing_ros.media.images import rgb_bytes

        message = Image(height=SIZE, width=SIZE, encoding="rgb8", step=3 * SIZE)
        message.header.stamp = _stamp(stamp_ns)
        message.data = rgb_bytes(picture)
        self._camera.publish(message)

    def _now(self) -> int:
        return self.node.get_clock().now().nanoseconds

    # --- what comes back ----------------------------------------------------------------------------------------
    def _on_image(self, message) -> None:
        received = self._now()
        picture = np.frombuffer(message.data, np.uint8).reshape(SIZE, SIZE, 3)
        self._images.append(SeenImage(received, self._to_smile(picture), self._to_open(picture)))

    def _on_frame(self, message) -> None:
        from avatar_forcing_ros.ros.messages import nanoseconds

        camera = nanoseconds(message.camera_stamp)
        if camera and not message.held:
            self._used.append((camera, nanoseconds(message.published)))

    def _on_state(self, message) -> None:
        from avatar_forcing_ros.ros.messages import nanoseconds

        self._delays.append(nanoseconds(message.delay) / 1e6)

    def _on_sound(self, message) -> None:
        samples = self._decoder.decode(message)
        self._sounds.append((self._now(), float(np.abs(samples).max(initial=0))))

    # --- what it shows ------------------------------------------------------------------------------------------
    def smiles(self) -> dict[str, float]:
        generator = MIRROR_DELAY_FRAMES * FRAME_NS / 1e6
        rows = []
        for sent in self._smile_sent:
            seen = self._changed(sent, lambda image: image.smile)
            used = next((published for camera, published in self._used if camera >= sent), None)
            if used is not None and seen is not None:
                rows.append(((seen - sent) / 1e6, (used - sent) / 1e6))
        if not rows:
            raise AvatarForcingError(f"the stimulus test: no smile of {len(self._smile_sent)} was answered. {_BUSY}")
        outside, reported = np.median(rows, axis=0)
        difference = float(np.median([o - r - generator for o, r in rows]))
        return {"to_pixels": float(outside), "reported": float(reported), "generator": generator, "difference": difference,
                "resolution": self._largest_gap(), "answered": len(rows)}  # fmt: skip

    def voices(self) -> dict[str, float]:
        to_sound, lips = [], []
        for sent in self._speech_sent:
            heard = next((t for t, peak in self._sounds if t > sent and peak > 0.05), None)
            seen = self._changed(sent, lambda image: image.mouth)
            if heard is None or seen is None:
                continue
            to_sound.append((heard - sent) / 1e6)
            lips.append((seen - heard) / 1e6)
        if not lips:
            raise AvatarForcingError(f"the stimulus test: no speech of {len(self._speech_sent)} was answered. {_BUSY}")
        return {"to_sound": float(np.median(to_sound)), "reported": float(np.median(self._delays)),
                "lips_after_sound": float(np.median(lips)), "answered": len(lips)}  # fmt: skip

    def _largest_gap(self) -> float:
        """Between two images while stimuli were shown, in ms: on a busy machine nothing is seen more finely than that."""
        times = [image.received_ns for image in list(self._images) if image.received_ns > self._smile_sent[0]]
        return float(np.diff(times).max()) / 1e6

    def _changed(self, sent: int, value: Callable[[SeenImage], float]) -> int | None:
        """When the first image after `sent` came with which the value begins to rise. The idle face moves as well, slowly,
        and blinks: so the change is looked for where the value rises the most over some images and stays up."""
        images = list(self._images)
        steps = [(b.received_ns, value(b) - value(a)) for a, b in zip(images, images[1:], strict=False)]
        before = [abs(step) for t, step in steps if -12 * FRAME_NS < t - sent - self._delay_ns <= 0]
        after = [(t, step) for t, step in steps if 0 < t - sent - self._delay_ns <= _ANSWER_FRAMES * FRAME_NS]
        if not before or len(after) <= _SUSTAINED:
            return None
        rises = [sum(step for _, step in after[i : i + _SUSTAINED]) for i in range(len(after) - _SUSTAINED + 1)]
        first = int(np.argmax(rises))
        rise = after[first : first + _SUSTAINED]
        quickest, idle = max(step for _, step in rise), float(np.median(before))
        if quickest < max(0.01, 3 * idle):
            return None
        return next((t for t, step in rise if step > _RISING * quickest + 2 * idle), None)


def _stamp(nanoseconds: int):
    from rclpy.time import Time

    return Time(nanoseconds=nanoseconds).to_msg()
