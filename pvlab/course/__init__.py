"""The course: which lessons there are, and the tool that keeps their stored outputs true."""
