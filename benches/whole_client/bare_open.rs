//! The bare loop, open: an absolute schedule, Poisson or constant, that nothing the server does can move.

use super::alarm::{Alarms, now_ns};
use super::bare::{Claim, Order, Samples, number};
use super::link::{Link, Seen};
use rand::{RngExt, SeedableRng};
use std::sync::{Arc, Mutex, PoisonError};

/// `LAW RATE SECONDS SEED`: sends the schedule and waits for the answers.
pub async fn open(order: Order) -> Result<Claim, String> {
    let law = order.rest.first().cloned().unwrap_or_default();
    let (rate, seconds, seed) = (number(&order.rest, 1)?, number(&order.rest, 2)?, number(&order.rest, 3)?);
    let schedule = schedule(&law, rate, seconds, seed)?;
    let alarms = Alarms::start()?;
    let order = Arc::new(order);
    let idle: Arc<Mutex<Vec<Link>>> = Arc::default();
    let mut open = Vec::with_capacity(schedule.len());
    let mut late = Vec::with_capacity(schedule.len());
    let start = now_ns() + 5_000_000;
    for offset in schedule {
        let due = start + offset;
        alarms.until(due).await;
        let sent = now_ns();
        late.push((sent - due) as f64 / 1e6);
        open.push(tokio::spawn(one(Arc::clone(&order), Arc::clone(&idle), sent, due)));
    }
    let mut all = Samples { late, ..Samples::default() };
    for request in open {
        all = all.join(request.await.map_err(|e| e.to_string())?);
    }
    Ok(all.claim())
}

/// Offsets from the start, ns.
fn schedule(law: &str, rate: f64, seconds: f64, seed: f64) -> Result<Vec<u64>, String> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small seed")]
    let mut rng = rand_pcg::Pcg64::seed_from_u64(seed as u64);
    let mut gap = || match law {
        "poisson" => Ok(-(1.0 - rng.random::<f64>()).ln() / rate),
        "constant" => Ok(1.0 / rate),
        _ => Err(format!("`{law}` is neither poisson nor constant")),
    };
    let mut at = 0.0;
    let mut all = Vec::new();
    while at < seconds {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a benchmark, in ns, are far below 2^63")]
        all.push((at * 1e9) as u64);
        at += gap()?;
    }
    Ok(all)
}

async fn one(order: Arc<Order>, idle: Arc<Mutex<Vec<Link>>>, sent: u64, due: u64) -> Samples {
    let mut samples = Samples::default();
    let mut seen = Seen::default();
    let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let link = match free {
        Some(link) => Ok(link),
        None => Link::open(order.ask.port).await,
    };
    match link {
        Ok(mut link) => match link.ask(&order.ask, &mut seen).await {
            Ok(()) => {
                samples.add(order.answer, sent, due, &seen);
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(link);
            }
            Err(why) => samples.fail(why),
        },
        Err(why) => samples.fail(why),
    }
    samples
}
