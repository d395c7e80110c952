"""Instruments, decimals and errors: the words every layer shares. No I/O."""
