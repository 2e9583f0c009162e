"""The layers whose memory fades, and the feature maps."""
