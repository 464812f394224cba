//! hdrhistogram with fixed bounds; clipped values are counted, never lost.
