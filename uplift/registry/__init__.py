"""Registry: what was promised, in which state it is, and who changed what when."""
