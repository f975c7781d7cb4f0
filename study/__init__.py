"""What balance and batches by length are worth, measured on real data with enough seeds to say so: `make study`."""
