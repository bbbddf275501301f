"""Contrastive learning on streams: what of them is kept, and what is drawn again."""
