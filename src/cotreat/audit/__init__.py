"""What the evidence of a study identifies, without sampling."""
