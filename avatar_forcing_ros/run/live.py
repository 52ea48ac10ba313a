"""Starts the graph of ROS nodes for one session, and ends it in order.

This is what `avatar-forcing run` and `make demo` use; on a robot the launch files start the same nodes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from avatar_forcing_ros.errors import AvatarForcingError
from avatar_forcing_ros.paths import node_executable
from avatar_forcing_ros.ros.messages import nanoseconds
from avatar_forcing_ros.ros.settings import (
    FaceIngestSettings,
    MediaSourceSettings,
    MotionGeneratorSettings,
    RecorderSettings,
    RendererSettings,
)
from avatar_forcing_ros.run.graph import NAMESPACE, READY_TIMEOUT_S, Graph, NodePlan
from avatar_forcing_ros.run.session import Session
from avatar_forcing_ros.timeline import NANOSECONDS

LEAD_S = 0.3  # from the last activation to the first frame of the sources
TAIL_S = 0.4  # after the last frame has been shown


def plan(session: Session) -> list[NodePlan]:
    """The nodes that a session needs. Inputs that are absent have no nodes; the face runs all the same."""
    own = session.parameters_of
    recorder = {**own(RecorderSettings), "out": session.out, "timeline": str(session.timeline_path), "autostart": False}
    nodes = [
        NodePlan("motion_generator", "motion_generator", "", own(MotionGeneratorSettings)),
        NodePlan("renderer", "renderer", "", own(RendererSettings)),
        NodePlan("recorder", "recorder", "", recorder, is_last=True),
    ]

    def source(name: str, namespace: str, media: str, **parameters) -> None:
        parameters = {
            **own(MediaSourceSettings),
            **parameters,
            "source": media,
            "exit_when_done": True,
            "autostart": False,
        }
        nodes.append(NodePlan("media_source", name, namespace, parameters, is_last=True))

    if session.user_video:
        face = {**own(FaceIngestSettings), "space": session.space, "reliable": True}
        nodes.append(NodePlan("face_ingest", "face", "user", face))
        source("camera_source", "user", session.user_video, play_audio=not session.user_audio)
    if session.user_audio:
        source("microphone_source", "user", session.user_audio, play_video=False)
    if session.user_video or session.user_audio:
        nodes.append(NodePlan("audio_ingest", "microphone", "user"))
    if session.avatar_audio:
        nodes.append(NodePlan("audio_ingest", "speech", "speech"))
        topic = {"audio_topic": ""}  # the topics that were given are of the user's bag
        source("speech_source", "speech", session.avatar_audio, play_video=False, **topic)
    return nodes


def figures_of(statistics: dict, began: float) -> dict:
    """A run's figures from its nodes' RunStatistics messages: real-time factors, queue lengths (frames of 1/25 s), and the
    seconds from `began` (of the system's clock) to the first image, None where none was shown."""
    factors, queues, first_image = {}, {}, None
    for path, said in sorted(statistics.items()):
        if not math.isnan(said.real_time_factor):
            factors[path] = round(said.real_time_factor, 3)
        for kind in ("images", "motion", "speech"):
            if not math.isnan(waiting := getattr(said, f"queued_{kind}")):
                queues[f"{path}: {kind}"] = round(waiting, 2)
        if stamp := nanoseconds(said.first_image):
            first_image = round(stamp / NANOSECONDS - began, 2)
    return {"real_time_factor": factors, "queues": queues, "first_image_s": first_image}


def run_live(
    session: Session,
    config: str = "",
    progress=lambda seconds, graph: None,
    began: float | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> dict:
    """Runs a session through the ROS graph in real time and returns its figures, which are in session.out's .json.

    progress: called about five times a second with the seconds played. began: when the user started it (seconds of the
    system's clock; now, by default), from which the first image is timed. say: told in which domain the nodes are. Ctrl-C ends the session and keeps what was recorded.
    """
    node_executable("motion_generator")  # where there is none there is no rclpy either, and it says what to do
    out, began = Path(session.out), began or time.time()
    for old in (out.with_suffix(".json"), session.timeline_path):
        old.unlink(missing_ok=True)
    with Graph(plan(session), config, session.domain) as graph:
        say(graph.domain_line())
        client = graph.client
        client.watch([n.path for n in graph.nodes])
        first = [n.path for n in graph.nodes if not n.is_last]
        last = [n.path for n in graph.nodes if n.is_last]
        client.wait_for_state(last, "unconfigured", READY_TIMEOUT_S, graph.check)
        for path in last:
            if not client.change_state(path, "configure"):
                raise AvatarForcingError(client.fault(path))
        client.wait_for_state(first, "active", READY_TIMEOUT_S, graph.check)
        start = 0.0
        while start < client.now():  # again where telling it took longer than the lead
            start = client.now() + LEAD_S
            for path in last:
                client.set_parameter(path, "start_time", start)
        for path in last:
            if not client.change_state(path, "activate"):
                raise AvatarForcingError(client.fault(path))
        graph.begin_cpu()
        recorder_path = f"/{NAMESPACE}/recorder"
        measured: dict = {}
        try:
            while not graph.done():
                graph.check()
                played = client.now() - start
                progress(max(played, 0.0), graph)
                if recorder_path in client.faults:  # a full disk: no need to go on
                    break
                if session.duration and session.duration <= played:
                    break
                client.spin(0.2)
            measured = {"cpu_cores": graph.cpu_cores(), **figures_of(client.statistics, began)}
            renderer = client.statistics.get(f"/{NAMESPACE}/renderer")
            delay_ns = NANOSECONDS if renderer is None else nanoseconds(renderer.presentation_delay)
            client.spin(delay_ns / NANOSECONDS + TAIL_S)
            graph.check()
        except KeyboardInterrupt:
            pass
        recorder = next(p for p in graph.processes if p.executable == "recorder")
        graph.stop([recorder])
        report = out.with_suffix(".json")
        if recorder.code or not report.is_file():
            raise AvatarForcingError(graph.reason(recorder))
        figures = {
            "mode": "live",
            "generator": session.generator,
            "first_image_s": None,
            **json.loads(report.read_text()),
        }
        figures |= measured
        figures["peak_rss_mb"] = graph.peak_rss_mb
        figures["peak_pss_mb"] = graph.peak_pss_mb
        figures["rss_mb"] = {"settled": graph.settled_rss_mb, "end": graph.last_rss_mb}
        report.write_text(json.dumps(figures, indent=2) + "\n")
    return figures
