"""An ARM64 Linux with LiteRT, emulated by qemu-user: exact numerics, exact counts."""
