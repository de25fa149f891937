"""What a probability is worth: kernels, likelihood ratios, worst cases, certificates, and their verification."""
