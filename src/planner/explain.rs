//! Why: the over-provisioned part by its causes, the next cheaper candidate and what breaks it.
