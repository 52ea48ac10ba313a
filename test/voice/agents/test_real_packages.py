"""The adapters inside the real packages of LiveKit Agents and Pipecat, where these are installed: a room and a transport are on loopback."""

import asyncio
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
from agent_speech import OPTIONS, RATE, pieces, until


def installed(name):
    return importlib.util.find_spec(name) is not None


def rooms(rtc):
    """(the agent's room, the avatar's): two participants of one call without a server. Byte streams and RPCs go from one to the other."""

    class Participant:
        def __init__(self, identity):
            self.identity, self.kind = identity, rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
            self.state = rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE
            self._rpc_handlers, self.calls, self.tracks, self.other = {}, [], [], None

        def register_rpc_method(self, method, handler):
            self._rpc_handlers[method] = handler

        async def perform_rpc(self, *, destination_identity, method, payload):
            assert destination_identity == self.other.me.identity
            self.calls.append((method, payload))
            data = SimpleNamespace(caller_identity=self.identity, payload=payload, request_id="1", response_timeout=10)
            return self.other.me._rpc_handlers[method](data)

        async def stream_bytes(self, *, name, topic, destination_identities, attributes):
            reader = Reader(attributes)
            self.other.streams[topic](reader, self.identity)
            return reader

        async def publish_track(self, track, options):
            self.tracks.append(track.name)

            async def subscribed(): ...

            return SimpleNamespace(wait_for_subscription=subscribed)

    class Reader:
        def __init__(self, attributes):
            self.info, self.queue = SimpleNamespace(attributes=attributes, stream_id="1"), asyncio.Queue()

        async def write(self, data):
            self.queue.put_nowait(data)

        async def aclose(self):
            self.queue.put_nowait(None)

        def __aiter__(self):
            return self

        async def __anext__(self):
            data = await self.queue.get()
            if data is None:
                raise StopAsyncIteration
            return data

    class Room(rtc.EventEmitter):
        def __init__(self, identity):
            super().__init__()
            self.me = self.local_participant = Participant(identity)
            self.remote_participants, self.streams = {}, {}

        def isconnected(self):
            return True

        def register_byte_stream_handler(self, topic, handler):
            self.streams[topic] = handler

    agent, avatar = Room("agent"), Room("avatar")
    for one, other in ((agent, avatar), (avatar, agent)):
        one.remote_participants[other.me.identity], one.me.other = other.me, other
    return agent, avatar


@pytest.mark.skipif(not installed("livekit"), reason="LiveKit Agents is not installed: pip install livekit-agents")
def test_livekits_own_output_and_runner_drive_the_face():
    from livekit import rtc
    from livekit.agents.voice.avatar import DataStreamAudioOutput

    from avatar_forcing_ros.voice.agents.livekit import run_worker

    async def session():
        agent, avatar = rooms(rtc)
        runner = await run_worker(avatar, OPTIONS, sender="agent")
        speech = DataStreamAudioOutput(agent, destination_identity="avatar", wait_playback_start=True)
        told = []
        speech.on("playback_started", lambda event: told.append("started"))
        speech.on("playback_finished", lambda event: told.append(event))
        await until(lambda: avatar.me.tracks == ["avatar_audio", "avatar_video"])

        for piece in pieces(1.0):
            await speech.capture_frame(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
        speech.flush()
        done = await asyncio.wait_for(speech.wait_for_playout(), 60)
        assert done.playback_position == pytest.approx(1.0, abs=0.09) and not done.interrupted
        assert told[0] == "started" and len(told) == 2

        for piece in pieces(8.0):
            await speech.capture_frame(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
        await until(lambda: len(told) == 3)  # it has started
        await asyncio.sleep(0.5)
        speech.clear_buffer()
        done = await asyncio.wait_for(speech.wait_for_playout(), 60)
        assert done.interrupted and 0.0 < done.playback_position < 8.0
        assert [method for method, _ in avatar.me.calls] == ["lk.playback_started", "lk.playback_finished"] * 2
        assert [method for method, _ in agent.me.calls] == ["lk.clear_buffer"]

        speech.flush()  # what is said next is heard to its end
        for piece in pieces(0.6):
            await speech.capture_frame(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
        speech.flush()
        done = await asyncio.wait_for(speech.wait_for_playout(), 60)
        assert done.playback_position == pytest.approx(0.6, abs=0.09) and not done.interrupted
        await runner.aclose()

    asyncio.run(session())


@pytest.mark.skipif(not installed("pipecat"), reason="Pipecat is not installed: pip install pipecat-ai")
def test_a_pipeline_of_pipecat_shows_the_face_and_can_be_interrupted():
    from pipecat.frames.frames import (
        EndFrame,
        InterruptionFrame,
        OutputImageRawFrame,
        TTSAudioRawFrame,
        TTSStartedFrame,
        TTSStoppedFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.workers.runner import WorkerRunner

    from avatar_forcing_ros.voice.agents.pipecat import AvatarProcessor

    class Screen(FrameProcessor):
        """The end of the pipeline: keeps what a transport would show and play."""

        def __init__(self):
            super().__init__()
            self.seen = []

        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            self.seen.append(frame)
            await self.push_frame(frame, direction)

        def of(self, kind, since=0):
            return [frame for frame in self.seen[since:] if isinstance(frame, kind)]

    async def session():
        screen = Screen()
        task, runner = PipelineWorker(Pipeline([AvatarProcessor(OPTIONS), screen])), WorkerRunner(handle_sigint=False)
        await runner.add_workers(task)
        running = asyncio.create_task(runner.run())
        await until(lambda: len(screen.of(OutputImageRawFrame)) > 5)
        image = screen.of(OutputImageRawFrame)[0]
        assert (image.size, image.format, len(image.image)) == ((128, 128), "RGB", 128 * 128 * 3)

        speech = [TTSAudioRawFrame(p.tobytes(), RATE, 1, context_id="one") for p in pieces(1.0)]
        await task.queue_frames([TTSStartedFrame(context_id="one"), *speech, TTSStoppedFrame(context_id="one")])
        await until(lambda: screen.of(TTSStoppedFrame))
        sound = screen.of(TTSAudioRawFrame)
        assert sum(len(f.audio) for f in sound) / 2 / 24000 == pytest.approx(1.0, abs=0.09)
        assert {(f.sample_rate, f.context_id) for f in sound} == {(24000, "one")}
        at = [screen.seen.index(f) for f in (screen.of(TTSStartedFrame)[0], sound[-1], screen.of(TTSStoppedFrame)[0])]
        assert at == sorted(at)

        await task.queue_frames([TTSAudioRawFrame(p.tobytes(), RATE, 1, context_id="two") for p in pieces(5.0)])
        await until(lambda: len(screen.of(TTSAudioRawFrame)) > len(sound) + 5)
        await task.queue_frames([InterruptionFrame()])
        await until(lambda: screen.of(InterruptionFrame))
        since = screen.seen.index(screen.of(InterruptionFrame)[0])
        await until(lambda: len(screen.of(OutputImageRawFrame, since)) > 10)
        assert len(screen.of(TTSAudioRawFrame, since)) <= 2
        await task.queue_frames([EndFrame()])
        await asyncio.wait_for(running, 60)

    asyncio.run(session())


@pytest.mark.parametrize("name", ["livekit", "pipecat"])
def test_the_examples_import_what_is_there(name):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    text = (Path(__file__).resolve().parents[3] / "examples" / f"{name}_avatar.py").read_text()
    assert len(text.splitlines()) < 40
    names: dict = {"__name__": "example"}
    exec(compile(text.replace("asyncio.run(main())", ""), name, "exec"), names)
    assert "main" in names or "pipeline" in names
