"""The user's voice beside the avatar's own: voice activity, the echo of the loudspeaker, what interrupts and what does not."""
