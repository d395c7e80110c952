"""Tapes on disk: writing, reading, checking, exporting. No features, no sockets."""
