"""Compiled decoders of venues' hot messages."""
