//! Sends bodies over kept connections and takes the time of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::task::JoinSet;

use crate::client::{CSV, Connection, WRITE};
use crate::report::{Result, Sorted, since};

/// How long a client waits that was told to try again.
const PAUSE: Duration = Duration::from_millis(50);

/// How it went.
pub struct Load {
    /// From the first request to the last acknowledgement, seconds.
    pub wall: f64,
    /// Seconds that each request took, those it was refused before included.
    pub latencies: Sorted,
    /// Requests that were told to try again later, and did.
    pub refused: u64,
}

/// Sends each body once, all connections at the same time, each with one request under way.
///
/// # Errors
/// Any answer but 200, and 429, which is tried again.
pub async fn load(address: &str, bodies: &[Bytes], connections: usize) -> Result<Load> {
    let bodies: Arc<[Bytes]> = bodies.into();
    let (next, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for connection in opened {
        senders.spawn(send_next(connection, bodies.clone(), next.clone(), refused.clone()));
    }
    let mut latencies = Vec::with_capacity(bodies.len());
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    Ok(Load { wall: since(begun), latencies: Sorted::new(latencies), refused: refused.load(Ordering::Relaxed) })
}

/// One connection's part: the next body that nobody has taken, until none is left.
async fn send_next(
    mut connection: Connection,
    bodies: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
    refused: Arc<AtomicU64>,
) -> Result<Vec<f64>> {
    let mut latencies = Vec::new();
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let begun = Instant::now();
        loop {
            let answer = connection.send("POST", WRITE, CSV, body.clone()).await?;
            if answer.status != 429 {
                answer.good("a write")?;
                break;
            }
            refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
        latencies.push(since(begun));
    }
    Ok(latencies)
}
