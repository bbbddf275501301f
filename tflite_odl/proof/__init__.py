"""The parity gate: what TensorFlow says, and how close an artifact must come."""
