"""What a conversation costs: to speak, to be interrupted, to tell who takes the turn."""
