//! Processes that stop for days in the middle of their lives: a laptop that was closed, a function
//! that was frozen. Time passes for the others; what they know is old.

use std::sync::Arc;
use std::time::Duration;

use super::super::oracle::{TENANT, good, points, public};
use super::model::rows_in;
use super::world::{DAY, HOUR, NEW_YEAR, Time, open};
use crate::engine::Tasks;
use crate::store::{Meter, Store};

/// More than the manifests that are always kept.
const COMMITS: usize = 120;

/// The one that slept still holds a proof, seconds old by its own count, that its manifest is the
/// newest. Those that followed have all been collected since, so that the absence of the next one
/// proves nothing.
#[tokio::test(start_paused = true)]
async fn a_process_that_slept_for_days_does_not_lose_a_write() {
    let time = Time::new(NEW_YEAR);
    let store = good(Store::memory_with_clock(time.process_clock(1))).await;
    let meter = Arc::new(Meter::default());
    let (sleeper, other) = (open(&store, &meter, &time, 2).await, open(&store, &meter, &time, 3).await);
    let (here, there) = (public(&sleeper).await, public(&other).await);
    sleeper.write(&here, points("t v=1 1"), &meter).await.unwrap();
    for number in 0..COMMITS {
        time.pass(HOUR);
        other.write(&there, points(&format!("t v=2 {}", 100 + number)), &meter).await.unwrap();
        other.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
    }
    time.pass(2 * DAY);
    other.maintain(Tasks::ALL).await.unwrap();
    sleeper.write(&here, points("t v=3 2"), &meter).await.unwrap();
    let database = other.database(TENANT, "public").await.unwrap();
    let rows = rows_in(&other, &store, &database, "t").await.unwrap();
    assert_eq!(rows.len(), COMMITS + 2, "an acknowledged point is not read");
}

/// Housekeeping that is stopped anywhere, while another process does the same work, collects what is
/// left of both and goes on for days, has nothing to complain of: its work is void, nothing is damaged.
#[tokio::test(start_paused = true)]
async fn housekeeping_that_was_frozen_for_days_ends_without_an_error() {
    let mut complaints = Vec::new();
    for milliseconds in 1.. {
        let time = Time::new(NEW_YEAR);
        let store = good(Store::memory_with_clock(time.process_clock(1))).await;
        let meter = Arc::new(Meter::default());
        let (sleeper, other) = (open(&store, &meter, &time, 2).await, open(&store, &meter, &time, 3).await);
        let database = public(&other).await;
        for number in 0..4 {
            other.write(&database, points(&format!("t v=2 {number}")), &meter).await.unwrap();
            if number < 3 {
                other.maintain(Tasks { flush: true, ..Tasks::NONE }).await.unwrap();
            }
        }
        let mut work = Box::pin(sleeper.maintain(Tasks::ALL));
        let Err(_) = tokio::time::timeout(Duration::from_millis(milliseconds), &mut work).await else { break };
        for _ in 0..3 {
            other.maintain(Tasks::ALL).await.unwrap();
            time.pass(3 * DAY);
        }
        complaints.extend(work.await.err().map(|error| format!("stopped after {milliseconds} ms: {error}")));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
