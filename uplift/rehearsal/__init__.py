"""Rehearsal: the sealed plan, drawn and read many times on history before it is sent once."""
