"""From raw images to batches of views; knows no model and no loss."""
