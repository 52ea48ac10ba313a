"""What a run is made of: its inputs, its face and where the result goes. Checked before anything starts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.generators import back_end
from avatar_forcing_ros.media.open import check_sound, is_live, open_media
from avatar_forcing_ros.media.video_writer import refuse_to_overwrite
from avatar_forcing_ros.motion import rig
from avatar_forcing_ros.motion.direction.director import Director
from avatar_forcing_ros.motion.direction.expressions import Expression
from avatar_forcing_ros.motion.space import Network
from avatar_forcing_ros.ros.setting import setting, settings_in
from avatar_forcing_ros.ros.settings import (
    FaceIngestSettings,
    MediaSourceSettings,
    MotionGeneratorSettings,
    RecorderSettings,
    RendererSettings,
)

PLOT_ENDINGS = (".png", ".svg", ".pdf")
ABSENT = "absent"


def of_node(*kinds: type, name: str, **other: Any) -> Any:
    """A field of Session that is the setting `name` of these nodes: default, range and words are the first one's,
    unless they are given here."""
    metadata = {f.name: f for f in dataclasses.fields(kinds[0])}[name].metadata
    default = other.pop("default", settings_in(kinds[0])[name].default)
    return dataclasses.field(default=default, metadata={**metadata, **other, "nodes": kinds, "parameter": name})


@dataclass(frozen=True, kw_only=True)
class Session:
    """Sources are files, bags, `webcam:N`, `mic:`; None means absent. What belongs to a node has that node's default, range and words;
    `avatar-forcing run` has an option for each field."""

    out: str
    user_video: str | None = setting(
        None, "the user's camera, with its sound if it has any: a file, a rosbag2, webcam:N", none_means=ABSENT
    )
    user_audio: str | None = setting(None, "the user's voice, instead of the video's sound", none_means=ABSENT)
    avatar_audio: str | None = setting(None, "the avatar's own speech", none_means=ABSENT)
    portrait: str | None = of_node(RendererSettings, MotionGeneratorSettings, name="portrait")
    generator: str = of_node(MotionGeneratorSettings, name="generator")
    avatar: str = of_node(RendererSettings, name="avatar")
    weights: str | None = of_node(MotionGeneratorSettings, RendererSettings, FaceIngestSettings, name="weights")
    device: str = of_node(MotionGeneratorSettings, RendererSettings, FaceIngestSettings, name="device")
    precision: str = of_node(MotionGeneratorSettings, RendererSettings, FaceIngestSettings, name="precision")
    theme: str | None = of_node(RendererSettings, name="theme")
    size: int = of_node(RendererSettings, name="size")
    width: int | None = of_node(RendererSettings, name="width")
    height: int | None = of_node(RendererSettings, name="height")
    quality: str = of_node(MotionGeneratorSettings, name="quality")
    seed: int = of_node(MotionGeneratorSettings, name="seed")
    commit: int | None = of_node(MotionGeneratorSettings, name="commit_frames")
    delay: float | None = of_node(RendererSettings, name="presentation_delay")
    duration: float | None = setting(
        None, "length of the run", unit="s", low=0, high=1e9, empty=0.0, none_means="that of the sources"
    )
    loop: bool = of_node(MediaSourceSettings, name="loop")
    camera_topic: str | None = of_node(MediaSourceSettings, name="camera_topic")
    audio_topic: str | None = of_node(MediaSourceSettings, name="audio_topic")
    domain: str | None = setting(
        None, "ROS domain of the nodes: 0 to 232, or `user`, that of this shell's other nodes",
        none_means="ROS_DOMAIN_ID if set, else a domain of its own, on this machine only",
    )  # fmt: skip
    bag: str | None = of_node(RecorderSettings, name="bag")
    timeline: str | None = setting(None, "the plot to write", none_means="beside OUT, with the ending .timeline.png")

    expression: str | None = of_node(RendererSettings, name="mood")
    liveliness: float = of_node(RendererSettings, name="liveliness")

    @property
    def space(self) -> str:
        """The motion space of the generator, which the camera's side and the face must share."""
        return back_end(self.generator).space

    @property
    def picture_size(self) -> tuple[int, int]:
        """(width, height) of the images."""
        return self.width or self.size, self.height or self.size

    @property
    def network(self) -> Network:
        return Network(self.weights or "", self.device, self.precision)

    @property
    def timeline_path(self) -> Path:
        return Path(self.timeline) if self.timeline else Path(self.out).with_suffix(".timeline.png")

    @property
    def director(self) -> Director:
        """What bends the generator's motion. Raises InputError for an expression or liveliness that there is not."""
        return Director(Expression.parse(self.expression or ""), self.liveliness)

    def parameters_of(self, kind: type) -> dict[str, Any]:
        """The ROS parameters that a node with settings of this kind gets. What is None stays as the node has it."""
        return {
            f.metadata["parameter"]: value
            for f in dataclasses.fields(self)
            if kind in f.metadata.get("nodes", ()) and (value := getattr(self, f.name)) is not None
        }

    def check(self, *, offline: bool) -> None:
        """Raises InputError, in one line, on what can be seen before the start."""
        for name, one in settings_in(Session).items():
            if getattr(self, name) is not None:
                one.checked(getattr(self, name))
        for source in (self.user_video, self.user_audio, self.avatar_audio):
            if offline and source and is_live(source):
                raise InputError(f"{source}: a live source cannot be run offline; give a file or a bag")
        for option in ("loop", "delay", "domain", "bag") if offline else ():
            if getattr(self, option):
                raise InputError(f"--{option} works in real time only: leave out --{option} or --offline")
        if offline and self.quality == "low":
            raise InputError(
                "--quality low works in real time only (offline, quality is full): leave out --quality or --offline"
            )
        entry = back_end(self.generator)
        if (self.avatar == "neural") != (self.space == "lia512"):
            raise InputError(
                f"generator '{self.generator}' and avatar '{self.avatar}' have different motion spaces: published goes "
                "with neural, embedded and reflex with portrait or screen_face"
            )
        if not self.director.idle and self.space != rig.SPACE:
            raise InputError(f"expression and liveliness bend the space '{rig.SPACE}': leave them out with published")
        if entry.needs_weights and not self.weights:
            raise InputError(
                "the published network needs the authors' weights: give their folder with --weights; docs/weights.md says more"
            )
        if (
            self.domain is not None
            and self.domain != "user"
            and not (self.domain.isdecimal() and int(self.domain) <= 232)
        ):
            raise InputError(f"domain is '{self.domain}'; give a number from 0 to 232, or user")
        if not (self.user_video or self.user_audio or self.avatar_audio):
            raise InputError("nothing to run: give --user-video, --user-audio or --avatar-audio")
        self._check_results()
        self._check_sources()

    def _check_results(self) -> None:
        if Path(self.out).suffix.lower() != ".mp4":
            raise InputError(f"{self.out}: the result is an mp4; give a name that ends in .mp4")
        if self.timeline_path.suffix.lower() not in PLOT_ENDINGS:
            raise InputError(
                f"{self.timeline}: the plot is a picture; give a name that ends in {', '.join(PLOT_ENDINGS)}"
            )
        for result in (Path(self.out), self.timeline_path, Path(self.out).with_suffix(".json")):
            check_writable(result)
        if self.bag and Path(self.bag).exists():
            raise InputError(f"{self.bag}: exists already; a bag is a new folder, give another name")
        if self.bag:
            check_writable(Path(self.bag))
        refuse_to_overwrite(self.out, *filter(None, (self.user_video, self.user_audio, self.avatar_audio)))

    def _check_sources(self) -> None:
        if self.portrait and not Path(self.portrait).is_file():
            raise InputError(f"{self.portrait}: no such file; give the picture of a face")
        if self.user_video:
            with open_media(self.user_video, self.camera_topic, self.audio_topic) as reader:
                if not reader.has_video:
                    raise InputError(
                        reader.why_no_video or f"{self.user_video}: has no video; give it with --user-audio"
                    )
        # A topic is one of the user's bag.
        for source, topic in ((self.user_audio, self.audio_topic), (self.avatar_audio, None)):
            if source:
                with open_media(source, audio_topic=topic) as reader:
                    if not reader.live:
                        check_sound(reader)


def check_writable(result: Path) -> None:
    """Raises InputError where a result could not be written: no folder, no leave, or a folder of its name."""
    if not result.parent.is_dir():
        raise InputError(f"{result.parent}: the folder for the result does not exist; make it first")
    if result.is_dir():
        raise InputError(f"{result}: is a folder; give the name of a file")
    there = result.exists()
    try:
        with open(result, "ab"):
            pass
    except OSError as error:
        raise InputError(f"{result}: cannot be written ({error.strerror}); give another place") from None
    if not there:
        result.unlink()
