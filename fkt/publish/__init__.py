"""A trained model for others: files of other formats, and a model card."""
