"""The adapters on loopback, against stand-ins that speak the contracts of LiveKit Agents and Pipecat (fakes.py)."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest
from agent_speech import OPTIONS, RATE, pieces, until

spec = importlib.util.spec_from_file_location("agent_fakes", Path(__file__).with_name("fakes.py"))
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)


def fresh(name, monkeypatch):
    """The adapter, imported anew over the stand-ins."""
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    del sys.modules[name]  # not by monkeypatch, which would bring it back
    return module


def test_a_livekit_agent_is_told_when_its_speech_has_played_and_how_far(monkeypatch):
    fakes.install_livekit(monkeypatch)
    worker = fresh("avatar_forcing_ros.voice.agents.livekit", monkeypatch)
    rtc = worker.rtc

    async def session():
        room = fakes.Room()
        runner = await worker.run_worker(room, OPTIONS)
        assert (runner.options.video_width, runner.options.audio_sample_rate) == (128, 24000)
        await until(lambda: len(room.published) > 5)
        assert not any(isinstance(f, rtc.AudioFrame) for f in room.published)  # at rest: images alone
        for piece in pieces(1.0):
            room.audio.put_nowait(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
        room.audio.put_nowait(None)  # the stream's end
        await until(lambda: len(room.rpcs) == 2)
        assert room.rpcs[0] == ("lk.playback_started",)
        name, position, interrupted = room.rpcs[1]
        assert name == "lk.playback_finished" and position == pytest.approx(1.0, abs=0.09) and not interrupted
        heard = sum(f.duration for f in room.published if isinstance(f, rtc.AudioFrame))
        assert heard == pytest.approx(position, abs=0.001)

        for piece in pieces(5.0):
            room.audio.put_nowait(rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)))
        await until(lambda: len(room.rpcs) == 3)
        await until(lambda: runner.position > 0.4)
        await room.clear_buffer()
        count = sum(isinstance(f, rtc.AudioFrame) for f in room.published)
        _, position, interrupted = room.rpcs[3]
        assert interrupted and 0.4 < position < 5
        shown = len(room.published)
        await until(lambda: len(room.published) > shown + 10)
        assert sum(isinstance(f, rtc.AudioFrame) for f in room.published) <= count + 1  # silent, and the images go on
        await runner.aclose()

    asyncio.run(session())


def test_a_pipecat_pipeline_gets_images_and_the_sound_in_step(monkeypatch):
    fakes.install_pipecat(monkeypatch)
    module = fresh("avatar_forcing_ros.voice.agents.pipecat", monkeypatch)
    from pipecat.frames import frames

    def kinds(processor):
        return [type(f).__name__ for f in processor.pushed]

    async def pipeline():
        processor = module.AvatarProcessor(OPTIONS)
        await processor.process_frame(frames.StartFrame(), 1)
        await until(lambda: kinds(processor).count("OutputImageRawFrame") > 5)
        image = next(f for f in processor.pushed if isinstance(f, frames.OutputImageRawFrame))
        assert (image.size, image.format, len(image.image)) == ((128, 128), "RGB", 128 * 128 * 3)
        await processor.process_frame(frames.TextFrame(), 1)
        assert "TextFrame" in kinds(processor)  # what is not ours passes
        for piece in pieces(1.0):
            await processor.process_frame(frames.TTSAudioRawFrame(piece.tobytes(), RATE, 1), 1)
        await processor.process_frame(frames.TTSStoppedFrame(), 1)
        assert "TTSStoppedFrame" not in kinds(processor)  # its sound has not left
        await until(lambda: "TTSStoppedFrame" in kinds(processor))
        sound = [f for f in processor.pushed if isinstance(f, frames.TTSAudioRawFrame)]
        assert sum(len(f.audio) for f in sound) / 2 / 24000 == pytest.approx(1.0, abs=0.09)
        assert {f.sample_rate for f in sound} == {24000}

        for piece in pieces(5.0):
            await processor.process_frame(frames.TTSAudioRawFrame(piece.tobytes(), RATE, 1), 1)
        count = len(sound)
        await until(lambda: kinds(processor).count("TTSAudioRawFrame") > count + 5)
        await processor.process_frame(frames.InterruptionFrame(), 1)
        at = kinds(processor).index("InterruptionFrame")
        await until(lambda: kinds(processor)[at:].count("OutputImageRawFrame") > 10)
        assert "TTSAudioRawFrame" not in kinds(processor)[at + 3 :]
        await processor.process_frame(frames.EndFrame(), 1)
        done = len(processor.pushed)
        await asyncio.sleep(0.2)
        assert len(processor.pushed) == done and kinds(processor)[-1] == "EndFrame"

    asyncio.run(pipeline())


@pytest.mark.parametrize("name", ["livekit", "pipecat"])
def test_a_missing_package_is_one_clear_line(name, monkeypatch):
    from avatar_forcing_ros.errors import InputError

    for module in (name, f"{name}.agents", f"{name}.frames.frames"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"\[{name}\]"):
        fresh(f"avatar_forcing_ros.voice.agents.{name}", monkeypatch)
