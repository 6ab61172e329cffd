"""What is drawn: matplotlib only, and each figure with a text table of the same numbers."""
