//! Bearer tokens from environment or file, in a type that cannot be printed.
