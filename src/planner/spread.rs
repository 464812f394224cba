//! Work spread over threads; what comes out does not depend on how many.

use std::sync::atomic::{AtomicUsize, Ordering};

/// `one` of each item, each by the thread that is free; results in order of the items, whatever the number of threads.
pub fn spread<T: Sync, R: Send>(threads: usize, items: &[T], one: &(impl Fn(&T) -> R + Sync)) -> Vec<R> {
    if threads <= 1 || items.len() < 2 {
        return items.iter().map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((i, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| items.get(i).map(|item| (i, item))) {
            done.push((i, one(item)));
        }
        done
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..threads.min(items.len())).map(|_| scope.spawn(work)).collect();
        let mut results = work();
        for thread in threads {
            results.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}
