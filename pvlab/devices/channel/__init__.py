"""Channel I/O: a subchannel for each device, and channel programs that a device and storage carry out between them.

The source is IBM's z/Architecture Principles of Operation (SA22-7832), chapters 13 to 17, here called PoP.
"""
