"""What a run is made of: its inputs, its face and where the result goes. Checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import GENERATORS
from avatar_forcing_ros.generators.base import MAX_SEED
from avatar_forcing_ros.media.reader import check_sound, is_live, open_media
from avatar_forcing_ros.media.writer import refuse_to_overwrite
from avatar_forcing_ros.motion import AVATARS, Network

PLOT_ENDINGS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Session:
    """Sources are files, bags, `webcam:N`, `mic:`; empty means absent. size in pixels, duration in seconds (0: to the end)."""

    out: str
    user_video: str = ""
    user_audio: str = ""
    avatar_audio: str = ""
    portrait: str = ""
    generator: str = "embedded"
    avatar: str = "portrait"
    theme: str = ""
    size: int = 512
    weights: str = ""  # of the network; empty: the one in the box
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    commit: int = 0  # frames that a step of the generator commits; 0: as the back end has it
    delay: float = 0.0  # seconds from a frame's time to its showing; 0: measured
    duration: float = 0.0
    loop: bool = False
    camera_topic: str = ""
    audio_topic: str = ""
    bag: str = ""
    timeline: str = ""  # the plot; empty: beside the mp4

    @property
    def space(self) -> str:
        """The motion space of the generator, which the camera's side and the face must share."""
        return GENERATORS[self.generator]

    @property
    def network(self) -> Network:
        return Network(self.weights, self.device, self.precision)

    @property
    def timeline_path(self) -> Path:
        return Path(self.timeline) if self.timeline else Path(self.out).with_suffix(".timeline.png")

    def check(self, offline: bool) -> None:
        """Raises InputError, in one line, on what can be seen before the start."""
        for source in (self.user_video, self.user_audio, self.avatar_audio):
            if offline and is_live(source):
                raise InputError(f"{source}: a live source cannot be run offline; give a file or a bag")
        for option in ("loop", "delay", "bag") if offline else ():
            if getattr(self, option):
                raise InputError(f"--{option} is of a run in real time: leave it out, or --offline")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed is {self.seed}: give 0 to {MAX_SEED}")
        if self.generator not in GENERATORS:
            raise InputError(f"generator '{self.generator}' is unknown; use one of {', '.join(GENERATORS)}")
        if self.avatar not in AVATARS:
            raise InputError(f"avatar '{self.avatar}' is unknown; use one of {', '.join(AVATARS)}")
        if (self.avatar == "neural") != (self.space == "lia512"):
            raise InputError(
                f"generator '{self.generator}' and avatar '{self.avatar}' have different motion spaces: published goes "
                "with neural, embedded and reflex with portrait or screen_face"
            )
        if self.space == "lia512" and not self.weights:
            raise InputError("the published network needs the authors' weights: give their folder with --weights; docs/weights.md says more")
        out = Path(self.out)
        if out.suffix.lower() != ".mp4":
            raise InputError(f"{self.out}: the result is an mp4; give a name that ends in .mp4")
        if self.timeline_path.suffix.lower() not in PLOT_ENDINGS:
            raise InputError(f"{self.timeline}: the plot is a picture; give a name that ends in {', '.join(PLOT_ENDINGS)}")
        for folder in (out.parent, Path(self.timeline).parent):
            if not folder.is_dir():
                raise InputError(f"{folder}: the folder for the result does not exist; make it first")
        if not (self.user_video or self.user_audio or self.avatar_audio):
            raise InputError("nothing to run: give --user-video, --user-audio or --avatar-audio")
        refuse_to_overwrite(self.out, self.user_video, self.user_audio, self.avatar_audio)
        if self.portrait and not Path(self.portrait).is_file():
            raise InputError(f"{self.portrait}: no such file; give the picture of a face")
        if self.user_video:
            with open_media(self.user_video, self.camera_topic or None, self.audio_topic or None) as reader:
                if not reader.has_video:
                    raise InputError(f"{self.user_video}: has no video; give it with --user-audio")
        for source, topic in ((self.user_audio, self.audio_topic), (self.avatar_audio, "")):  # a topic is one of the user's bag
            if source:
                with open_media(source, audio_topic=topic or None) as reader:
                    if not reader.live:
                        check_sound(reader)

