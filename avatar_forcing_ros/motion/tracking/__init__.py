"""Measuring faces on camera images: finding them, their mesh, their expression."""

A_FACE = 0.5  # a tracked face of more confidence is one; of less, it is doubtful or none
FOLLOW = ("first", "largest", "middle", "topic")  # which of several faces is followed
