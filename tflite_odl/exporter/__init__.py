"""From a method to an artifact that was proven: convert, audit, compact, prove, write.

`export.py` runs the stages in this order. The flatbuffer side (flatbuffer, audit,
memory, partitions, artifact) needs no TensorFlow.
"""
