"""Somebody in the face: turn-taking, back-channels, recognition, and a brain behind one seam."""
