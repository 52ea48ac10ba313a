"""Each node as its own process, from outside: messages in, messages out, bad input, time that jumps."""

import array
import time

import numpy as np
import pytest
from conftest import errors_of, told

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from audio_common_msgs.msg import AudioDataStamped, AudioInfo  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT  # noqa: E402
from avatar_forcing_ros.media.images import to_rgb  # noqa: E402
from avatar_forcing_ros.motion import rig  # noqa: E402
from avatar_forcing_ros.msg import (  # noqa: E402
    AudioFrames,
    AvatarFrame,
    MotionLatent,
    MotionLatentBlock,
    MotionSpace,
    PresentationState,
    VoiceFrame,
)
from avatar_forcing_ros.ros import qos  # noqa: E402
from avatar_forcing_ros.timeline import (
    BLOCK_FRAMES,
    FRAME_RATE,
    NANOSECONDS,
    SAMPLES_PER_FRAME,
    frame_at,
    next_block_start,
    time_of,
)


def ns(stamp) -> int:
    return stamp.sec * NANOSECONDS + stamp.nanosec


def sound(samples: np.ndarray, stamp_ns: int) -> AudioDataStamped:
    message = AudioDataStamped()
    message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
    message.audio.data = array.array("B", (samples * 32767).astype("<i2").tobytes())
    return message


def wave_info(rate: int, channels: int = 1) -> AudioInfo:
    return AudioInfo(channels=channels, sample_rate=rate, sample_format="S16LE", coding_format="wave")


def block(first: int, sequence: int, latents: np.ndarray, space: str = "rig") -> MotionLatentBlock:
    message = MotionLatentBlock(
        sequence=sequence, first_frame=first, frame_count=len(latents), latent_dim=latents.shape[1], frame_rate=25.0,
        space=space, model="test",
    )  # fmt: skip
    message.header.stamp = Time(nanoseconds=time_of(first)).to_msg()
    message.camera_stamps = [Time(nanoseconds=time_of(first + i)).to_msg() for i in range(len(latents))]
    message.user_audio_stamps = [Time(nanoseconds=max(0, time_of(first + i - 1))).to_msg() for i in range(len(latents))]
    message.data = array.array("f", latents.astype(np.float32).tobytes())
    return message


def active(messages: list, name: str) -> bool:
    return any(s.name.endswith(name) and s.message not in ("inactive", "") for m in messages for s in m.status)


# --- sound ------------------------------------------------------------------------------------------------------


def test_user_sound_of_44_kHz_becomes_frames_on_the_clock(ros):
    frames = ros.collect(AudioFrames, "/user/audio_frames")
    ros.start("audio_ingest", "microphone", "/user", sample_rate=44100)
    publisher = ros.publisher(AudioDataStamped, "/user/audio_stamped")
    ros.wait_for_readers(publisher)
    first = frame_at(ros.now_ns()) - 11  # the last 0.44 s, at once
    start = time_of(first)
    tone = (0.5 * np.sin(2 * np.pi * 220 * np.arange(19404) / 44100)).astype(np.float32)
    for i in range(0, len(tone), 441):
        publisher.publish(sound(tone[i : i + 441], start + i * NANOSECONDS // 44100))
    ros.wait_for(lambda: sum(len(m.known) for m in frames) >= 10, "0.4 s of frames")
    heard = np.concatenate([np.asarray(m.samples) for m in frames])
    assert frames[0].first_frame == first and ns(frames[0].header.stamp) == start
    assert all(m.sample_rate == 16000 and m.samples_per_frame == SAMPLES_PER_FRAME for m in frames)
    expected = 0.5 * np.sin(2 * np.pi * 220 * np.arange(len(heard)) / 16000)
    assert np.corrcoef(heard[1600:6000], expected[1600:6000])[0, 1] > 0.999


def test_sound_waits_for_the_description_of_its_format(ros):
    frames = ros.collect(AudioFrames, "/audio_frames")
    ros.start("audio_ingest", "microphone", remap={"audio_info": "/head/audio_info"})
    publisher, describe = (
        ros.publisher(AudioDataStamped, "/audio_stamped"),
        ros.publisher(AudioInfo, "/head/audio_info"),
    )
    ros.wait_for_readers(publisher)
    ros.wait_for_readers(describe)
    first = frame_at(ros.now_ns()) - 11
    for i in range(10):  # half a second at 8 kHz, before anybody said that it is 8 kHz
        publisher.publish(sound(np.full(400, 0.2, np.float32), time_of(first) + i * 50_000_000))
    time.sleep(0.5)
    assert not frames
    describe.publish(wave_info(8000))
    ros.wait_for(lambda: sum(len(m.known) for m in frames) >= 12, "half a second of frames")
    assert frames[0].first_frame == first and sum(len(m.known) for m in frames) <= 13
    assert frames[0].speaker == AudioFrames.USER


@pytest.mark.parametrize(
    "info, words",
    [
        (AudioInfo(channels=1, sample_rate=16000, sample_format="S16LE", coding_format="wma"), "wma"),
        (wave_info(0), "rate"),
        (AudioInfo(channels=1, sample_rate=16000, sample_format="S17", coding_format="wave"), "S17"),
    ],
)
def test_sound_that_cannot_be_used_is_one_error_and_good_sound_is_heard_again(ros, info, words):
    frames, diagnostics = ros.collect(AudioFrames, "/audio_frames"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("audio_ingest", "microphone")
    publisher, describe = ros.publisher(AudioDataStamped, "/audio_stamped"), ros.publisher(AudioInfo, "/audio_info")
    ros.wait_for_readers(publisher)
    ros.wait_for_readers(describe)
    ros.wait_for(lambda: describe.publish(info) or errors_of(diagnostics, "microphone"), "an error in diagnostics")
    found = errors_of(diagnostics, "microphone")
    assert words in found[0]
    publisher.publish(sound(np.zeros(6400, np.float32), time_of(500)))
    ros.wait_for(
        lambda: describe.publish(wave_info(16000)) or not errors_of(diagnostics[-1:], "microphone"), "the error to go"
    )
    assert not frames
    publisher.publish(sound(np.full(6400, 0.1, np.float32), time_of(1000)))
    ros.wait_for(lambda: frames, "frames after a usable description")


def test_speech_faster_than_real_time_is_released_on_the_clock_and_can_be_cleared(ros):
    frames, diagnostics = ros.collect(AudioFrames, "/speech/audio_frames"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("audio_ingest", "speech", "/speech", speaker="avatar")
    publisher = ros.publisher(AudioDataStamped, "/speech/audio_stamped")
    ros.wait_for_readers(publisher)
    for _ in range(100):  # ten seconds at once, unstamped, as a TTS sends them
        message = sound(np.full(1600, 0.25, np.float32), 0)
        publisher.publish(message)
    ros.wait_for(lambda: sum(any(m.known) for m in frames) >= 10, "speech")
    now = frame_at(ros.now_ns())
    assert max(m.first_frame for m in frames) <= now  # nothing is released ahead of the clock
    spoken = [m for m in frames if all(m.known)]
    assert all(b.first_frame == a.first_frame + 1 for a, b in zip(spoken, spoken[1:], strict=False))

    ros.wait_for(lambda: told(diagnostics, "speech", "messages") == "100", "all speech to be queued")
    client = ros.node.create_client(Trigger, "/speech/speech/clear_speech")
    assert client.wait_for_service(10)
    future = client.call_async(Trigger.Request())
    ros.wait_for(future.done, "the barge-in's answer")
    assert future.result().success and "dropped" in future.result().message
    count = len(frames)
    ros.wait_for(lambda: len(frames) > count + 10, "frames after the barge-in")
    assert not any(any(m.known) for m in frames[-5:])  # silence


def test_speech_that_is_there_does_not_wait_for_the_release_delay(ros):
    frames = ros.collect(AudioFrames, "/speech/audio_frames")
    ros.start("audio_ingest", "speech", "/speech", speaker="avatar", release_delay=1.0, use_sim_time=True)
    publisher, clock = ros.publisher(AudioDataStamped, "/speech/audio_stamped"), ros.publisher(Clock, "/clock")
    ros.wait_for_readers(publisher)
    ros.wait_for_readers(clock)

    def clock_until(first: float, last: float, step: float = 0.005) -> None:
        for seconds in np.arange(first, last, step):
            clock.publish(Clock(clock=Time(nanoseconds=round(seconds * NANOSECONDS)).to_msg()))
            time.sleep(0.002)

    clock_until(1002.0, 1002.5)
    assert not frames  # what is stamped may still come
    for i in range(20):
        publisher.publish(sound(np.full(1600, 0.25, np.float32), round((1002.5 + i / 10) * NANOSECONDS)))

    def spoken() -> bool:
        clock_until(1002.5, 1002.9)  # by less than the delay, again and again
        return any(any(m.known) for m in frames)

    ros.wait_for(spoken, "speech")
    assert max(m.first_frame for m in frames) < frame_at(round(1002.9 * NANOSECONDS))


# --- face -------------------------------------------------------------------------------------------------------


def image_message(rgb: np.ndarray, stamp_ns: int, encoding: str = "rgb8") -> Image:
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding=encoding, step=rgb.shape[1] * 3)
    message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
    message.data = array.array("B", rgb.tobytes())
    return message


def test_a_camera_image_becomes_motion_with_its_stamp_and_a_bad_one_is_an_error(ros):
    import cv2

    picture = cv2.resize(cv2.cvtColor(cv2.imread(str(DEFAULT_PORTRAIT)), cv2.COLOR_BGR2RGB), (320, 320))
    motions, diagnostics = ros.collect(MotionLatent, "/motion"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("face_ingest", "face", reliable=True)
    publisher = ros.publisher(Image, "/camera/image_raw")
    ros.wait_for_readers(publisher)
    stamps = []
    for i in range(5):
        stamps.append(ros.now_ns())
        publisher.publish(image_message(picture, stamps[-1]))
        ros.wait_for(lambda i=i: len(motions) > i, "the motion of an image")
    assert [m.frame for m in motions] == [frame_at(stamp) for stamp in stamps]
    assert [ns(m.header.stamp) for m in motions] == stamps
    assert motions[-1].confidence > 0.5 and motions[-1].space == "rig" and len(motions[-1].data) == rig.DIM

    publisher.publish(image_message(picture, ros.now_ns(), encoding="nonsense"))
    told = ros.wait_for(lambda: errors_of(diagnostics, "face"), "an error")[0]
    assert "nonsense" in told and "/camera/image_raw" in told and "1 of" in told

    def forgotten() -> bool:  # an empty room: confidence falls, nothing fails
        publisher.publish(image_message(np.full_like(picture, 90), ros.now_ns()))
        newest = motions[-1]
        return newest.confidence == 0 and newest.faces == 0 and np.abs(np.asarray(newest.data)).max() < 0.05

    ros.wait_for(forgotten, "a face at rest")


# --- generator --------------------------------------------------------------------------------------------------


def test_blocks_leave_in_step_with_the_clock_without_any_input_and_with_one_that_stops(ros):
    blocks, diagnostics = ros.collect(MotionLatentBlock, "/motion_blocks"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("motion_generator", "motion_generator", generator="reflex", commit_frames=5)
    ros.wait_for(lambda: len(blocks) >= 3, "blocks without input")
    assert all(b.frame_count == 5 for b in blocks) and not blocks[0].missing
    assert all(b.first_frame - a.first_frame == 5 and b.sequence == a.sequence + 1
               for a, b in zip(blocks, blocks[1:], strict=False))  # fmt: skip
    assert {(b.space, b.model, b.latent_dim, b.frame_rate) for b in blocks} == {("rig", "reflex", rig.DIM, 25.0)}
    assert not any(b.fallback for b in blocks)
    spaces: list = []  # a reader that comes late is told what the coefficients are
    ros.node.create_subscription(MotionSpace, "/motion_space", spaces.append, qos.latched())
    ros.wait_for(lambda: spaces, "the names of the coefficients")
    assert spaces[0].space == rig.SPACE and spaces[0].names == list(rig.NAMES) and len(spaces[0].high) == rig.DIM

    publisher = ros.publisher(MotionLatent, "/user/motion")
    ros.wait_for_readers(publisher)
    smile = rig.pose(mouthSmileLeft=0.8, mouthSmileRight=0.8)
    count = len(blocks)
    while len(blocks) < count + 8:  # a camera that works, then stops
        stamp = ros.now_ns()
        message = MotionLatent(frame=frame_at(stamp), space="rig", confidence=1.0, data=smile)
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        publisher.publish(message)
        ros.wait_for(lambda s=stamp: ros.now_ns() > s + 20_000_000, "time")
    time.sleep(0.1)
    last = blocks[-1]
    assert ns(last.camera_stamps[0]) > 0 and all(len(b.camera_stamps) == 5 for b in blocks)
    assert max(last.data[rig.INDEX["mouthSmileLeft"] :: rig.DIM]) > 0.1  # it answers the smile
    ros.wait_for(lambda: blocks[-1].fallback, "a block that says its input is missing")
    assert "user motion" in blocks[-1].missing
    count = len(blocks)
    ros.wait_for(lambda: len(blocks) >= count + 3, "blocks after the camera has stopped")

    for data, space, words in (
        (np.zeros(512, np.float32), "lia512", "lia512"),
        (np.full(rig.DIM, np.nan, np.float32), "rig", "NaN"),
    ):
        diagnostics.clear()
        publisher.publish(MotionLatent(frame=frame_at(ros.now_ns()), space=space, confidence=1.0, data=data))
        assert words in ros.wait_for(lambda: errors_of(diagnostics, "motion_generator"), "an error")[0]
    count = len(blocks)
    ros.wait_for(lambda: len(blocks) >= count + 2, "blocks after unusable motion")
    assert np.isfinite(np.asarray(blocks[-1].data)).all()


# --- renderer ---------------------------------------------------------------------------------------------------


def test_image_and_speech_of_a_frame_leave_together_after_the_presentation_delay(ros):
    frames, images = ros.collect(AvatarFrame, "/avatar_frame"), ros.collect(CompressedImage, "/image_raw/compressed")
    spoken, diagnostics = (
        ros.collect(AudioDataStamped, "/spoken/audio_stamped"),
        ros.collect(DiagnosticArray, "/diagnostics"),
    )
    states = ros.collect(PresentationState, "/presentation")
    ros.start("renderer", "renderer", avatar="screen_face", size=256, presentation_delay=0.6)
    motion, speech = (
        ros.publisher(MotionLatentBlock, "/motion_blocks"),
        ros.publisher(VoiceFrame, "/speech/voice_frames"),
    )
    ros.wait_for_readers(motion)
    ros.wait_for_readers(speech)
    ros.wait_for(lambda: frames, "the calm face before any motion")
    assert frames[0].held
    first = next_block_start(frame_at(ros.now_ns()) + 5)
    for sequence in range(2):
        latents = np.tile(rig.pose(jawOpen=0.6), (BLOCK_FRAMES, 1))
        motion.publish(block(first + sequence * BLOCK_FRAMES, sequence, latents))
        for frame in range(first + sequence * BLOCK_FRAMES, first + (sequence + 1) * BLOCK_FRAMES):
            message = VoiceFrame(frame=frame, rate=24000, channels=2)
            message.samples = array.array("f", np.full(2 * 960, 0.25 + sequence / 4, np.float32).tobytes())
            speech.publish(message)
    last = first + 2 * BLOCK_FRAMES
    ros.wait_for(lambda: frames and frames[-1].frame > last + 15, "the blocks to be shown")
    shown = {f.frame: f for f in frames}
    moved = [f for f in range(first, last) if f in shown]
    told_before = len(diagnostics)
    ros.wait_for(lambda: len(diagnostics) > told_before, "diagnostics")
    assert 2 * BLOCK_FRAMES - len(moved) <= int(
        told(diagnostics, "renderer", "skipped images") or 0
    )  # none goes untold
    assert moved and not any(shown[f].held for f in moved) and all(shown[f].held for f in shown if f >= last)
    assert all(ns(f.header.stamp) == time_of(f.frame) + 600_000_000 for f in frames)
    assert all(ns(f.published) >= ns(f.header.stamp) for f in frames)  # never before its time
    assert all(ns(s.delay) == 600_000_000 and ns(s.lead) > 0 and s.header.stamp == shown[s.frame].header.stamp
               and s.settled != shown[s.frame].held for s in states if s.frame in shown)  # fmt: skip
    assert len(states) > len(moved)
    assert all(ns(shown[f].camera_stamp) == time_of(f) for f in moved)
    assert all(ns(shown[f].user_audio_stamp) == time_of(f - 1) for f in moved)
    sounds = {ns(m.header.stamp): np.frombuffer(bytes(m.audio.data), "<i2") / 32768 for m in spoken}
    for f in range(first, last):
        assert len(sounds[time_of(f) + 600_000_000]) == 2 * 960
        assert np.allclose(sounds[time_of(f) + 600_000_000], 0.25 + (f - first) // BLOCK_FRAMES / 4, atol=1e-3)
    pictures = {ns(m.header.stamp): to_rgb(m).astype(int) for m in images}
    rest = next(iter(pictures.values()))
    talking = pictures[time_of(moved[-1]) + 600_000_000]
    assert talking.shape == (256, 256, 3) and np.abs(talking - rest).max() > 60  # the mouth is open


def test_motion_that_does_not_hold_together_is_dropped_and_told(ros):
    frames, diagnostics = ros.collect(AvatarFrame, "/avatar_frame"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("renderer", "renderer", avatar="screen_face", size=128)
    publisher = ros.publisher(MotionLatentBlock, "/motion_blocks")
    ros.wait_for_readers(publisher)
    short = block(0, 0, np.zeros((10, rig.DIM)))
    short.frame_count = 11
    for message, words in (
        (short, "11 frames"),
        (block(0, 0, np.full((10, rig.DIM), np.inf)), "infinite"),
        (block(0, 0, np.zeros((10, 512)), space="lia512"), "lia512"),
    ):
        diagnostics.clear()
        publisher.publish(message)
        assert words in ros.wait_for(lambda: errors_of(diagnostics, "renderer"), "an error")[0]
    count = len(frames)
    ros.wait_for(lambda: len(frames) > count + 5, "the calm face after all that")


# --- time -------------------------------------------------------------------------------------------------------


def test_simulated_time_drives_the_chain_and_a_jump_back_starts_afresh(ros):
    blocks, frames = ros.collect(MotionLatentBlock, "/motion_blocks"), ros.collect(AvatarFrame, "/avatar_frame")
    ros.start("motion_generator", "motion_generator", generator="reflex", use_sim_time=True)
    ros.start("renderer", "renderer", use_sim_time=True, avatar="screen_face", size=128)
    clock = ros.publisher(Clock, "/clock")
    ros.wait_for_readers(clock, 2)

    def play(start_s: float, seconds: float, done) -> float:
        """Ticks at some 100 Hz, and beyond `seconds` for as long as a busy machine needs until `done`; the last time, in s."""
        i, until = 0, time.monotonic() + 90
        while i < round(seconds * 100) or not done():
            assert time.monotonic() < until, "waited in vain on simulated time"
            now = start_s + i / 100
            clock.publish(Clock(clock=Time(nanoseconds=round(now * NANOSECONDS)).to_msg()))
            ros.wait_for(lambda s=ros.now_ns(): ros.now_ns() - s > 8_000_000, "time")
            i += 1
        return now

    last = play(1000.0, 3.0, lambda: blocks and any(not f.held for f in frames))
    # At the first tick a block that has just ended may still be made.
    assert all(25_000 - BLOCK_FRAMES <= b.first_frame <= last * FRAME_RATE + 25 for b in blocks)
    assert all(ns(f.published) < (last + 1) * NANOSECONDS for f in frames)
    before = len(blocks)
    newest = blocks[-1].first_frame
    play(1000.0, 3.0, lambda: any(b.first_frame < newest for b in blocks[before:]))  # a bag that loops
    again = [b for b in blocks[before:] if b.first_frame < newest]
    assert again, "the second round begins where the first did"
