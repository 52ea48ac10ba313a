#!/usr/bin/env python3
"""Writes docs/inputs.md from the decoders' tables. `--check`: exit status 1 where the page is not what they say."""

from __future__ import annotations

import sys
from pathlib import Path

from avatar_forcing_ros.audio.compressed import CODINGS
from avatar_forcing_ros.audio.formats import MAX_CHANNELS, MAX_RATE, MIN_RATE, SAMPLE_FORMATS
from avatar_forcing_ros.media.camera.encodings import ENCODINGS, MAX_PIXELS
from avatar_forcing_ros.media.camera.headers import KINDS
from avatar_forcing_ros.media.camera.packets import CODECS
from avatar_forcing_ros.presentation.stamps import AHEAD_NS, LATE_NS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "inputs.md"
HEAD = """# Inputs

What the nodes read, what they do not, and how they report it. This page is made from the decoders' tables by `tools/docs/inputs.py`; do not edit
it by hand.

Whatever cannot be used is left out and counted. A message names the topic, the fault and the remedy. It is in `/diagnostics` (WARN or
ERROR while the fault lasts, OK again after it), once in the log, or the one line with which a command ends. The next good message is used.
"""


def page() -> str:
    parts = [HEAD, _images(), _compressed(), _sound(), _clocks(), _files(), _bags(), _foreign()]
    return "\n".join(parts)


def _images() -> str:
    lines = ["## Images (`sensor_msgs/Image`)", ""]
    lines += ["| encoding | also written | what | from black to white |", "|---|---|---|---|"]
    for row in ENCODINGS:
        span = f"{row.range[0]:g} to {row.range[1]:g}" if row.range else ""
        lines.append(
            f"| `{row.names[0]}` | {', '.join(f'`{n}`' for n in row.names[1:])} | {row.group}: {row.what} | {span} |"
        )
    lines += [
        "",
        "Names in any case. Rows may be padded (`step`), data may be big-endian, width and height may be odd. YUV is BT.601 with 16 to 235.",
        "`grey_black` and `grey_white` of `face_ingest` give another range, as of an infrared camera whose values end at 1023. `8UC2`,",
        "`yuv444`, `yuv411` and codings of a vendor are not read.",
        "",
    ]
    return "\n".join(lines)


def _compressed() -> str:
    codecs = ", ".join(sorted(set(CODECS.values())))
    return f"""## Compressed images

| transport | message | read |
|---|---|---|
| `compressed` | `sensor_msgs/CompressedImage` | {", ".join(KINDS)}; others that `image_kinds` names (bmp, gif, tiff) through Pillow |
| `ffmpeg` | `ffmpeg_image_transport_msgs/FFMPEGPacket`, or a CompressedImage whose format is a codec | {codecs} |

`format` is understood as image_transport writes it: `rgb8; jpeg compressed bgr8`, `bayer_rggb8; png compressed` (gets its colours),
`mono16; png compressed`. Not read: compressedDepth (a depth camera's), images whose end is missing, animations.
Kind and size are read from the header before memory is taken; `max_pixels` (default {MAX_PIXELS:,}) is the limit.
"""


def _sound() -> str:
    lines = [
        "## Sound topics (`audio_common_msgs` of either package)",
        "",
        "| sample format | bytes | what |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | {row.size} | {row.what} |" for name, row in SAMPLE_FORMATS.items()]
    lines += [
        "",
        f"1 to {MAX_CHANNELS} channels, {MIN_RATE} to {MAX_RATE} Hz. ALSA's, FFmpeg's and PortAudio's spellings are known (`S16_LE`, `pcm_s24le`, `float32`;",
        f"ALSA's `S24_LE` is `S24_32LE`, its `S24_3LE` is `S24LE`). Codings: plain samples, {', '.join(sorted(set(CODINGS.values())))}; without an AudioInfo a coding is known",
        "by its bytes. WAV headers in the stream are read and left out. A dead channel, channels against each other, a constant (DC) and digital silence are",
        "found and reported; damaged packets are left out and counted.",
        "",
    ]
    return "\n".join(lines)


def _clocks() -> str:
    return f"""## Clocks

A stamp is used while it lies at most {LATE_NS / 1e9:g} s before its arrival and at most {AHEAD_NS / 1e9:g} s after it. Other stamps are handled so:

| stamps | what is done | what is said |
|---|---|---|
| none (zero) | timed by arrival | in the values of `/diagnostics` |
| since the machine's start, another epoch, an offset | mapped by a constant that follows the drift | WARN, with the offset |
| late, within the bound | used; steps that had to do without them are reported with how late they were | WARN from 0.25 s on |
| a jump | mapped again after some messages (after a second where it looks like lateness); until then timed by arrival | WARN, with the offset |
| a single odd one | that message is timed by its arrival | counted |
| standing still, random | timed by arrival | WARN |
| jitter | images: drawn to the pace of their arrival; sound: samples are counted, stamps correct them slowly | |
| images out of order | sorted where several of the newest 32 overtook each other by up to 100 ms; each then waits that long. Single ones are left out; a restart needs two seconds | counted |

Nothing runs ahead of the clock because of a stamp. Speech for the avatar may be stamped as far ahead as its queue is long.
"""


def _files() -> str:
    return """## Files

Everything that PyAV reads. WAV files of plain samples, mu-law or A-law are read in full, whatever size their headers give, also several glued into one;
glued mp3 and Ogg files too. Damaged packets are left out, and the place of the first is reported. Not read: raw samples without a header.
"""


def _bags() -> str:
    return """## Bags

rosbag2 in sqlite3 and MCAP, plain or compressed (per file, per message, per chunk), split or not, with either `audio_common_msgs`.
Bags without `metadata.yaml`, with files missing, killed while recording or damaged are read as far as they go. A warning
names the reason and the command that repairs them (`ros2 bag reindex`, `mcap recover`, sqlite3's `.recover`). A camera that cannot be read is
named with its encoding. Depth images are taken for a camera only when their topic is asked for.
"""


def _foreign() -> str:
    return """## Foreign bytes

No message, file, bag or weights file ends a node. `avatar-forcing bench --only fuzz` feeds 100,000 mutated inputs to every decoder; the tests
feed 2,000 to each.
"""


if __name__ == "__main__":
    text = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.is_file() or PAGE.read_text() != text:
            sys.exit("docs/inputs.md is not what the tables say: run tools/docs/inputs.py")
    else:
        PAGE.write_text(text)
