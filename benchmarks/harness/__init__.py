"""Loops in compiled code over faces of the core that Python cannot call without its own cost."""
