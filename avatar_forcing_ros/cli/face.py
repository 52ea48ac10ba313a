"""avatar-forcing face and reenact: what a face can do."""

from __future__ import annotations

import argparse
import sys

from avatar_forcing_ros.errors import InputError


def add_face(commands) -> None:
    face = commands.add_parser(
        "face", help="a sheet and a turn-table of what a face can do",
        description="Writes a sheet of expressions (OUT) and a turn-table video (OUT's .mp4), and says what is wrong with "
        "a photo as a source. Where a photo cannot be used, --avatar screen_face draws a face instead.",
    )  # fmt: skip
    face.add_argument(
        "portrait", metavar="IMAGE", nargs="?", default="", help="photo of a face (default: the one of this package)"
    )
    face.add_argument("--out", default="", metavar="PNG", help="write the sheet of expressions")
    face.add_argument(
        "--export",
        default="",
        metavar="GLB",
        help="write the face as glTF 2.0, for browsers and 3-D programs; alone or with --out",
    )
    face.add_argument(
        "--video", default="", metavar="MP4", help="the turn-table (default: beside OUT, .mp4; none: no video)"
    )
    face.set_defaults(work=_face)
    reenact = commands.add_parser("reenact", help="put the tracked motion of a video on a face")
    reenact.add_argument("--driver", required=True, metavar="VIDEO", help="video of the person who moves the face")
    reenact.add_argument("--out", required=True, metavar="MP4", help="the film to write")
    reenact.set_defaults(work=_reenact)
    reenact.add_argument(
        "--portrait", default="", metavar="IMAGE", help="photo of a face (default: the one of this package)"
    )
    for parser in (face, reenact):
        parser.add_argument("--avatar", default="portrait", help="portrait (default) or screen_face")
        parser.add_argument("--theme", default="", help="theme of the screen face")
        parser.add_argument("--size", type=int, default=512, help="side of the pictures in pixels (default 512)")
        parser.add_argument("--width", type=int, default=0, help="width, where it is not the size")
        parser.add_argument("--height", type=int, default=0, help="height, where it is not the size")


def _size(arguments: argparse.Namespace) -> int | tuple[int, int]:
    if not (arguments.width or arguments.height):
        return arguments.size
    return arguments.width or arguments.size, arguments.height or arguments.size


def _face(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    import cv2

    from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
    from avatar_forcing_ros.media.video_writer import refuse_to_overwrite
    from avatar_forcing_ros.motion.portrait.check import source_notes
    from avatar_forcing_ros.motion.portrait.photo import read_picture
    from avatar_forcing_ros.motion.space import make_avatar
    from avatar_forcing_ros.run.reenact import contact_sheet, turntable
    from avatar_forcing_ros.run.threads import few_threads

    few_threads()
    if not (arguments.out or arguments.export):
        raise InputError("face: give --out SHEET.png, --export FACE.glb, or both")
    for out in filter(None, (arguments.out, arguments.export)):
        refuse_to_overwrite(out, arguments.portrait)
    if arguments.avatar == "portrait":
        picture = arguments.portrait or str(DEFAULT_PORTRAIT)
        try:
            notes = source_notes(read_picture(picture))
        except InputError as error:
            text = str(error)
            raise InputError(
                text if picture in text else f"{picture}: {text}; or draw a face: --avatar screen_face"
            ) from None
        for note in notes or ["a good source"]:
            print(f"{picture}: {note}")
    avatar = make_avatar(arguments.avatar, arguments.portrait, _size(arguments), arguments.theme)
    if arguments.export:
        _export(avatar, arguments.export)
    if not arguments.out:
        return
    sheet = contact_sheet(avatar)
    try:
        written = cv2.imwrite(arguments.out, sheet[:, :, ::-1])
    except cv2.error:  # an ending that it does not know
        written = False
    if not written:
        raise InputError(f"{arguments.out}: cannot be written; give a .png or .jpg in a folder that exists")
    print(f"{arguments.out}: what this face can do")
    if arguments.video != "none":
        video = arguments.video or str(Path(arguments.out).with_suffix(".mp4"))
        turntable(avatar, video)
        print(f"{video}: this face, turning and speaking")


def _export(avatar, path: str) -> None:
    from pathlib import Path

    from avatar_forcing_ros.motion.gltf import export_face

    if Path(path).suffix.lower() != ".glb":
        raise InputError(f"{path}: --export writes binary glTF: give a name that ends in .glb")
    data = export_face(avatar, Path(path).stem)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    print(f"{path}: this face as glTF 2.0, {len(data) / 1e6:.1f} MB")


def _reenact(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from avatar_forcing_ros.motion.space import make_avatar
    from avatar_forcing_ros.run.reenact import reenact
    from avatar_forcing_ros.run.threads import few_threads

    few_threads()
    avatar = make_avatar(arguments.avatar, arguments.portrait, _size(arguments), arguments.theme)
    with tqdm(unit=" frames", mininterval=0.3 if sys.stderr.isatty() else 10.0) as bar:
        figures = reenact(arguments.driver, avatar, arguments.out, lambda done: bar.update(done - bar.n))
    print(f"{arguments.out}: {figures['frames']} frames, a face in {100 * figures['face_share']:.0f} % of them")
