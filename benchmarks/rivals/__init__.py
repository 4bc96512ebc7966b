"""What users would run instead, on the same wire and in good faith: each keeps its connection and its folder IDs."""
