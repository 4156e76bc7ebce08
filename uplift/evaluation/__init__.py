"""Evaluation: is targeting proven, what is a policy worth, and what does each customer bring?"""
