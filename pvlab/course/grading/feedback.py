"""In the student's process: the public checks of a merged notebook under nbval (to be filled)."""
def preload(): pass
def main(conversation): return 0
