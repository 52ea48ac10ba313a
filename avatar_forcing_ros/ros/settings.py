"""Every node's settings, one frozen dataclass each, with types, ranges, units and words. Needs no rclpy.

The names are those of the ROS parameters; docs/parameters.md is made from this file (tools/docs/parameters.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import BACK_ENDS
from avatar_forcing_ros.generators.base import MAX_SEED
from avatar_forcing_ros.generators.onnx_graphs import PROVIDER_CHOICES
from avatar_forcing_ros.media.camera.encodings import MAX_PIXELS
from avatar_forcing_ros.media.camera.headers import KINDS
from avatar_forcing_ros.media.images import ImageLimits
from avatar_forcing_ros.motion.direction.director import AS_MADE
from avatar_forcing_ros.motion.space import AVATARS, SPACES, Network
from avatar_forcing_ros.motion.tracking import FOLLOW
from avatar_forcing_ros.presentation.governor import MODES
from avatar_forcing_ros.ros.setting import ACTIVATE, PROCESS, RUNNING, group, setting
from avatar_forcing_ros.timeline import BLOCK_FRAMES
from avatar_forcing_ros.voice.listening.barge_in import POLICIES
from avatar_forcing_ros.voice.listening.vad import DETECTORS

BACK_END = "as the back end has it"
LATEST = 1e12  # seconds: beyond any clock


@dataclass(frozen=True)
class NodeSettings:
    """What every node has."""

    autostart: bool = setting(
        True, "configure and activate by itself; false where a lifecycle manager does it", read_at=PROCESS
    )


@dataclass(frozen=True)
class NetworkSettings(NodeSettings):
    """Of nodes that may run a network."""

    weights: str | None = setting(
        None, "weights of the network: a folder of `weights export-onnx`, a file of `avatar-forcing train`, or the folder of the published ones (docs/weights.md)",
        none_means="those of this package",
    )  # fmt: skip
    device: str = setting("auto", "where the network runs: auto, cpu, cuda or cuda:N")
    precision: str = setting("auto", "precision of the network", choices=("auto", "float32", "bfloat16", "float16"))

    @property
    def network(self) -> Network:
        return Network(self.weights or "", self.device, self.precision)


@dataclass(frozen=True)
class AudioIngestSettings(NodeSettings):
    speaker: str = setting("user", "whose sound this is", choices=("user", "avatar"))
    stamped: bool = setting(True, "read audio_stamped; false: read audio, timed by its arrival", read_at=ACTIVATE)
    sample_format: str = setting("S16LE", "sample format until an AudioInfo arrives")
    sample_rate: int = setting(16000, "sample rate until an AudioInfo arrives", unit="Hz", low=0, high=768000)
    channels: int = setting(1, "channels until an AudioInfo arrives", low=0, high=64)
    channel: int | None = setting(
        None, "the channel to use, from 0", low=0, high=63, empty=-1, none_means="the mean of all"
    )
    release_delay: float = setting(
        0.03, "longest wait for the avatar's speech after a frame's end", unit="s", low=0, high=1,
        read_at=ACTIVATE,
    )  # fmt: skip
    max_queue_seconds: float = setting(120.0, "longest queue of the avatar's speech", unit="s", low=1, high=3600)


@dataclass(frozen=True)
class SpeakerSettings(NodeSettings):
    voice: str = setting(
        "auto",
        "engine:voice, such as espeak-ng:en-us, flite:slt, hibari or openai:alloy; auto: the first engine that is installed",
    )
    language: str | None = setting(None, "language to be spoken, such as de or en-GB", none_means="the voice's")


@dataclass(frozen=True)
class ListenerSettings(NodeSettings):
    detector: str = setting(
        "auto", "voice activity: silero (its network), level (over the noise floor), auto (silero where it is installed)",
        choices=DETECTORS,
    )  # fmt: skip
    barge_in: str = setting(
        "stop", "when the user speaks over the avatar: off, duck (quieter), stop (quieter at once, then an end unless it was an mhm)",
        choices=POLICIES,
    )  # fmt: skip
    duck_gain: float = setting(0.3, "volume of the avatar's voice while the user speaks", low=0, high=1)


@dataclass(frozen=True)
class HostSettings(NodeSettings):
    script: str | None = setting(
        None, "YAML file of a scripted host (docs/voice.md)", none_means="that of this package"
    )
    brain_url: str | None = setting(
        None, "address of a server with /v1/chat/completions, such as http://localhost:8080/v1; its key is OPENAI_API_KEY",
        none_means="the scripted host answers",
    )  # fmt: skip
    brain_model: str | None = setting(None, "model of that server", none_means="an error where brain_url is set")
    prompt: str | None = setting(None, "system prompt of that model", none_means="a friendly host who answers briefly")
    recognition_url: str | None = setting(
        None, "address of a server with /v1/audio/transcriptions", none_means="words come on user/text, if at all"
    )
    recognition_model: str = setting("whisper-1", "model of that server")
    language: str | None = setting(None, "language of the user, such as en", none_means="the server detects it")
    end_of_turn: float = setting(0.7, "silence after which the user's turn has ended", unit="s", low=0.2, high=5)
    patience: float = setting(20.0, "longest wait for an answer", unit="s", low=1, high=120)
    nod_after: float = setting(3.0, "user's talk after which a pause gets a nod", unit="s", low=1, high=60)
    gone_after: float = setting(
        60.0, "time without a user after which the next one is greeted", unit="s", low=5, high=3600
    )


@dataclass(frozen=True)
class FaceIngestSettings(NetworkSettings):
    compressed: bool = setting(
        False, "read camera/image_raw/compressed; the short form of transport:=compressed", read_at=ACTIVATE
    )
    transport: str = setting(
        "raw", "read camera/image_raw, or below it /compressed or /ffmpeg", choices=("raw", "compressed", "ffmpeg"),
        read_at=ACTIVATE,
    )  # fmt: skip
    max_pixels: int = setting(
        MAX_PIXELS, "width times height of the largest image that is decoded", low=1024, high=2**30, read_at=ACTIVATE
    )
    image_kinds: str = setting(
        ", ".join(KINDS), "kinds of compressed images that are decoded; bmp, gif, tiff may be added", read_at=ACTIVATE
    )
    grey_black: float | None = setting(
        None, "value of black in mono16, 16UC1, 32FC1 and the like", low=-1e9, high=1e9, empty=-1e9,
        none_means="the encoding's own (docs/inputs.md)", read_at=ACTIVATE,
    )  # fmt: skip
    grey_white: float | None = setting(
        None,
        "value of white in the same encodings",
        low=-1e9,
        high=1e9,
        empty=-1e9,
        none_means="the encoding's own",
        read_at=ACTIVATE,
    )
    reliable: bool = setting(
        False, "ask the camera for reliable transport (its publisher must offer it); raw images of 512x512 and more need it over UDP",
        read_at=ACTIVATE,
    )  # fmt: skip
    space: str = setting("rig", "the motion space; it must be the generator's", choices=tuple(SPACES))
    learn_seconds: float = setting(3.0, "how long the user's neutral face is learned", unit="s", low=0, high=30)
    follow: str = setting(
        "first", "the face that is followed: first (until it leaves), largest, middle (nearest to the image's middle), "
        "topic (nearest to the point on `follow`, 0 to 1 across and down)", choices=FOLLOW,
    )  # fmt: skip
    dwell: float = setting(
        1.0, "how long another face has to be the better one before it is followed", unit="s", low=0, high=60
    )

    @property
    def limits(self) -> ImageLimits:
        """What may come from the camera. Raises InputError where only one end of the range of grey is given."""
        ends = (self.grey_black, self.grey_white)
        if (ends[0] is None) != (ends[1] is None):
            raise InputError("grey_black and grey_white belong together: give both, or none")
        kinds = tuple(kind.strip().lower() for kind in self.image_kinds.split(",") if kind.strip())
        return ImageLimits(self.max_pixels, kinds, None if ends[0] is None or ends[1] is None else (ends[0], ends[1]))


@dataclass(frozen=True)
class AnchorSettings:
    """What holds the slow mean pose near the portrait's (models/config.py: Anchor)."""

    enabled: bool = setting(True, "hold the slow mean pose near the portrait's; false: it may drift")
    time_constant: float | None = setting(
        None, "time constant of the slow mean", unit="s", low=0, high=60, empty=-1.0, none_means=BACK_END
    )
    dead_band: float | None = setting(
        None, "distance of the mean that is left alone", low=0, high=100, empty=-1.0, none_means=BACK_END
    )
    gain: float | None = setting(
        None, "share of the excess taken back per block", low=0, high=1, empty=-1.0, none_means=BACK_END
    )
    slew: float | None = setting(None, "largest correction per frame", low=0, high=1, empty=-1.0, none_means=BACK_END)


@dataclass(frozen=True)
class MotionGeneratorSettings(NetworkSettings):
    generator: str = setting(
        "embedded", "back end: embedded (the network of this package), reflex (rules, no network), published (with avatar neural)",
        choices=tuple(BACK_ENDS),
    )  # fmt: skip
    portrait: str | None = setting(
        None,
        "image file of the face, for a network that is told whose face it moves",
        none_means="that of this package",
    )
    commit_frames: int | None = setting(
        None, "frames that a step commits; the next one begins behind them", low=1, high=BLOCK_FRAMES, empty=0,
        none_means=BACK_END,
    )  # fmt: skip
    look_ahead: int | None = setting(
        None, "frames of the avatar's speech to wait for beyond those of the step", low=0, high=BLOCK_FRAMES, empty=-1,
        none_means="as the back end needs",
    )  # fmt: skip
    provider: str = setting(
        "auto", "execution provider of ONNX Runtime, for the embedded network; auto: cpu", choices=PROVIDER_CHOICES
    )
    compile: str = setting("none", "how the network is sped up on a GPU", choices=("none", "compile", "graph"))
    passes: int | None = setting(
        None, "network passes per block, as the authors count them", low=3, high=200, empty=0, none_means=BACK_END
    )
    audio_guidance: float | None = setting(
        None, "guidance scale of the avatar's speech", low=0, high=10, empty=-1.0, none_means=BACK_END
    )
    user_guidance: float | None = setting(
        None, "guidance scale of the user's voice and face", low=0, high=10, empty=-1.0, none_means=BACK_END
    )
    anchor: AnchorSettings = group(AnchorSettings)
    seed: int = setting(0, "seed of the random part of the motion", low=0, high=MAX_SEED)
    quality: str = setting(
        "auto",
        "auto (what the machine can keep up with, chosen while it runs), full or low (docs/runtime.md)",
        choices=MODES,
    )
    input_wait: float = setting(
        0.08, "wait for late speech while no renderer tells when images are due", unit="s", low=0, high=0.4,
        read_at=RUNNING,
    )  # fmt: skip
    realtime_priority: int = setting(
        1, "real-time priority of the thread that makes motion, for a back end that needs one core, where the system allows it; 0: none",
        low=0, high=50, read_at=ACTIVATE,
    )  # fmt: skip


@dataclass(frozen=True)
class RendererSettings(NetworkSettings):
    avatar: str = setting(
        "portrait", "the face: portrait (an animated photo), screen_face (a drawn face), neural (goes with published)",
        choices=AVATARS,
    )  # fmt: skip
    portrait: str | None = setting(None, "image file of a face", none_means="that of this package")
    theme: str | None = setting(None, "theme of the screen face", none_means="the first one")
    size: int = setting(512, "side of the images (neural: the size of its weights)", unit="pixels", low=128, high=2160)
    width: int | None = setting(
        None, "width of the images, where they are not square", unit="pixels", low=128, high=4096, empty=0,
        none_means="the size",
    )  # fmt: skip
    height: int | None = setting(
        None, "height of the images, where they are not square", unit="pixels", low=128, high=4096, empty=0,
        none_means="the size",
    )  # fmt: skip
    presentation_delay: float | None = setting(
        None, "time from a frame's own time to its display", unit="s", low=0.001, high=5, empty=0.0,
        none_means="measured, as short as it can be",
    )  # fmt: skip
    presentation_delay_low: float = setting(0.06, "lower bound of the measured delay", unit="s", low=0.02, high=5)
    presentation_delay_high: float = setting(1.0, "upper bound of the measured delay", unit="s", low=0.02, high=5)
    presentation_reserve: float = setting(0.015, "kept above the delay that blocks needed", unit="s", low=0, high=1)
    realtime_priority: int = setting(
        2, "real-time priority of the threads that show images and speak, where the system allows it; 0: none", low=0, high=50,
        read_at=ACTIVATE,
    )  # fmt: skip
    jpeg_quality: int = setting(85, "quality of image_raw/compressed", low=10, high=100, read_at=RUNNING)
    frame_id: str = setting("avatar", "frame_id of the images and the speech", read_at=RUNNING)
    mood: str | None = setting(
        None, "expression shown when no other is asked for: NAME:INTENSITY, such as happy:0.3, or VALENCE,AROUSAL",
        none_means="none", read_at=RUNNING,
    )  # fmt: skip
    liveliness: float = setting(
        AS_MADE,
        "0: calm, 1: lively; 0.5: the head and brows move as the generator has them",
        low=0,
        high=1,
        read_at=RUNNING,
    )
    robot_expression: str = setting(
        "off",
        "hri_msgs/Expression on /robot_face/expression: in (follow it), out (tell it)",
        choices=("off", "in", "out"),
    )

    @property
    def picture_size(self) -> tuple[int, int]:
        """(width, height) of the images."""
        return self.width or self.size, self.height or self.size


@dataclass(frozen=True)
class RecorderSettings(NodeSettings):
    out: str | None = setting(None, "the mp4 to write", none_means="an error: it must be given")
    timeline: str | None = setting(
        None, "the plot to write", none_means="beside the mp4, with the ending .timeline.png", read_at=RUNNING
    )
    bag: str | None = setting(None, "a rosbag2 folder to write as well", none_means="none")
    bag_storage: str = setting("mcap", "storage of the bag", choices=("mcap", "sqlite3"))
    start_time: float | None = setting(
        None, "ROS time of the file's first frame, which is shown the presentation delay later", unit="s", low=0,
        high=LATEST, empty=0.0, none_means="the first image", read_at=ACTIVATE,
    )  # fmt: skip


@dataclass(frozen=True)
class MediaSourceSettings(NodeSettings):
    source: str | None = setting(
        None, "video or sound file, rosbag2, webcam:0, mic: or mic:NAME", none_means="an error: it must be given"
    )
    camera_topic: str | None = setting(None, "camera topic inside a bag", none_means="the first one")
    audio_topic: str | None = setting(None, "sound topic inside a bag", none_means="the first one")
    play_video: bool = setting(True, "publish the images")
    play_audio: bool = setting(True, "publish the sound")
    start_time: float | None = setting(
        None, "ROS time at which the source begins", unit="s", low=0, high=LATEST, empty=0.0, none_means="at activation",
        read_at=ACTIVATE,
    )  # fmt: skip
    speed_of_sound_file: float = setting(
        1.0, "1: real time; above 1: sound is sent ahead, as text-to-speech does", low=1, high=1000, read_at=RUNNING
    )
    loop: bool = setting(False, "begin again at the end", read_at=RUNNING)
    exit_when_done: bool = setting(False, "end the process when the source has been played", read_at=RUNNING)
    frame_id: str = setting("camera", "frame_id of the images and the sound", read_at=RUNNING)


@dataclass(frozen=True)
class KioskSettings(NodeSettings):
    host: str = setting("127.0.0.1", "address to listen on; one that others reach needs certificate, key and token")
    port: int = setting(8443, "TCP port of the page", low=0, high=65535)
    token: str | None = setting(None, "token that a page must send", none_means="none needed (loopback only)")
    operator_token: str | None = setting(None, "token that an operator's page must send", none_means="as token")
    certificate: str | None = setting(None, "PEM file of the TLS certificate", none_means="no TLS")
    key: str | None = setting(None, "PEM file of its key", none_means="no TLS")
    max_viewers: int = setting(20, "pages that may watch at a time", low=0, high=1000)
    hold_seconds: float = setting(
        10.0, "how long a visitor's place is held after the connection is lost", unit="s", low=0, high=600
    )
    ice_servers: str | None = setting(
        None, 'TURN, as JSON: [{"urls": "turn:host:3478", "username": "u", "credential": "c"}]', none_means="none"
    )
    origins: str | None = setting(
        None, "pages of other addresses that may connect, as https://host:port, separated by commas", none_means="none"
    )
    avatar: str = setting("portrait", "portrait, screen_face, neural (as video), or a .glb or .vrm file")
    portrait: str | None = setting(None, "image file of a face", none_means="that of this package")
    theme: str | None = setting(None, "theme of the screen face", none_means="the first one")
    video: bool = setting(True, "send the face as video to pages that cannot draw it")
    tracking: str = setting(
        "server", "where the visitor's face is tracked; page: no picture leaves the visitor's device",
        choices=("server", "page"),
    )  # fmt: skip
    operator_buffer: float = setting(
        0.15, "time that an operator's motion and voice may take to arrive", unit="s", low=0, high=2
    )
    recording: bool = setting(False, "the page says that the session is recorded")
    sees: str | None = setting(None, "a sentence about this kiosk that visitors see", none_means="nothing")
    frame_id: str = setting("visitor", "frame_id of the visitor's images and sound", read_at=RUNNING)


@dataclass(frozen=True)
class FaceDisplaySettings(NodeSettings):
    compressed: bool = setting(False, "read image_raw/compressed, as from another machine", read_at=ACTIVATE)
    window: bool = setting(False, "a window instead of the whole screen", read_at=ACTIVATE)
    screen: int = setting(0, "number of the screen, counted from 0", low=0, high=16, read_at=ACTIVATE)
    delay: float = setting(
        0.06,
        "time from an image's stamp to its display; it must cover the transport",
        unit="s",
        low=0,
        high=1,
        read_at=RUNNING,
    )
    play_sound: bool = setting(True, "play the voice")
    sound_device: str | None = setting(
        None, "name of the sound device, as SDL names it", none_means="the system's", read_at=ACTIVATE
    )
    sound_latency: float = setting(
        0.0, "delay of the sound device beyond its own buffers; a Bluetooth loudspeaker has 0.2", unit="s",
        low=0, high=1, read_at=RUNNING,
    )  # fmt: skip


NODES: dict[str, type[NodeSettings]] = {
    "audio_ingest": AudioIngestSettings,
    "speaker": SpeakerSettings,
    "listener": ListenerSettings,
    "host": HostSettings,
    "face_ingest": FaceIngestSettings,
    "motion_generator": MotionGeneratorSettings,
    "renderer": RendererSettings,
    "recorder": RecorderSettings,
    "media_source": MediaSourceSettings,
    "kiosk": KioskSettings,
    "face_display": FaceDisplaySettings,
}  # by the name of the executable
