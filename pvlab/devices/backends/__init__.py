"""What stands behind a device: disks and networks that know no transport, so that every kind of device shares them."""
