"""Images and sound -> mp4, as a stream."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar_forcing_ros.errors import InputError
from avatar_forcing_ros.media.kept_file import KeptFile, WriteError

_FORMAT = {
    "movflags": "hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": "500000",  # microseconds: so much of the end is lost at most where the process is killed
    "use_editlist": "1",  # the AAC encoder's lead is cut by the player, so sound and images both begin at 0
    "flush_packets": "1",  # fragments reach the disk when they are complete
}
_BT709 = 1  # AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_SPC_BT709
_LIMITED = 1  # AVCOL_RANGE_MPEG
_MAX_REPEAT_SECONDS = 60  # a longer hole between two images is a wrong index, not a pause


def refuse_to_overwrite(result: str | Path, *sources: str | Path) -> None:
    """Raises InputError where `result` is the file of one of its sources: writing would destroy it."""
    for source in (s for s in sources if s):
        if os.path.exists(result) and os.path.exists(source) and os.path.samefile(result, source):
            raise InputError(f"{result}: is {source}, which is read: give the result another name")


class VideoWriter:
    """An mp4 file with H.264 (yuv420p) and AAC (mono, or stereo for 2 channels), image i at time i / fps. A context manager.

    size: (width, height), by default the first image's; odd sizes are rounded up to even ones, images of another
    size are scaled. The file is written in fragments of half a second and becomes a plain mp4 at `close()`: what was
    written can be played even where the process was killed before, or the disk is full; then InputError says so, once from
    the call that failed and once from `close()`. The sound is made as long as the images. Not for several threads.
    """

    def __init__(
        self,
        path: str | Path,
        fps: int = 25,
        size: tuple[int, int] | None = None,
        sample_rate: int = 16_000,
        channels: int = 1,
    ) -> None:
        self.path = str(path)
        self.fps, self.sample_rate, self.channels = fps, sample_rate, channels
        self._layout = "stereo" if channels == 2 else "mono"
        self.frames = 0  # images in the file
        self.repeated = self.dropped = 0  # images repeated for missing indices; images that came too late
        self._next_sample = 0
        self._size = None if size is None else _even(size)
        self._last: av.VideoFrame | None = None
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            self._file = KeptFile(self.path)
            self._container = av.open(self._file, "w", format="mp4", options=_FORMAT)
        except (OSError, av.error.FFmpegError) as error:
            raise InputError(f"cannot write the video {self.path}: {error}") from error
        self._video = self._container.add_stream("libx264", rate=fps)
        self._video.pix_fmt = "yuv420p"
        self._video.gop_size = fps
        # No B-frames: presentation begins at time 0 without an edit list.
        self._video.options = {"preset": "veryfast", "crf": "20", "bf": "0"}
        self._audio = self._container.add_stream("aac", rate=sample_rate, layout=self._layout)
        self._audio.bit_rate = 96_000 * channels
        self._fifo = av.AudioFifo()
        self._configured = False
        if self._size is not None:
            self._configure(self._size)

    def write_frame(self, index: int, rgb: np.ndarray) -> None:
        """Image (H, W, 3) uint8 of frame `index`. Missing indices repeat the image before (the first one, at the
        start); an index that was written already is dropped and counted."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise InputError(f"image must be (H, W, 3) uint8 RGB, not {rgb.shape} {rgb.dtype}")
        if index < self.frames:
            self.dropped += 1
            return
        if index - self.frames > _MAX_REPEAT_SECONDS * self.fps:
            raise InputError(f"frame {index} follows frame {self.frames - 1} in {self.path}: the clock jumped")
        if not self._configured:
            self._configure(_even((rgb.shape[1], rgb.shape[0])))
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        image = image.reformat(*self._size, "yuv420p", dst_colorspace="ITU709", interpolation="BICUBIC")
        while self.frames < index:
            self.repeated += 1
            self._encode_image(self._last if self._last is not None else image)
        self._encode_image(image)
        self._last = image

    def write_audio(self, first_sample: int, samples: np.ndarray) -> None:
        """Samples (n,), or (n, channels), float32 from sample `first_sample` of the file on. Holes are silent; what was written
        already is not written again."""
        hole = first_sample - self._next_sample
        if hole > _MAX_REPEAT_SECONDS * self.sample_rate:
            raise InputError(
                f"sound at sample {first_sample} follows {self._next_sample} in {self.path}: the clock jumped"
            )
        if hole > 0:
            self._encode_sound(np.zeros((hole, self.channels), np.float32))
        elif hole < 0:
            samples = samples[-hole:]
        if len(samples):
            self._encode_sound(samples)

    def close(self) -> None:
        """Finishes the file. Calling it again does nothing. Raises InputError where not one image was written."""
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            if self.frames and self._file.error is None:
                missing = self.frames * self.sample_rate // self.fps - self._next_sample
                if missing > 0:
                    self._encode_sound(np.zeros((missing, self.channels), np.float32), container)
                rest = self._fifo.read(0, partial=True)
                for packet in (self._audio.encode(rest) if rest else []) + self._audio.encode(None):
                    container.mux(packet)
                container.mux(self._video.encode(None))
        finally:
            container.close()
            self._file.close()
        self._check()
        if not self.frames:
            Path(self.path).unlink(missing_ok=True)
            raise InputError(f"the video {self.path} got no image and was not written")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self.close()
        except InputError:
            if kind is None:  # else the first error is the one to tell
                raise

    def _configure(self, size: tuple[int, int]) -> None:
        self._size = size
        self._video.width, self._video.height = size
        codec = self._video.codec_context
        codec.color_primaries = codec.color_trc = codec.colorspace = _BT709
        codec.color_range = _LIMITED
        self._configured = True

    def _encode_image(self, image: av.VideoFrame) -> None:
        image.pts, image.time_base = self.frames, Fraction(1, self.fps)
        self.frames += 1
        self._container.mux(self._video.encode(image))
        self._check()

    def _check(self) -> None:
        if self._file.error is not None:
            raise WriteError(
                f"cannot write the video {self.path}: {self._file.error.strerror}; what it has until there can be played"
            )

    def _encode_sound(self, samples: np.ndarray, container=None) -> None:
        planes = np.ascontiguousarray(samples.reshape(len(samples), self.channels).T, np.float32)
        frame = av.AudioFrame.from_ndarray(planes, "fltp", self._layout)
        frame.sample_rate, frame.pts, frame.time_base = (
            self.sample_rate,
            self._next_sample,
            Fraction(1, self.sample_rate),
        )
        self._next_sample += len(samples)
        self._fifo.write(frame)
        if not self._configured:  # the file begins with the size of the first image: the sound waits for it
            if self._next_sample > _MAX_REPEAT_SECONDS * self.sample_rate:
                raise InputError(f"no image came with the sound for {self.path} within {_MAX_REPEAT_SECONDS} s")
            return
        for piece in self._fifo.read_many(1024):
            (container or self._container).mux(self._audio.encode(piece))
        self._check()


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + size[0] % 2, size[1] + size[1] % 2)
