"""The layers of the delta rule."""
