"""From scan files to memory-mapped arrays."""
