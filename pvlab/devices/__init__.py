"""What a guest talks to. A device knows no instruction set and no monitor: it has reads, writes and an interrupt line."""
