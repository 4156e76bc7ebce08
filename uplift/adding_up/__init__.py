"""The programme's total by the universal control, beside the sum of what its campaigns claim."""
