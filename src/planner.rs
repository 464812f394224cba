//! `Recommendation`: minimum and maximum chunks, and why; found by simulation of the demand in virtual time.

pub mod cost;
pub mod evaluate;
pub mod explain;
pub mod naive;
pub mod recommendation;
pub mod request;
pub mod search;
pub mod world;

#[cfg(test)]
mod tests {
    use crate::scenario::plan::Plan;

    /// A plan of a few minutes, small enough for a debug build.
    pub(super) fn tiny_plan() -> Plan {
        let json = serde_json::json!({
            "demand": { "poisson": { "rate": "2/s" } },
            "period": "10min",
            "chunk": { "size": "1580 tok/s", "source": "documented" },
            "price": { "first": "6 USD/h", "next": "24 USD/h", "source": "documented" },
        });
        serde_json::from_value(json).unwrap()
    }
}
