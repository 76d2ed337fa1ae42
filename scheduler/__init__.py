"""Who runs next: pure policies; knows nothing of the other rooms."""
