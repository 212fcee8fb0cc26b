"""Operations: rebuild, retry of parked streams, view lag, doctor."""
