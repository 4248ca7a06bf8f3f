"""What `benches/peers/run` and `benches/peers/instructions` are made of."""
