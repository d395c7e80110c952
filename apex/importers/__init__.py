"""Recordings of other systems, read into tapes: one module a format."""
