"""What is public about the chip: limits, whether a network fits, what it may cost. Estimates."""
