"""Quality of service that just matches.

Readers of other people's topics (cameras, microphones) offer best effort and volatile, which matches every writer.
What this package publishes is reliable with a small history, which matches every reader.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def reading(depth: int, reliable: bool = False) -> QoSProfile:
    """For somebody else's topic. Raw images over UDP are lost by best effort; `reliable` where the writer offers it."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )


def reliable(depth: int) -> QoSProfile:
    """For what this package publishes, and for its own nodes that read it."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def latched() -> QoSProfile:
    """For descriptions that late readers need, such as AudioInfo and MotionSpace."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
