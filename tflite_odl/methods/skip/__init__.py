"""`skip`: back-propagation of confident rows is skipped, and its time saved."""
