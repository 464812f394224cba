//! Chunk-hours to money: the first chunk and the next ones.
