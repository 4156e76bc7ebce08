"""Explanation: why effects differ, which features a policy needs, and a rule that can be said."""
