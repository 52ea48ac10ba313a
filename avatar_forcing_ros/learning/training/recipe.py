"""What a training run is made of, read from YAML. Every key is checked: a typo is an error, not a default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import yaml

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.models import ModelConfig

SPACES = ("rig", "lia512")


@dataclass(frozen=True)
class Recipe:
    """stage: "forcing" (diffusion forcing from scratch or from `start`), "preference" or "distillation" (both need `start`).

    space: "rig" (the embedded network) or "lia512" (the published one). model: fields of ModelConfig that differ from that
    space's network. corpus, valid: folders of `learning make` or `learning prepare`. start: weights to begin from. teacher: of a
        distillation, weights that teach instead of the start's.
    training_steps: of the optimiser. batch: clips of clip_frames. learning_rate: peak of a cosine after `warm_up` training steps.
    norm: of the loss, "l1" (the paper's) or "l2". L1's best guess is the median, which in a space of named coefficients says
        that rare events such as blinks never happen; L2's is the mean, with which flow matching draws them as often as
        they are.
    average: decay of the weights' moving average, which is what is saved. stream_share: share of batches in the
    stream's layout. hear_both, hear_avatar, hear_user: probabilities that a clip is given all conditions, the avatar's audio
    alone, the user alone (the rest: none); the paper drops each condition with probability 0.1.
    difference_weight: of the frame-to-frame loss; mouth_weight: of an extra head that reads the mouth off the sound (in a
    distillation as the lip reader of opening_reading reads it);
    answer_weight: of one that reads the rest of the face off the avatar's conditions.
    response_spread: dB, of random frequency responses that sounds pass, with some bands masked; rig space only. 0: none. In a
        distillation the student alone hears them so, but for clear_share of the clips, and learns the opening of the mouth from
        all clips, all else from the clear ones. strangers: the user of the clips that are not clear is another clip's, and so is the opening of
        the mouth in the past of all, so that nobody learns to keep the mouth shut because the user speaks, or because it was shut.
    context_noise: largest deviation of noise on a clean past, which teaches the stream to mend its own errors.
    preference_weight, beta: of the preference stage (published: 0.1, 1000); losers: how many clips the loser model makes.
    loser_passes: of the network per block, for a loser. passes: the same, for the student of a distillation;
    substeps: the teacher's Euler steps within one of the student's; audio_guidance, user_guidance: its scales;
    lip_temperature: scale of the noise that the mouth's motion begins as, as of generators/embedded.py; opening_reading: share of
    a lip reader in the opening of the mouth that the student aims at, the rest is the teacher's; reader_training_steps: of its optimiser.
    freeze_audio: leave the audio encoder's trunk as it is.
    save_every, valid_every, log_every: training steps. threads: of the CPU, 0: as PyTorch likes.
    """

    stage: str = "forcing"
    space: str = "rig"
    model: dict = field(default_factory=dict)
    corpus: str = ""
    valid: str = ""
    start: str = ""
    teacher: str = ""
    training_steps: int = 20000
    batch: int = 32
    learning_rate: float = 6e-4
    warm_up: int = 300
    weight_decay: float = 0.01
    norm: str = "l1"
    average: float = 0.999
    stream_share: float = 0.5
    hear_both: float = 0.6
    hear_avatar: float = 0.2
    hear_user: float = 0.1
    difference_weight: float = 0.3
    mouth_weight: float = 0.5
    answer_weight: float = 0.0
    response_spread: float = 0.0
    clear_share: float = 0.4
    strangers: bool = False
    context_noise: float = 0.1
    preference_weight: float = 0.1
    beta: float = 1000.0
    losers: int = 4096
    loser_passes: int = 8
    passes: int = 5
    substeps: int = 3
    audio_guidance: float = 2.0
    user_guidance: float = 2.0
    lip_temperature: float = 1.0
    opening_reading: float = 0.0
    reader_training_steps: int = 1500
    freeze_audio: bool = False
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    save_every: int = 500
    valid_every: int = 500
    log_every: int = 50

    def __post_init__(self) -> None:
        for known in fields(self):
            value, wanted = getattr(self, known.name), type(known.default) if known.name != "model" else dict
            fits = isinstance(value, (int, float)) if wanted is float else isinstance(value, wanted)
            if not fits or (isinstance(value, bool) and wanted is not bool):
                raise InputError(f"recipe: {known.name} is {value!r}; give a {wanted.__name__}")
        for name, choices in (
            ("stage", ("forcing", "preference", "distillation")),
            ("space", SPACES),
            ("norm", ("l1", "l2")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(f"recipe: {name} is {getattr(self, name)!r}; use one of {', '.join(choices)}")
        for names, least in (
            (("training_steps", "batch", "save_every", "valid_every", "log_every", "losers", "substeps"), 1),
            (("passes", "loser_passes"), 3), (("reader_training_steps",), 100), (("seed", "threads", "warm_up"), 0),
        ):  # fmt: skip
            for name in names:
                if getattr(self, name) < least:
                    raise InputError(f"recipe: {name} is {getattr(self, name)}; give at least {least}")
        if (
            min(self.hear_both, self.hear_avatar, self.hear_user) < 0
            or self.hear_both + self.hear_avatar + self.hear_user > 1
        ):
            raise InputError("recipe: hear_both, hear_avatar and hear_user are probabilities whose sum is at most 1")
        if not 0 <= self.clear_share <= 1:
            raise InputError(f"recipe: clear_share is {self.clear_share:g}; give 0 to 1")
        if not 0 <= self.stream_share <= 1 or not 0 <= self.average < 1:
            raise InputError("recipe: stream_share lies in [0, 1], average in [0, 1)")
        if not 0 <= self.opening_reading <= (self.space == "rig"):
            raise InputError(
                f"recipe: opening_reading is {self.opening_reading:g}; give 0 to 1, and 0 in another space than rig"
            )
        if self.response_spread < 0 or (self.response_spread and self.space != "rig"):
            raise InputError(
                f"recipe: response_spread is {self.response_spread:g}; give 0 or more dB, and 0 in another space than rig"
            )
        if self.teacher and self.stage != "distillation":
            raise InputError(f"recipe: teacher belongs to a distillation; the {self.stage} stage has none")
        if self.strangers and not (self.stage == "distillation" and self.response_spread):
            raise InputError(
                "recipe: strangers needs a distillation whose student hears another microphone; give response_spread too"
            )
        if self.freeze_audio and (self.space == "rig" or not self.start):
            raise InputError(
                "recipe: freeze_audio leaves the published trunk as it begins; give the space lia512, and as `start` weights that have it"
            )
        if self.stage != "forcing" and not self.start:
            raise InputError(
                f"recipe: the {self.stage} stage begins from a trained network; give its weights as `start`"
            )

    @property
    def config(self) -> ModelConfig:
        if self.space == "rig":
            return ModelConfig.embedded(**self.model)
        try:
            return ModelConfig(**{"image_size": None, **self.model})
        except TypeError as error:
            raise InputError(f"recipe: model: {str(error).split(') ')[-1]}") from error

    @classmethod
    def read(cls, path: str | Path, **changes) -> Recipe:
        """From a YAML file; `changes` that are not None replace its values. Raises InputError that names what is wrong."""
        try:
            values = yaml.safe_load(Path(path).read_text()) or {}
        except OSError as error:
            raise InputError(f"{path}: no such recipe; see config/learning/") from error
        except yaml.YAMLError as error:
            raise InputError(f"{path}: is not YAML ({str(error).splitlines()[0]})") from error
        if not isinstance(values, dict):
            raise InputError(f"{path}: a recipe is a list of `name: value` lines")
        values |= {name: value for name, value in changes.items() if value is not None}
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InputError(f"{path}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(known))}")
        return cls(**values)

    def to_dict(self) -> dict:
        return asdict(self)
