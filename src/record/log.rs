//! The run log: versioned, append-only, framed and checksummed over any `Write` or `Read`; tolerates a torn tail.
