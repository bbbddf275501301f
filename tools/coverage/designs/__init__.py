"""Models that others designed, rebuilt in our own words, for either Keras."""

from __future__ import annotations

from tools.coverage.designs import bodies, images, mixers, series, tables, texts, tiny
from tools.coverage.designs.design import Design, Kit

ROOMS = (images, mixers, tiny, bodies, series, tables, texts)
DESIGNS: dict[str, Design] = {
    design.name: design for room in ROOMS for design in room.ROOM.designs
}

# The Keras that save each of them.
FLAVOURS = ("keras", "tf_keras")

__all__ = ["DESIGNS", "FLAVOURS", "Design", "Kit"]
