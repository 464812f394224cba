//! Arrival processes: rate function x inter-arrival family, by time rescaling; trace instants; closed-loop users.
