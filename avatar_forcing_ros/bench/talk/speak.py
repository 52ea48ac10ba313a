"""From the action `speak` to the first sound: how much of it is the voice's own time, the presentation delay, and the rest."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from avatar_forcing_ros.bench.talk.graph import quantiles, stamp_ns, talking_graph, wait

_TEXT = "Hello, it is nice to see you here. What may I do for you today?"


def benchmark_speak(
    count: int = 50, voice: str = "auto", seed: int = 1, progress: Callable[[int], None] = lambda done: None
) -> dict:
    """Figures in ms, each with p50, p95 and max, of `count` goals that find the avatar silent, at random moments of the frame clock.

    voice: the synthesizer's own time to its first sound; delay: the presentation delay; rest: what goes beyond both, which is the sum of goal (to
    the synthesizer and from it to the ingest) and grid (waiting for the frame clock; below 0 where the sound begins in a frame that has begun).
    """
    from avatar_forcing_ros.action import Speak
    from avatar_forcing_ros.srv import Interrupt

    random = np.random.default_rng(seed)
    parts: dict[str, list[float]] = {name: [] for name in ("whole", "voice", "delay", "rest", "goal", "grid")}
    with talking_graph(voice) as talking:
        for done in range(count + 1):
            talking.clear()
            time.sleep(float(random.uniform(0.6, 0.7)))  # the avatar has been silent
            asked = talking.now()
            goal = talking.speak.send_goal_async(Speak.Goal(text=_TEXT))
            wait(lambda: any(s.state == s.STARTED for s in talking.states), 30.0)
            delay = talking.delay_ns
            talking.stop.call_async(Interrupt.Request())
            wait(goal.done)
            result = goal.result().get_result_async()
            wait(result.done)
            if not done:  # the first one opens the voice
                continue
            began = next(stamp_ns(s.header.stamp) for s in talking.states if s.state == s.STARTED)
            made, own = talking.chunks[0][0], stamp_ns(result.result().result.voice_time)
            spent = {"whole": began - asked, "voice": own, "delay": delay, "rest": began - asked - own - delay}
            spent |= {"goal": made - asked - own, "grid": began - made - delay}
            for name, value in spent.items():
                parts[name].append(value / 1e6)
            progress(done)
    return {"goals": count, **{f"{name}_ms": quantiles(values) for name, values in parts.items()}}
