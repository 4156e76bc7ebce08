"""One module per schema version: the step from the version before it. Never edited afterwards."""
