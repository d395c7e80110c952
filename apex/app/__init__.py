"""The composition root: commands, options and what puts the parts together."""
