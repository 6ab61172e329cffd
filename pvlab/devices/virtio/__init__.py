"""Virtio devices over MMIO: block, network, console, entropy and balloon, for any machine.

    block = VirtioBlock(disk, memory, interrupt)        # memory.read(address, size), memory.write(address, data)
    block.read(offset, size)                            # what a load from base + offset gives
    block.write(offset, size, value)                    # what a store to base + offset does

Sources: the OASIS specification, versions 1.1 to 1.3 ("Virtual I/O Device (VIRTIO)"), whose names are used throughout.
"""
