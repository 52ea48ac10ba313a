"""Made voices for the tests and figures of listening: sentences that interrupt, and hums and words that do not. Want espeak-ng, and flite.

What tells the two apart is made from VOICES and TRAINING_SENTENCES (tools/assets/make_back_channel.py); HELD_OUT_VOICES and SENTENCES
are for its figures alone.
"""

from __future__ import annotations

import importlib.util
import subprocess
from functools import lru_cache

import numpy as np
import soxr

from avatar_forcing_ros.timeline import SAMPLE_RATE
from avatar_forcing_ros.voice.tts import open_voice
from avatar_forcing_ros.voice.tts.base import from_pcm

VOICES = [
    *("espeak-ng:en-us", "espeak-ng:en-us+f3", "espeak-ng:en-gb+m3", "espeak-ng:en-us+f5", "espeak-ng:en-us+m7", "espeak-ng:en-gb+f2"),
    *("espeak-ng:en-us+f1", "espeak-ng:en-us+m1", "espeak-ng:en-us+m5", "espeak-ng:en-us+klatt", "espeak-ng:en-gb-x-rp+klatt2"),
    *("espeak-ng:en-us+Annie", "espeak-ng:en-us+Andy", "espeak-ng:en-gb+Alicia", "espeak-ng:en-us+Denis", "espeak-ng:en-us-nyc+Lee"),
    *("espeak-ng:en-us+adam", "espeak-ng:en-us+anika", "espeak-ng:en-gb+antonio", "espeak-ng:en-us+belinda", "espeak-ng:en-us+boris"),
    *("espeak-ng:en-us+caleb", "espeak-ng:en-us+david", "espeak-ng:en-gb+edward", "espeak-ng:en-us+pablo", "espeak-ng:en-us+quincy"),
    *("flite:slt", "flite:awb"),
]  # fmt: skip
HELD_OUT_VOICES = [
    *("espeak-ng:en-gb-scotland", "espeak-ng:en-us+m4", "espeak-ng:en-us+f4", "espeak-ng:en-us+klatt3", "espeak-ng:en-us+linda"),
    *("espeak-ng:en-us+michel", "espeak-ng:en-us+Michael", "espeak-ng:en-gb+Jacky", "espeak-ng:en-us+steph2"),
    *("flite:rms", "flite:kal16", "hibari:heart"),
]  # fmt: skip
SENTENCES = [
    *("Wait, stop please.", "Excuse me, I have a question.", "Hold on a second.", "No, that is not what I meant."),
    *("Can I ask you something?", "Stop talking now.", "But what about tomorrow?", "Sorry, could you repeat that?"),
    *("I want to know the price.", "Where is the elevator?", "Hey, listen to me.", "Okay but how do I get there?"),
    *("Let me say something.", "Actually I already know that.", "What time does it open?", "Please be quiet."),
    *("My name is Anna.", "Tell me more about it.", "Just a moment please.", "You are wrong about this."),
    *("Is there a toilet here?", "Could you speak up?", "We need two tickets.", "That is too fast for me."),
]  # fmt: skip
TRAINING_SENTENCES = [
    *("Stop it.", "Wait a minute.", "Hang on, please.", "Excuse me, where do I go?", "Sorry to interrupt you.", "No, not that one."),
    *("No, thank you.", "Can you say it again?", "Could I get some help?", "Would you wait?", "But I do not agree.", "And what is next?"),
    *("I have been there before.", "I think you misunderstood.", "I would like to leave.", "Where can I park?", "When do you close?"),
    *("Who told you that?", "How much is it?", "How long does it take?", "Why is it closed?", "What did you say?", "What is your name?"),
    *("Hello, can you hear me?", "Hey you, look at this.", "Listen, this is important.", "Look, I am in a hurry.", "Let us go on."),
    *("Actually, no.", "My friend is waiting.", "Tell us the way.", "Give me the other one.", "Show me the map.", "Just tell me the time."),
    *("You said something else.", "Your answer is wrong.", "Is it open today?", "Are you sure about that?", "Do you have a room?"),
    *("Does it cost anything?", "We are looking for the station.", "They are late.", "That was not my question.", "This is too loud."),
    *("There is somebody at the door.", "It does not work.", "Please slow down.", "Too fast!", "One moment.", "Speak a bit louder."),
    *("Turn around.", "Thank you, that is enough.", "Never mind.", "Be quiet.", "Go back to the start.", "Maybe we should stop here."),
    *("Well, I do not know.", "So what do I do now?", "Then where is it?", "All of this is new to me.", "Every day the same.", "After that?"),
]  # fmt: skip
BEGIN_ALIKE = [
    *("Okay, but where is it?", "Okay, stop now.", "Yeah, but I want another one.", "Yes, and where do I pay?", "Right, so what is next?"),
    *("Sure, but how?", "Oh, I have forgotten my bag.", "I see a problem there.", "Right behind you there is a man.", "Yes, I have a question."),
]  # fmt: skip
HUMS = ["[[m:]]", "[[m_hm]]", "[[m_hm:]]", "[[hm]]", "[[m:_m]]", "[[h'm:]]", "[[m:hm:]]"]  # espeak-ng's phonemes
WORDS = ["Yeah.", "Right.", "Okay.", "Yes.", "Uh huh.", "Yep."]
LEVEL = 0.05  # RMS
_HEADER = 44  # bytes of a WAV file
_SHORTEST_S = 0.15


def there(voice: str) -> bool:
    """Whether its engine is installed, as far as the package's own ones go (espeak-ng and flite are asked for)."""
    return not voice.startswith("hibari") or importlib.util.find_spec("hibari") is not None


@lru_cache(maxsize=2048)
def said(voice: str, text: str) -> np.ndarray | None:
    """(n,) float32 at 16 kHz from its first sound to its last; None where the voice cannot say it, or hardly."""
    engine, _, name = voice.partition(":")
    if text.startswith("[["):
        if engine != "espeak-ng":
            return None
        done = subprocess.run(["espeak-ng", "-v", name, "--stdout", text], capture_output=True, timeout=30)
        samples, rate = from_pcm(done.stdout[_HEADER:])[:, 0], 22_050
    else:
        pieces = list(open_voice(voice).speak(text))
        samples, rate = np.concatenate([piece.samples[:, 0] for piece in pieces]), pieces[0].rate
    sound = soxr.resample(samples, rate, SAMPLE_RATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.03 * np.abs(sound).max(initial=1e-9))
    if len(loud) < 2 or loud[-1] - loud[0] < _SHORTEST_S * SAMPLE_RATE:
        return None
    sound = sound[loud[0] : loud[-1] + 1]
    return sound * (LEVEL / float(np.sqrt(np.mean(sound**2))))
