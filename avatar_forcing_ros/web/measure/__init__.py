"""`kiosk --check`: the kiosk measured from outside, in a real browser."""
