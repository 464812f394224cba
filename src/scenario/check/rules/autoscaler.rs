//! Rules of autoscalers, of an endpoint or of a plan.

use super::Judge;
use crate::base::diag::Fault;
use crate::base::time::Nanos;
use crate::base::units::TimeSpan;
use crate::scenario::autoscaler::{Autoscaler, Hpa, Knative, Lag, Policy, Units};

/// Judges the autoscaler that stands at `key`.
pub(super) fn judge(judge: &mut Judge<'_>, key: &str, scaler: &Autoscaler) {
    judge.expect(scaler.target.0 > 0.0, &format!("{key}.target"), "a target of nothing asks for endless chunks", "a share above 0%, e.g. \"80%\"");
    judge.positive_span(&format!("{key}.window"), scaler.window);
    judge.positive_span(&format!("{key}.poll"), scaler.poll);
    lag(judge, &format!("{key}.lag"), &scaler.lag);
    match &scaler.policy {
        Policy::TargetTracking | Policy::Units(Units { burst: None }) => {}
        Policy::Knative(rule) => knative(judge, &format!("{key}.policy.knative"), rule),
        Policy::Hpa(rule) => hpa(judge, &format!("{key}.policy.hpa"), rule),
        Policy::Keda(rule) => {
            let key = format!("{key}.policy.keda");
            hpa(judge, &format!("{key}.hpa"), &rule.hpa);
            judge.positive_span(&format!("{key}.polling"), rule.polling);
            judge.within(&format!("{key}.activation"), rule.activation, 0.0, 1000.0);
        }
        Policy::Units(Units { burst: Some(burst) }) => judge.positive_span(&format!("{key}.policy.units.burst.longest"), burst.longest),
    }
    time_of_day(judge, &format!("{key}.begins_at"), scaler.begins_at);
    for (i, block) in scaler.schedule.iter().enumerate() {
        let key = format!("{key}.schedule.{i}");
        time_of_day(judge, &format!("{key}.from"), block.from);
        time_of_day(judge, &format!("{key}.to"), block.to);
        judge.at_least(&format!("{key}.min_chunks"), block.min_chunks.into(), 1);
    }
}

/// The bounds that Knative itself puts on them.
fn knative(judge: &mut Judge<'_>, key: &str, rule: &Knative) {
    judge.within(&format!("{key}.panic_window"), rule.panic_window.0, 0.01, 1.0);
    judge.within(&format!("{key}.panic_threshold"), rule.panic_threshold, 1.1, 10.0);
    judge.within(&format!("{key}.max_scale_up_rate"), rule.max_scale_up_rate, 1.01, 1e6);
    judge.within(&format!("{key}.max_scale_down_rate"), rule.max_scale_down_rate, 1.01, 1e6);
}

fn hpa(judge: &mut Judge<'_>, key: &str, rule: &Hpa) {
    judge.expect(rule.tolerance.0 < 1.0, &format!("{key}.tolerance"), "no load is ever too low", "a share below 100%, e.g. \"10%\"");
    judge.positive_span(&format!("{key}.scale_up_period"), rule.scale_up_period);
    let holds = rule.scale_up_chunks > 0 || rule.scale_up_share.0 > 0.0;
    let message = "nothing may ever be added";
    judge.expect_with(&[&format!("{key}.scale_up_share")], holds, &format!("{key}.scale_up_chunks"), message, "1 or more");
}

fn time_of_day(judge: &mut Judge<'_>, key: &str, time: TimeSpan) {
    let holds = time.nanos() <= TimeSpan::secs(86_400).nanos();
    judge.expect(holds, key, format!("{time} is beyond the day"), "a time of day, e.g. \"8h\"");
}

fn lag(judge: &mut Judge<'_>, key: &str, lag: &Lag) {
    match lag {
        Lag::Fixed(_) => {}
        Lag::Lognormal { median, p95 } => {
            judge.positive_span(&format!("{key}.lognormal.median"), *median);
            let message = format!("p95 = {p95} is below the median {median}");
            judge.expect(p95 >= median, &format!("{key}.lognormal.p95"), message, "the median or more");
        }
        Lag::Empirical(delays) => {
            let key = format!("{key}.empirical");
            judge.at_least(&key, delays.len() as u64, 1);
            if !delays.is_empty() && delays.iter().all(|d| d.nanos() == Nanos::ZERO) {
                let fault = Fault::new("", "every delay is zero").with_expected("measured delays");
                judge.refuse(&key, fault.with_hint("no delay at all is { fixed = \"0s\" }"));
            }
        }
    }
}
