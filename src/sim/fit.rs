//! From measured records to the step law: regression, then refinement by replay.
