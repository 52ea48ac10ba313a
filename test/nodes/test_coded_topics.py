"""Topics whose bytes are coded, at the nodes: packets of video, Opus and MP3. What they show and say comes through."""

import array
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from conftest import errors_of, told

pytest.importorskip("rclpy", reason="needs ROS: on a plain Python install there are no nodes to test")

from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage

from avatar_forcing_ros.assets import DEFAULT_PORTRAIT
from avatar_forcing_ros.msg import AudioFrames, MotionLatent
from avatar_forcing_ros.timeline import NANOSECONDS

pytestmark = pytest.mark.graph
SIDE, GROUP = 320, 10  # pixels; images from key frame to key frame


def video_packets(count: int = 3 * GROUP) -> list[bytes]:
    """A film of the portrait, which drifts a little, as H.264."""
    picture = cv2.cvtColor(cv2.resize(cv2.imread(str(DEFAULT_PORTRAIT)), (SIDE, SIDE)), cv2.COLOR_BGR2RGB)
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = SIDE, SIDE, "yuv420p"
    context.framerate, context.time_base, context.gop_size = Fraction(25), Fraction(1, 25), GROUP
    context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    packets = []
    for k in range(count):
        frame = av.VideoFrame.from_ndarray(np.roll(picture, k % 3, axis=1), format="rgb24")
        frame.pts = k
        packets += [bytes(p) for p in context.encode(frame)]
    return packets


def coded_sound(codec: str, rate: int, seconds: float = 2.0) -> list[bytes]:
    """A tone of 440 Hz as packets of a codec."""
    context = av.CodecContext.create(codec, "w")
    context.sample_rate, context.layout, context.format = rate, "mono", "flt" if codec == "libopus" else "s16p"
    context.bit_rate = 64_000
    context.open()
    tone = (0.4 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
    step, packets = context.frame_size, []
    for at in range(0, len(tone) - step + 1, step):
        part = tone[at : at + step] if codec == "libopus" else (tone[at : at + step] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part[None], context.format.name, "mono")
        frame.sample_rate, frame.pts = rate, at
        packets += [bytes(p) for p in context.encode(frame)]
    return packets


def test_packets_of_video_on_a_compressed_topic_are_followed(ros):
    """As web cameras send them: a CompressedImage whose format is a codec."""
    motions, diagnostics = ros.collect(MotionLatent, "/motion"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("face_ingest", "face", transport="compressed", reliable=True)
    publisher = ros.publisher(CompressedImage, "/camera/image_raw/compressed")
    ros.wait_for_readers(publisher)
    packets, sent = video_packets(), 0

    def publish() -> None:
        nonlocal sent
        message = CompressedImage(format="h264")
        message.header.stamp = Time(nanoseconds=ros.now_ns()).to_msg()
        message.data = array.array("B", packets[sent % len(packets)])
        publisher.publish(message)
        sent += 1

    ros.wait_for(lambda: publish() or len([m for m in motions if m.confidence > 0.5]) > GROUP, "a face in the film")
    assert all(b.header.stamp.sec * NANOSECONDS + b.header.stamp.nanosec for b in motions)
    diagnostics.clear()
    ros.wait_for(
        lambda: publish() or any("face followed" == s.message for m in diagnostics for s in m.status), "all well"
    )


def test_packets_of_ffmpeg_image_transport_are_followed(ros):
    """With its package installed; without it the node says what is missing."""
    diagnostics, motions = ros.collect(DiagnosticArray, "/diagnostics"), ros.collect(MotionLatent, "/motion")
    ros.start("face_ingest", "face", transport="ffmpeg", reliable=True)
    try:
        from ffmpeg_image_transport_msgs.msg import FFMPEGPacket
    except ImportError:
        error = ros.wait_for(lambda: errors_of(diagnostics, "face"), "an error")[0]
        assert "ffmpeg_image_transport_msgs" in error and "install" in error
        return
    publisher = ros.publisher(FFMPEGPacket, "/camera/image_raw/ffmpeg")
    ros.wait_for_readers(publisher)
    packets, sent = video_packets(), 0

    def publish() -> None:
        nonlocal sent
        message = FFMPEGPacket(encoding="libx264;yuv420p;bgr8;bgr8", width=SIDE, height=SIDE, pts=sent)
        message.header.stamp = Time(nanoseconds=ros.now_ns()).to_msg()
        message.data = array.array("B", packets[sent % len(packets)])
        publisher.publish(message)
        sent += 1

    ros.wait_for(lambda: publish() or len([m for m in motions if m.confidence > 0.5]) > GROUP, "a face in the film")


@pytest.mark.parametrize(
    "codec, coding, rate, damaged",
    [("libopus", "opus", 48_000, 1), ("libmp3lame", "mp3", 16_000, 0), ("libopus", "opus", 16_000, 0)],
)
def test_coded_sound_is_heard_whole(ros, codec, coding, rate, damaged):
    """A packet a message, stamped; what is damaged on its way is left out and told, and the rest is heard."""
    frames, diagnostics = ros.collect(AudioFrames, "/audio_frames"), ros.collect(DiagnosticArray, "/diagnostics")
    ros.start("audio_ingest", "microphone")
    publisher, describe = ros.publisher(AudioDataStamped, "/audio_stamped"), ros.publisher(AudioInfo, "/audio_info")
    ros.wait_for_readers(publisher)
    ros.wait_for_readers(describe)
    describe.publish(AudioInfo(channels=1, sample_rate=rate, sample_format="S16LE", coding_format=coding))
    packets = coded_sound(codec, rate)
    length = (2 * NANOSECONDS) // len(packets)
    first = ros.now_ns() - 200_000_000
    for k, data in enumerate(packets):
        stamp = first + k * length
        ros.wait_for(lambda s=stamp: ros.now_ns() >= s + length, "the time of a packet")
        message = AudioDataStamped()
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        message.audio.data = array.array("B", b"\xff" * 9 if damaged and k == len(packets) // 2 else data)
        publisher.publish(message)
    ros.wait_for(lambda: told(diagnostics, "microphone", "messages") == str(len(packets)), "all packets")
    ros.wait_for(
        lambda: sum(sum(m.known) for m in frames) >= 44, "two seconds of frames, but for what the codec holds back"
    )
    heard = np.concatenate([np.asarray(m.samples) for m in frames])
    middle = heard[6000:14_000] if damaged else heard[6000:26_000]
    strength = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert abs(np.argmax(strength) * 16_000 / len(middle) - 440) < 5
    assert 0.2 < np.sqrt(np.mean(middle**2)) < 0.35
    if damaged:
        ros.wait_for(
            lambda: any("1 packets of sound were damaged" in s.message for m in diagnostics for s in m.status),
            "a warning",
        )
