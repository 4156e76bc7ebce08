"""Pure mathematics on arrays and moments; knows no experiment."""
