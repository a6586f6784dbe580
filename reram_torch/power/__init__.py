"""What crossbars did, event by event, and what it cost."""
