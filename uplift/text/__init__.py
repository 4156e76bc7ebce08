"""What results say: the words of each language, and values with the key they are found by."""
