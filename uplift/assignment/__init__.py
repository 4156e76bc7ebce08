"""Assignment: who gets which arm, drawn by hash so that anyone can draw it again."""
