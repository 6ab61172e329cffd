"""EBCDIC, in which CP and its guests speak to each other: code page 037."""
from __future__ import annotations


def encode(text: str) -> bytes:
    """What EBCDIC has no character for becomes SUB (X'3F')."""
    return text.encode("cp037", "replace") if text.isascii() else b"".join(_one(character) for character in text)


def _one(character: str) -> bytes:
    try:
        return character.encode("cp037")
    except UnicodeEncodeError:
        return b"\x3f"


def decode(data: bytes) -> str:
    return data.decode("cp037")
