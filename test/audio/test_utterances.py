import numpy as np

from avatar_forcing_ros.audio.spoken import speech_of
from avatar_forcing_ros.audio.utterances import UtteranceTracker
from avatar_forcing_ros.timeline import NANOSECONDS

LOUD, QUIET = np.full(1600, 0.2, np.float32), np.zeros(1600, np.float32)  # 0.1 s each


def test_a_burst_is_one_utterance_that_ends_when_nothing_comes():
    tracker = UtteranceTracker()
    utterances = {tracker.take(speech_of(LOUD), NANOSECONDS)[0] for _ in range(30)}
    assert len(utterances) == 1
    assert tracker.dry(NANOSECONDS + 400_000_000) is None
    ended = tracker.dry(NANOSECONDS + 600_000_000)
    assert ended in utterances and ended.began_ns == NANOSECONDS and tracker.dry(10 * NANOSECONDS) is None


def test_a_call_that_never_stops_has_an_utterance_for_each_stretch_of_speech():
    tracker, ended, seen = UtteranceTracker("call"), [], []
    for chunk in [QUIET] * 5 + [LOUD] * 5 + [QUIET] * 3 + [LOUD] * 2 + [QUIET] * 8 + [LOUD]:
        utterance, end = tracker.take(speech_of(chunk), NANOSECONDS)
        seen.append(utterance.id if utterance else None)
        ended += [end.id] if end else []
    assert seen == [None] * 5 + ["call-1"] * 15 + [None] * 3 + ["call-2"]
    assert ended == ["call-1"]
