//! The rate limits of an endpoint's AI gateway: what may be asked for, and who has used how much of it in this minute.

use super::access::Caller;
use super::fault::Fault;
use crate::base::time::Nanos;
use serde_json::Value;
use std::collections::BTreeMap;

/// Calls of this minute, by limit and by whom it counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    minute: u64,
    counts: BTreeMap<(usize, String), u64>,
}

fn limits(gateway: Option<&Value>) -> impl Iterator<Item = &Value> {
    gateway.and_then(|g| g.get("rate_limits")).and_then(Value::as_array).into_iter().flatten()
}

/// The rules of `ai_gateway.rate_limits`.
pub(super) fn judge(gateway: &Value) -> Result<(), Fault> {
    for limit in limits(Some(gateway)) {
        if limit.get("renewal_period").and_then(Value::as_str) != Some("minute") {
            return Err(Fault::invalid("renewal_period of a rate limit must be 'minute'."));
        }
        if limit.get("calls").is_none_or(|v| !v.is_u64()) && limit.get("tokens").is_none_or(|v| !v.is_u64()) {
            return Err(Fault::invalid("A rate limit must have calls or tokens."));
        }
    }
    Ok(())
}

impl Calls {
    /// Counts a call at `now`, unless one of the limits is used up.
    pub(super) fn enter(&mut self, now: Nanos, caller: &Caller, gateway: Option<&Value>) -> Result<(), Fault> {
        let minute = now.0 / 60_000_000_000;
        if minute != self.minute {
            (self.minute, self.counts) = (minute, BTreeMap::new());
        }
        let applies = |limit: &Value| {
            let most = limit.get("calls")?.as_u64()?;
            match limit.get("key").and_then(Value::as_str).unwrap_or("endpoint") {
                "endpoint" => Some((most, String::new())),
                "user" => Some((most, caller.name.clone())),
                _ => (limit.get("principal").and_then(Value::as_str) == Some(&caller.name)).then(|| (most, caller.name.clone())),
            }
        };
        let due: Vec<_> = limits(gateway).enumerate().filter_map(|(i, limit)| applies(limit).map(|(most, whose)| (most, (i, whose)))).collect();
        if let Some((most, _)) = due.iter().find(|(most, key)| self.counts.get(key).is_some_and(|n| n >= most) || *most == 0) {
            return Err(Fault::limit(format!("Exceeded the AI gateway rate limit of {most} calls per minute.")));
        }
        for (_, key) in due {
            *self.counts.entry(key).or_insert(0) += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn caller(name: &str) -> Caller {
        Caller { name: name.to_owned(), admin: false }
    }

    #[test]
    fn calls_are_counted_by_endpoint_user_and_principal_and_anew_every_minute() {
        let limit = |key: &str, calls: u64| json!({ "renewal_period": "minute", "key": key, "calls": calls, "principal": "robot" });
        let gateway = json!({ "rate_limits": [limit("endpoint", 5), limit("user", 3), limit("service_principal", 1)] });
        assert!(judge(&gateway).is_ok());
        let mut calls = Calls::default();
        let mut ask = |at: u64, who: &str| calls.enter(Nanos::from_secs(at), &caller(who), Some(&gateway)).is_ok();
        assert_eq!([ask(0, "robot"), ask(1, "robot")], [true, false], "its own limit");
        assert_eq!([ask(2, "a"), ask(3, "a"), ask(4, "a"), ask(5, "a")], [true, true, true, false], "the limit of a user");
        assert_eq!([ask(6, "b"), ask(7, "b")], [true, false], "the limit of the endpoint: refused calls do not count");
        assert_eq!([ask(60, "robot"), ask(61, "a")], [true, true]);
    }

    #[test]
    fn limits_without_a_number_or_of_another_period_are_refused() {
        for limit in [json!({ "renewal_period": "hour", "calls": 1 }), json!({ "calls": 1 }), json!({ "renewal_period": "minute" })] {
            assert_eq!(judge(&json!({ "rate_limits": [limit] })).unwrap_err().status, 400, "{limit}");
        }
    }
}
