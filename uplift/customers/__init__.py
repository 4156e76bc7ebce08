"""Customers: from purchases to one row per unit as of a date, and simple scores of it."""
