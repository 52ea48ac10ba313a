"""What cameras send: pixel formats, compressed images and packets of video."""
