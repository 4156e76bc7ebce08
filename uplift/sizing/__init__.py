"""Design: what an experiment can answer, before a single message is sent."""
