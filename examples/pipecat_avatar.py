"""The face in a Pipecat pipeline: put AvatarProcessor behind the text-to-speech service and turn the transport's video on."""

from pipecat.pipeline.pipeline import Pipeline
from pipecat.transports.base_transport import BaseTransport, TransportParams

from avatar_forcing_ros.voice.agents.face import FaceOptions
from avatar_forcing_ros.voice.agents.pipecat import AvatarProcessor

PARAMS = TransportParams(
    audio_in_enabled=True, audio_out_enabled=True, audio_out_sample_rate=48_000,
    video_out_enabled=True, video_out_is_live=True, video_out_width=512, video_out_height=512, video_out_framerate=25,
)  # fmt: skip


def pipeline(transport: BaseTransport, stt, context, llm, tts) -> Pipeline:
    """stt, context (a pair of aggregators), llm, tts: services of your choice."""
    face = AvatarProcessor(FaceOptions(avatar="portrait", size=512, rate=48_000))
    return Pipeline([transport.input(), stt, context.user(), llm, tts, face, transport.output(), context.assistant()])
