"""What one would do without the joint certificate: subsampling, composition of two certificates, one modality alone."""
