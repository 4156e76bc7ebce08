"""Sample ratio, effects, guardrails, money, decision."""
