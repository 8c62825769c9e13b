//! Housekeeping within the time of one invocation.
//!
//! What settles comes first, for it is what writers and queries wait for; merges come after, as far as
//! the time goes. What is left is done at the next event or schedule. The process may be stopped at
//! any instant: the protocol keeps the store consistent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use siltdb::engine::{Budget, Engine, Report, Tasks};
use siltdb::model::paths::database_of_segment;
use siltdb::model::{Code, DatabaseId, Error, Result, TenantId};
use tokio::time::timeout_at;

use crate::deadline::Deadline;
use crate::event::{CreatedObject, MaintenanceJob, ReplyMode};
use crate::runtime::Reply;

const SETTLING: Tasks = Tasks { flush: true, retain: true, ..Tasks::NONE };
const MERGING: Tasks = Tasks { merge: true, ..Tasks::NONE };

type Place = (TenantId, DatabaseId);

/// Does it, and says what came of it.
pub async fn run(engine: &Engine, job: MaintenanceJob, deadline: Deadline) -> Reply {
    let effort = Budget { until: Some(deadline.soft().into()), ..Budget::default() };
    match job {
        MaintenanceJob::Scheduled => sweep(engine, effort, deadline).await,
        MaintenanceJob::ObjectsCreated { objects, answer_by } => {
            let places = affected_databases(engine.store().url(), objects);
            let unsettled = settle(engine, places.keys().copied().collect(), effort, deadline).await;
            answer(&places, unsettled, answer_by)
        }
    }
}

async fn sweep(engine: &Engine, effort: Budget, deadline: Deadline) -> Reply {
    match timeout_at(deadline.hard(), engine.maintain_due(effort)).await {
        Ok(Ok(report)) => {
            tracing::info!(%report, "housekeeping");
            Reply::Value(to_json(&report))
        }
        Ok(Err(error)) => Reply::Failed(error),
        Err(_) => {
            tracing::info!("housekeeping was broken off for lack of time");
            Reply::Value(json!({"unfinished": true}))
        }
    }
}

fn to_json(report: &Report) -> Value {
    json!({
        "databases": report.databases, "segments": report.segments, "rows": report.rows, "files": report.files,
        "merges": report.merges, "expired": report.expired, "collected": report.collected,
        "unfinished": report.left > 0,
    })
}

/// The databases that new segments are of, each with the messages that told of it. Everything else
/// that came is what housekeeping itself has put there, or not SiltDB's: nothing to do.
fn affected_databases(url: &str, objects: Vec<CreatedObject>) -> BTreeMap<Place, BTreeSet<String>> {
    let bucket = url.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
    let mut places: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        let path = match bucket {
            Some((name, _)) if name != object.bucket => {
                tracing::warn!(bucket = object.bucket, "an event is of another bucket than the store's");
                continue;
            }
            Some((_, prefix)) if !prefix.is_empty() => {
                object.key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'))
            }
            _ => Some(object.key.as_str()),
        };
        if let Some(place) = path.and_then(database_of_segment) {
            places.entry(place).or_default().insert(object.message);
        }
    }
    places
}

/// The databases whose logs could not be settled, and why.
async fn settle(engine: &Engine, places: Vec<Place>, effort: Budget, deadline: Deadline) -> BTreeMap<Place, Error> {
    let mut unsettled = BTreeMap::new();
    let mut settled = Vec::new();
    for place in places {
        match maintain(engine, place, SETTLING, effort, deadline).await {
            Ok(report) if report.left == 0 => settled.push(place),
            Ok(_) => drop(unsettled.insert(place, out_of_time())),
            Err(error) => drop(unsettled.insert(place, error)),
        }
    }
    for place in settled {
        // Nobody waits for it, and the next event or schedule tries again.
        if let Err(error) = maintain(engine, place, MERGING, effort, deadline).await {
            tracing::info!(tenant = %place.0, database = %place.1, %error, "merges are left for the next time");
        }
    }
    unsettled
}

async fn maintain(engine: &Engine, place: Place, duties: Tasks, effort: Budget, deadline: Deadline) -> Result<Report> {
    let (tenant, database) = place;
    let tended = timeout_at(deadline.hard(), engine.maintain_database(tenant, database, duties, effort)).await;
    let report = tended.unwrap_or_else(|_| Err(out_of_time()))?;
    tracing::info!(%tenant, %database, %report, "housekeeping");
    Ok(report)
}

fn out_of_time() -> Error {
    Error::new(Code::Unavailable, "the function's time was over")
}

/// Messages of what could not be settled come again; other callers are told of the first failure.
fn answer(
    places: &BTreeMap<Place, BTreeSet<String>>,
    mut unsettled: BTreeMap<Place, Error>,
    answer_by: ReplyMode,
) -> Reply {
    for ((tenant, database), error) in &unsettled {
        tracing::warn!(%tenant, %database, %error, "a log could not be settled");
    }
    match answer_by {
        ReplyMode::Message => {
            let failed: BTreeSet<&String> = unsettled.keys().filter_map(|place| places.get(place)).flatten().collect();
            let failed: Vec<Value> = failed.into_iter().map(|message| json!({"itemIdentifier": message})).collect();
            Reply::Value(json!({"batchItemFailures": failed}))
        }
        ReplyMode::Event => match unsettled.pop_first() {
            Some((_, error)) => Reply::Failed(error),
            None => Reply::Value(json!({"databases": places.len()})),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(message: &str, bucket: &str, key: &str) -> CreatedObject {
        CreatedObject { message: message.to_owned(), bucket: bucket.to_owned(), key: key.to_owned() }
    }

    const SEGMENT: &str = "t/1/d/2/log/00000000000000000007.w.0000000000001234-00000000000000aa-00000001.wal";

    #[test]
    fn only_segments_of_the_store_are_work() {
        let own = format!("p/q/{SEGMENT}");
        let objects = vec![
            object("a", "b", &own),
            object("b", "b", &own),
            object("c", "other", &own),
            object("d", "b", SEGMENT),
            object("e", "b", "p/q/t/1/d/2/log/00000000000000000007.m"),
            object("f", "b", "p/q/t/1/d/2/data/x~1/day=2026-11-24/00000000000000000007-A.parquet"),
            object("g", "b", "p/q/t/1/d/2/HINT"),
        ];
        let found = affected_databases("s3://b/p/q", objects);
        let messages = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(found, BTreeMap::from([((TenantId(1), DatabaseId(2)), messages)]));
        assert_eq!(affected_databases("s3://b", vec![object("", "b", SEGMENT)]).len(), 1);
        assert_eq!(affected_databases("file:///x", vec![object("", "any", SEGMENT)]).len(), 1);
    }

    #[test]
    fn messages_of_what_failed_come_again_and_no_others() {
        let (good, bad) = ((TenantId(1), DatabaseId(1)), (TenantId(1), DatabaseId(2)));
        let both = BTreeSet::from(["m1".to_owned(), "m2".to_owned()]);
        let places = BTreeMap::from([(good, BTreeSet::from(["m1".to_owned(), "m3".to_owned()])), (bad, both)]);
        let unsettled = || BTreeMap::from([(bad, out_of_time())]);
        let Reply::Value(value) = answer(&places, unsettled(), ReplyMode::Message) else { panic!("no value") };
        assert_eq!(value, json!({"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]}));
        assert!(matches!(answer(&places, unsettled(), ReplyMode::Event), Reply::Failed(_)));
        let Reply::Value(value) = answer(&places, BTreeMap::new(), ReplyMode::Message) else { panic!("no value") };
        assert_eq!(value, json!({"batchItemFailures": []}));
    }
}
