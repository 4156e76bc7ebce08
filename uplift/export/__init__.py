"""Lists of whom to contact: decided once, proven, and never for somebody who said no."""
