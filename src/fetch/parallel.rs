//! The same work on many things at once.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does `work` on each of `items`, on at most `workers` of them at a time. The results come in the
/// order of the items.
///
/// # Panics
/// Where `work` does.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], workers: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(item)));
        }
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..workers.clamp(1, items.len().max(1))).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.flat_map(|done| done.unwrap_or_else(|cause| panic::resume_unwind(cause))).collect()
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::in_parallel;

    #[test]
    fn results_come_in_order_and_work_at_once() {
        let meeting = Barrier::new(4);
        let squares = in_parallel(&[1, 2, 3, 4, 5, 6, 7, 8], 4, |number| {
            // Blocks until the others arrive.
            meeting.wait();
            number * number
        });
        assert_eq!(squares, [1, 4, 9, 16, 25, 36, 49, 64]);
        assert_eq!(in_parallel(&[] as &[u8], 0, |_| ()), []);
    }

    #[test]
    #[should_panic(expected = "item 3")]
    fn a_panic_is_passed_on() {
        in_parallel(&[1, 2, 3], 2, |number| assert!(*number < 3, "item {number}"));
    }
}
