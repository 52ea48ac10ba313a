"""Avatar Forcing for ROS 2: the face of a social robot that listens while you speak, live."""

__version__ = "0.2.0"
