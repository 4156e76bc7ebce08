"""What people see: charts and one self-contained page, drawn from results only."""
