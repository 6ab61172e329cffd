"""What runs: C and assembly sources, the toolchain that builds them, and the catalogue."""
from pvlab.guests.catalogue import Entry, Guest, guest, known_guests
from pvlab.guests.image import MEMORY, Image, load_image
from pvlab.guests.toolchain import GuestError, build_shared

__all__ = ["MEMORY", "Entry", "Guest", "GuestError", "Image", "build_shared", "guest", "known_guests", "load_image"]
