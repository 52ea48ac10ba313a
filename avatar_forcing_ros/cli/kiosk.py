"""avatar-forcing kiosk: the face in a browser."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

from avatar_forcing_ros.errors import InputError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def add_kiosk(commands) -> None:
    kiosk = commands.add_parser(
        "kiosk", help="the face in a browser: starts the graph and serves the page",
        description="Starts the graph and serves the page. The visitor's camera and microphone come from the browser; the face and its "
        "voice go to it. By default only this machine can connect; --host 0.0.0.0 lets others in, with TLS and a token. --check measures "
        "the kiosk in a headless browser. docs/kiosk.md says more.",
    )  # fmt: skip
    kiosk.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine only)"
    )
    kiosk.add_argument("--port", type=int, default=8443, help="TCP port of the page (default 8443)")
    kiosk.add_argument(
        "--token",
        default="",
        help="token that a page must send; auto: a new one (default: auto where others can connect)",
    )
    kiosk.add_argument(
        "--operator-token",
        default="",
        metavar="TOKEN",
        help="token that an operator's page must send (default: that of --token)",
    )
    kiosk.add_argument(
        "--certificate", default="", metavar="PEM", help="TLS certificate (default: that of --make-certificate)"
    )
    kiosk.add_argument("--key", default="", metavar="PEM", help="key of the certificate")
    kiosk.add_argument(
        "--make-certificate",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="make a certificate for this machine's names, then exit",
    )
    kiosk.add_argument(
        "--viewers", type=int, default=20, metavar="N", help="pages that may watch at a time (default 20)"
    )
    kiosk.add_argument("--ice-servers", default="", metavar="JSON", help="TURN servers, for networks that block UDP")
    kiosk.add_argument(
        "--origins", default="", metavar="LIST", help="pages of other addresses that may connect, separated by commas"
    )
    kiosk.add_argument(
        "--tracking", default="server", help="server (default), or page: no picture leaves the visitor's device"
    )
    kiosk.add_argument("--avatar", default="", help="portrait (default), screen_face, neural, or a .glb or .vrm file")
    kiosk.add_argument(
        "--portrait", default="", metavar="IMAGE", help="photo of a face (default: the one of this package)"
    )
    kiosk.add_argument("--theme", default="", help="theme of the screen face")
    kiosk.add_argument("--generator", default="embedded", help="back end of the motion (default embedded)")
    kiosk.add_argument("--weights", default="", metavar="DIR", help="weights of the network (docs/weights.md)")
    kiosk.add_argument("--device", default="auto", help="where the network runs: auto (default), cpu, cuda")
    kiosk.add_argument(
        "--size", type=int, default=384, help="side of the images where the face goes out as video (default 384)"
    )
    kiosk.add_argument(
        "--speech", default="", metavar="WAV", help="a sound file that the face speaks again and again, to try it"
    )
    kiosk.add_argument("--record", default="", metavar="MP4", help="record the session; every page says so")
    kiosk.add_argument("--sees", default="", metavar="TEXT", help="a sentence about this kiosk that visitors see")
    kiosk.add_argument("--config", default="", metavar="YAML", help="parameters of the nodes")
    kiosk.add_argument("--browser", action="store_true", help="open the page in Chromium where there is a display")
    talk = kiosk.add_argument_group("somebody to talk to (docs/voice.md)")
    talk.add_argument("--talk", action="store_true", help="add a host that answers: a script, or a model on a server")
    talk.add_argument(
        "--script", default="", metavar="YAML", help="script of the host (default: the one of this package)"
    )
    talk.add_argument(
        "--brain", default="", metavar="URL", help="a server with /v1/chat/completions (key: OPENAI_API_KEY)"
    )
    talk.add_argument("--model", default="", metavar="NAME", help="model on that server")
    talk.add_argument("--recognition", default="", metavar="URL", help="a server with /v1/audio/transcriptions")
    talk.add_argument(
        "--voice", default="auto", metavar="V", help="the avatar's voice, engine:voice (`say --voices` lists them)"
    )
    check = kiosk.add_argument_group("measuring")
    check.add_argument(
        "--check", action="store_true", help="measure the kiosk in headless Chromium (CHROMIUM=binary), then exit"
    )
    check.add_argument(
        "--camera",
        default="",
        metavar="CLIP",
        help="video that the browser's camera shows (default: the sample conversation)",
    )
    check.add_argument(
        "--microphone",
        default="",
        metavar="WAV",
        help="sound that the browser's microphone hears (default: the clip's)",
    )
    check.add_argument("--seconds", type=float, default=60.0, metavar="S", help="how long to measure (default 60)")
    check.add_argument("--json", default="", metavar="FILE", help="write the figures")
    check.add_argument("--screenshot", default="", metavar="PNG", help="write a picture of the page at the end")
    check.add_argument(
        "--with-images", action="store_true", help="also measure what the graph costs when somebody reads image_raw"
    )
    check.add_argument("--gpu", action="store_true", help="let the browser use the GPU (default: it draws in software)")
    kiosk.set_defaults(work=_kiosk)


def _kiosk(arguments: argparse.Namespace) -> None:
    if arguments.make_certificate is not None:
        _make_certificate(arguments.make_certificate)
        return
    _needs_extra()
    from avatar_forcing_ros.run.kiosk import KioskPlan, run_kiosk
    from avatar_forcing_ros.web.page_bundle import dist

    server = _server_parameters(arguments)
    plan = KioskPlan(
        host=_host(arguments), voice=arguments.voice,
        avatar=arguments.avatar or ("neural" if arguments.generator == "published" else "portrait"),
        server=server, **{n: getattr(arguments, n) for n in ("portrait", "theme", "generator", "weights", "device", "size", "speech", "record")},
    )  # fmt: skip
    plan.check()
    dist()
    if arguments.check:
        from avatar_forcing_ros.web.measure.check import check_kiosk

        check_kiosk(
            plan,
            camera=arguments.camera,
            microphone=arguments.microphone,
            seconds=arguments.seconds,
            out=arguments.json,
            screenshot=arguments.screenshot,
            gpu=arguments.gpu,
            config=arguments.config,
            images=arguments.with_images,
        )
        return
    print("starting; this takes a few seconds")

    def ready(graph) -> None:
        _tell(server)
        if arguments.browser:
            _open_browser(_addresses(server)[0])

    run_kiosk(plan, arguments.config, ready)


def _host(arguments: argparse.Namespace) -> dict | None:
    """Parameters of the node host, or None where nobody is to be talked to."""
    given = {
        "script": arguments.script, "brain_url": arguments.brain, "brain_model": arguments.model, "recognition_url": arguments.recognition,
    }  # fmt: skip
    if not arguments.talk:
        if any(given.values()):
            raise InputError("--script, --brain, --model and --recognition belong to the host: give --talk too")
        return None
    from avatar_forcing_ros.voice.talk.brain import make_brain

    make_brain(arguments.script, arguments.brain, arguments.model)
    return {name: value for name, value in given.items() if value}


def _needs_extra() -> None:
    try:
        import aiohttp  # noqa: F401
        import aiortc  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the kiosk needs the extra [kiosk]: pip install 'avatar_forcing_ros[kiosk]' ({error})"
        ) from error


def _server_parameters(arguments: argparse.Namespace) -> dict:
    """Parameters of the node, checked here so that what is wrong is told before anything starts."""
    from avatar_forcing_ros.web.certificate import default_folder
    from avatar_forcing_ros.web.server import read_ice_servers
    from avatar_forcing_ros.web.sessions import ServerSettings, is_loopback

    certificate, key, token = arguments.certificate, arguments.key, arguments.token
    if not is_loopback(arguments.host):
        made = default_folder() / "kiosk.crt"
        if not (certificate or key) and made.is_file():
            certificate, key = str(made), str(made.with_suffix(".key"))
        token = token or "auto"
    if token == "auto":
        token = secrets.token_urlsafe(9)
    if arguments.tracking not in ("server", "page"):
        raise InputError(f"--tracking {arguments.tracking}: use server or page")
    ServerSettings(host=arguments.host, port=arguments.port, token=token, certificate=certificate, key=key).check()
    read_ice_servers(arguments.ice_servers)
    return {
        "host": arguments.host, "port": arguments.port, "token": token, "operator_token": arguments.operator_token,
        "certificate": certificate, "key": key, "max_viewers": arguments.viewers, "ice_servers": arguments.ice_servers,
        "origins": arguments.origins, "tracking": arguments.tracking, "sees": arguments.sees,
    }  # fmt: skip


def _addresses(server: dict) -> list[str]:
    """Where the page is, one for each way to reach it."""
    scheme = "https" if server["certificate"] else "http"
    token = f"?token={quote(server['token'])}" if server["token"] else ""
    hosts = [server["host"]]
    if server["host"] in ("127.0.0.1", "::1"):
        hosts = ["localhost"]
    elif server["host"] in ("0.0.0.0", "::"):
        from avatar_forcing_ros.web.certificate import local_names

        hosts = ["localhost", *local_names()]
    return [f"{scheme}://{f'[{h}]' if ':' in h else h}:{server['port']}/{token}" for h in hosts]


def _tell(server: dict) -> None:
    print("the face is at")
    for address in _addresses(server):
        print(f"  {address}")
    token = server["operator_token"] or server["token"]
    print(f"  an operator's page: the same with /operator{f'?token={quote(token)}' if token else ''}")
    print(f"Ctrl-C ends it (ROS_DOMAIN_ID={os.environ.get('ROS_DOMAIN_ID', '0')})", flush=True)


def _open_browser(address: str) -> None:
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser:
        subprocess.Popen(
            [browser, f"--app={address}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        return
    import webbrowser

    webbrowser.open(address)


def _make_certificate(folder: str) -> None:
    _needs_extra()
    from avatar_forcing_ros.web.certificate import default_folder, make_certificate

    certificate, key = make_certificate(Path(folder) if folder else default_folder())
    print(f"{certificate}: valid for 825 days; install it on devices that are to trust this kiosk")
    print(f"{key}: its key; keep it on this machine")
