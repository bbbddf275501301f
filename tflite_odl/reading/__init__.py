"""A user's Keras file -> a layer graph; the only room that knows Keras' insides."""
