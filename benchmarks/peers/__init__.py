"""What peers' environments run: no import of apex here."""
