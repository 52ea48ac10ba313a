"""avatar-forcing say: speaks through a running graph, or into a file."""

from __future__ import annotations

import argparse
import sys
import tempfile
import wave
from pathlib import Path

from avatar_forcing_ros.errors import InputError

_FIND_S = 5.0
_ASK_S = 5.0


def add_say(commands) -> None:
    say = commands.add_parser(
        "say", help="speak through a running graph, or into a file",
        description="The text may have tags: <mark name=\"nod\"/>, <break time=\"400ms\"/>, <emphasis>words</emphasis> (docs/voice.md). "
        "Without --out the speaker node of a running graph says it; Ctrl-C interrupts it.",
    )  # fmt: skip
    say.add_argument("text", metavar="TEXT", nargs="?", default="", help="what to say; -: read standard input")
    say.add_argument(
        "--voice",
        default="",
        metavar="V",
        help="engine:voice, such as espeak-ng:en-us, flite:slt, hibari, openai:alloy (default: the first that is installed)",
    )
    say.add_argument("--language", default="", metavar="L", help="language of the text, such as de or en-GB")
    say.add_argument("--file", default="", metavar="WAV", help="say this sound instead of a text")
    say.add_argument(
        "--interrupt", action="store_true", help="first stop what is being said; without a text, do only that"
    )
    say.add_argument("--namespace", default="avatar", help="namespace of the running graph (default: avatar)")
    say.add_argument("--voices", action="store_true", help="list the engines and what each still needs")
    say.add_argument("--out", default="", metavar="O.mp4", help="write the avatar saying it, without ROS")
    say.add_argument("--generator", default="embedded", help="with --out: embedded (default) or reflex")
    say.add_argument("--avatar", default="portrait", help="with --out: portrait (default) or screen_face")
    say.add_argument("--portrait", default="", metavar="IMAGE", help="with --out: the photo of a face")
    say.add_argument("--theme", default="", help="with --out: theme of the screen face")
    say.add_argument("--size", type=int, default=512, help="with --out: side of the images in pixels (default 512)")
    say.set_defaults(work=_say)


def _say(arguments: argparse.Namespace) -> None:
    if arguments.voices:
        _list_voices()
        return
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    if bool(text.strip()) == bool(arguments.file) and not (arguments.interrupt and not text):
        raise InputError("say: give a text, or a sound with --file")
    if arguments.out:
        _into_file(arguments, text)
    else:
        _live(arguments, text)


def _list_voices() -> None:
    from avatar_forcing_ros.voice.tts import ENGINES, available

    for name, missing in available().items():
        print(f"{name:10} {'ready' if not missing else missing:55} {ENGINES[name].what}")


def _into_file(arguments: argparse.Namespace, text: str) -> None:
    import numpy as np

    from avatar_forcing_ros.run.offline import run_offline
    from avatar_forcing_ros.run.session import Session
    from avatar_forcing_ros.voice.marks import direction_of
    from avatar_forcing_ros.voice.sound import parts_of_file
    from avatar_forcing_ros.voice.tts import open_voice, synthesize

    if text:
        parts = list(synthesize(text, open_voice(arguments.voice, arguments.language)))
    else:
        parts = list(parts_of_file(arguments.file))
    heard = [part for part in parts if len(part.samples)]
    if not heard:
        raise InputError("say: the text or the sound holds nothing that can be heard")
    rate, channels = heard[0].rate, heard[0].samples.shape[1]
    samples = np.concatenate([part.samples for part in heard])
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "said.wav"
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(np.clip(samples * 32768.0, -32768, 32767).astype("<i2").tobytes())
        session = Session(
            out=arguments.out, avatar_audio=str(sound), generator=arguments.generator, avatar=arguments.avatar,
            portrait=arguments.portrait, theme=arguments.theme, size=arguments.size,
        )  # fmt: skip
        session.check(offline=True)
        found = [(mark.time, direction_of(mark.name)) for part in parts for mark in part.marks]
        figures = run_offline(session, marks=[(time, asked) for time, asked in found if asked is not None])
    print(f"{arguments.out}: {figures['frames']} frames, {len(samples) / rate:.2f} s of speech")


def _live(arguments: argparse.Namespace, text: str) -> None:
    try:
        from avatar_forcing_ros.ros.speak_client import SpeakClient
    except ImportError as error:
        raise InputError(
            f"say: speaking through a running graph needs ROS ({error}); without ROS give --out O.mp4"
        ) from None
    with SpeakClient(f"/{arguments.namespace.strip('/')}") as client:
        client.wait(_FIND_S)
        if not text and not arguments.file:
            dropped = client.interrupt(_ASK_S)
            print(f"interrupted: {', '.join(dropped) or 'nothing was being said'}")
            return
        client.speak(text, arguments.file, arguments.voice, arguments.language, arguments.interrupt, _show)


def _show(word: str) -> None:
    if sys.stdout.isatty() and word:
        print(word, end=" ", flush=True)
