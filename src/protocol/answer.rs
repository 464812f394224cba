//! What an answer carries: the borrowed parse of a chunk or a whole body into text, reasoning, usage, finish reason.
