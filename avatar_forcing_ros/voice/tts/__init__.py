"""Speech synthesizers behind one seam: `open_voice("espeak-ng:en-us")`. Engines and what they need are in ENGINES."""

from avatar_forcing_ros.voice.tts.base import Piece, Voice, Word
from avatar_forcing_ros.voice.tts.registry import ENGINES, available, open_voice
from avatar_forcing_ros.voice.tts.synthesis import Part, TimedMark, synthesize

__all__ = ["ENGINES", "Part", "Piece", "TimedMark", "Voice", "Word", "available", "open_voice", "synthesize"]
