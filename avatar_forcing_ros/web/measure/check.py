"""Runs a kiosk with a headless Chromium as its visitor and measures both."""

from __future__ import annotations

import dataclasses
import json
import socket
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from avatar_forcing_ros.assets import SAMPLE_AVATAR_AUDIO, SAMPLE_USER_VIDEO
from avatar_forcing_ros.errors import AvatarForcingError, InputError
from avatar_forcing_ros.run.graph import NAMESPACE, Graph
from avatar_forcing_ros.run.kiosk import KioskPlan, run_kiosk
from avatar_forcing_ros.timeline import NANOSECONDS
from avatar_forcing_ros.web.chromium import Chromium, Page, fake_camera
from avatar_forcing_ros.web.measure.fake_media import write_camera, write_microphone
from avatar_forcing_ros.web.measure.figures import Drawn, Sent, capture_error_ms, quantiles, reactions_ms

WINDOW = (384, 384)
_CONNECT_S = 60.0
_WARM_S = 30.0  # after which memory is expected to stay as it is
_RECORD_S = 12.0  # at the end, the page notes every drawing
_IMAGES_S = 15.0
_KEPT = 2000


class GraphListener:
    """Reads along what the graph tells: the frames that are shown, and the nodes' diagnostics. A context manager."""

    def __enter__(self) -> GraphListener:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

        from avatar_forcing_ros.msg import AvatarFrame, MotionLatent
        from avatar_forcing_ros.ros import qos

        self.frames: dict[int, float] = {}  # frame -> camera time
        self.motion: deque[tuple[int, np.ndarray, float]] = deque(maxlen=_KEPT)
        self.tracked: deque[float] = deque(maxlen=_KEPT)
        self.values: dict[str, dict[str, str]] = {}
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("check", namespace=f"/{NAMESPACE}", context=self._context)
        self._node.create_subscription(AvatarFrame, "avatar_frame", self._on_frame, qos.reliable(50))
        self._node.create_subscription(MotionLatent, "shown_motion", self._on_motion, qos.reliable(50))
        self._node.create_subscription(MotionLatent, "user/motion", self._on_tracked, qos.reliable(50))
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

        def spin() -> None:
            try:
                self._executor.spin()
            except ExternalShutdownException:
                pass

        self._thread = threading.Thread(target=spin, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        import rclpy

        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)
        self._thread.join(5.0)

    def read_images(self) -> None:
        """From now on the graph has to draw the face as well."""
        from sensor_msgs.msg import Image

        from avatar_forcing_ros.ros import qos

        self._node.create_subscription(Image, "image_raw", lambda message: None, qos.reliable(2))

    def sent(self) -> list[Sent]:
        return [Sent(frame, latent, due, self.frames.get(frame, 0.0)) for frame, latent, due in list(self.motion)]

    def _on_frame(self, message) -> None:
        self.frames[message.frame] = _seconds(message.camera_stamp)
        while len(self.frames) > _KEPT:
            del self.frames[next(iter(self.frames))]

    def _on_motion(self, message) -> None:
        self.motion.append((message.frame, np.array(message.data, np.float32), _seconds(message.header.stamp)))

    def _on_tracked(self, message) -> None:
        if message.confidence > 0:
            self.tracked.append(_seconds(message.header.stamp))

    def _on_diagnostics(self, message) -> None:
        for status in message.status:
            self.values[status.name] = {item.key: item.value for item in status.values}


def check_kiosk(
    plan: KioskPlan, *, camera: str = "", microphone: str = "", seconds: float = 60.0, out: str = "", screenshot: str = "", gpu: bool = False,
    config: str = "", images: bool = False,
) -> dict:  # fmt: skip
    """Runs the kiosk for `seconds` with a browser whose camera shows `camera` and whose microphone hears `microphone` (default: the
    sample conversation, and the clip's own sound). Prints the figures, and writes them as JSON to `out`.

    images: measure as well what the graph costs when somebody reads its images.

    Raises InputError on a clip that cannot be used or a browser that is missing, AvatarForcingError where the page does not connect.
    """
    if seconds < 5:
        raise InputError(f"--seconds {seconds}: give 5 or more")
    for file in filter(None, (out, screenshot)):
        if not Path(file).resolve().parent.is_dir():
            raise InputError(f"{file}: its folder does not exist; make it first")
    if not plan.server.get("port"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            plan.server["port"] = probe.getsockname()[1]
    plan = dataclasses.replace(plan, speech=plan.speech or str(SAMPLE_AVATAR_AUDIO))
    clip = camera or str(SAMPLE_USER_VIDEO)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="kiosk_check_") as folder:
        video, sound = Path(folder) / "camera.y4m", Path(folder) / "microphone.wav"
        write_camera(clip, video)
        write_microphone(microphone or clip, sound)

        def ready(graph: Graph) -> bool:
            with (
                GraphListener() as listener,
                Chromium(fake_camera(video, sound), software_gl=not gpu, size=WINDOW) as browser,
            ):
                figures.update(
                    _measure(plan, graph, listener, browser, seconds=seconds, screenshot=screenshot, images=images)
                )
            return True

        run_kiosk(plan, config, ready)
    if not figures:
        raise AvatarForcingError("stopped before it was measured")
    if out:
        Path(out).write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
    return figures


def _measure(
    plan: KioskPlan,
    graph: Graph,
    listener: GraphListener,
    browser: Chromium,
    *,
    seconds: float,
    screenshot: str,
    images: bool,
) -> dict:
    address = f"http{'s' if plan.server.get('certificate') else ''}://localhost:{plan.server['port']}/?token={plan.server.get('token', '')}"
    page = browser.open(address)
    page.resize(*WINDOW)
    origin_s = page.evaluate("performance.timeOrigin") / 1000
    _connect(page, graph)
    time.sleep(3.0)  # the page finds the size that it can draw
    graph.begin_cpu()
    before, began = _sent_bytes(listener), time.monotonic()
    stats: list[dict] = []
    memory: dict[str, dict] = {}
    while time.monotonic() - began < seconds - _RECORD_S:
        time.sleep(1.0)
        graph.check()
        stats.append(page.evaluate("window.avatarKiosk.stats()"))
        if not memory and time.monotonic() - began > min(_WARM_S, seconds / 4):
            memory["start"] = _memory_mb(graph, browser, page)
    memory["end"] = _memory_mb(graph, browser, page)
    cores = graph.cpu_cores()
    after, measured_s = _sent_bytes(listener), time.monotonic() - began
    recorded = page.evaluate(f"window.avatarKiosk.record({min(_RECORD_S, seconds)})", timeout=_RECORD_S + 60)
    last = page.evaluate("window.avatarKiosk.stats()")
    stats.append(last)
    with_images = None
    if images:
        listener.read_images()
        time.sleep(3.0)
        graph.begin_cpu()
        time.sleep(_IMAGES_S)
        with_images = graph.cpu_cores()["all"]
    if screenshot:
        Path(screenshot).write_bytes(page.screenshot())
    drawn = [
        Drawn(origin_s + t / 1000, np.array(latent, np.float32), np.array(grey, np.float32))
        for t, latent, grey, _ in recorded["face"]
    ]
    sent = listener.sent()
    return {
        "connect_s": round(last["connect_ms"] / 1000, 2),
        "fps": round(float(np.median([s["fps"] for s in stats])), 1),
        "drawn_size": last["drawn"],
        "mode": last["mode"],
        "reaction_ms": quantiles(reactions_ms(drawn, sent)),
        "av_skew_ms": _median_of([s["skew_ms"] for s in stats if s["skew_ms"]]),
        "motion_kbps": None if before is None or after is None else round((after - before) / measured_s / 1000, 2),
        "server_cores": cores["all"],
        "server_cores_with_images": with_images,
        "cores": cores,
        "page_delay_ms": round(float(np.median([s["offset_ms"] for s in stats])), 1),
        "round_trip_ms": last["rtt_ms"],
        "late": last["late"],
        "lost": last["lost"],
        "visitor_frames": len(listener.tracked),
        "capture_error_ms": capture_error_ms(
            [origin_s + t / 1000 for t, _ in recorded["camera"]], list(listener.tracked)
        ),
        "memory_mb": memory,
        "seconds": seconds,
        "errors": [*last["errors"], *(line for line in page.console if "rror" in line)],
    }


def _memory_mb(graph: Graph, browser: Chromium, page: Page) -> dict[str, float]:
    """What is held now: by the node that serves the page, by all nodes, by the browser's processes, and by the page's own objects."""
    page.call("HeapProfiler.collectGarbage")
    held = {"server": 0.0, "nodes": 0.0, "page_heap": page.call("Runtime.getHeapUsage")["usedSize"] / 2**20}
    for process in graph.processes:
        try:
            size = psutil.Process(process.pid).memory_info().rss / 2**20
        except psutil.Error:  # it has ended
            continue
        held["nodes"] += size
        held["server"] += size if process.executable == "kiosk" else 0.0
    held["browser"] = browser.memory_mb()
    return {name: round(value, 1) for name, value in held.items()}


def _connect(page: Page, graph: Graph) -> None:
    deadline = time.monotonic() + _CONNECT_S
    while not page.evaluate("window.avatarKiosk?.stats().connected ?? false"):
        graph.check()
        if time.monotonic() > deadline:
            raise AvatarForcingError(
                f"the page did not connect within {_CONNECT_S:.0f} s: " + "; ".join(page.console[-3:])
            )
        page.evaluate("window.avatarKiosk?.start()")
        time.sleep(0.2)


def _sent_bytes(listener: GraphListener) -> float | None:
    """Bytes of motion that the visitor's page has been sent, as the node tells them once a second."""
    text = listener.values.get(f"/{NAMESPACE}/kiosk", {}).get("motion bytes to the visitor")
    return float(text) if text else None


def _median_of(pairs: list[dict]) -> dict[str, float | None]:
    """Of p50 and p95 that the page told again and again."""
    if not pairs:
        return {"p50": None, "p95": None}
    return {name: round(float(np.median([p[name] for p in pairs])), 1) for name in ("p50", "p95")}


def _seconds(stamp) -> float:
    return stamp.sec + stamp.nanosec / NANOSECONDS
