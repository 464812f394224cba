//! The simulator as a live HTTP endpoint on a given listener.
