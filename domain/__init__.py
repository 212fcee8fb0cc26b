"""What is true: aggregates, facts and rules. Pure, synchronous, without a clock and without I/O."""
