"""Models of the effect per customer: learners and baselines on one shared cross-fit."""
