"""avatar-forcing weights: check and convert the published weights, export one of ours."""

from __future__ import annotations

import argparse


def add_weights(commands) -> None:
    weights = commands.add_parser("weights", help="check or convert weights (docs/weights.md)")
    works = weights.add_subparsers(dest="what", required=True, metavar="check|convert|export-onnx")
    check = works.add_parser("check", help="list which tensors fit, which are missing and which are left over")
    check.add_argument("folder", metavar="DIR", help="folder of the published weights")
    check.set_defaults(work=_check_weights)
    convert = works.add_parser("convert", help="write one safetensors file, which loads faster")
    convert.add_argument("folder", metavar="DIR", help="folder of the published weights")
    convert.add_argument("out", metavar="OUT.safetensors", help="the file to write")
    convert.set_defaults(work=_convert_weights)
    export = works.add_parser(
        "export-onnx", help="write a network of `avatar-forcing train` as ONNX files, which run without PyTorch"
    )
    export.add_argument(
        "file", metavar="FILE.safetensors", nargs="?", default="", help="the network (default: the embedded one)"
    )
    export.add_argument("out", metavar="DIR", help="the folder to write")
    export.set_defaults(work=_export_onnx)


def _check_weights(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.models.weights import check_weights

    check_weights(arguments.folder)
    print("the weights fit")


def _export_onnx(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.assets import EMBEDDED_WEIGHTS
    from avatar_forcing_ros.models import load_model
    from avatar_forcing_ros.models.export import export_onnx

    for path in export_onnx(load_model(arguments.file or EMBEDDED_WEIGHTS), arguments.out):
        print(f"written: {path}")


def _convert_weights(arguments: argparse.Namespace) -> None:
    from avatar_forcing_ros.models.weights import convert_weights

    print(f"written: {convert_weights(arguments.folder, arguments.out)}")
