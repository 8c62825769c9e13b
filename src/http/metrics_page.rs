//! `GET /metrics`.

use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};

use super::access_log::{RequestFacts, observe};
use super::error_response::{ErrorResponse, method_not_allowed};
use super::{App, auth, ping};
use crate::metrics::{self, FamilyKind, GaugeReading, ProcessMemory, Resident};
use crate::model::{Code, Error};

/// The page that Prometheus reads, to an administrator: it names tenants, users and databases.
///
/// # Errors
/// 401, 403; none where the page is open.
pub async fn scrape(
    State(app): State<App>,
    Extension(facts): Extension<RequestFacts>,
    request: Request,
) -> Result<Response, ErrorResponse> {
    if !app.inner.options.open_metrics {
        let (parts, _) = request.into_parts();
        let user = auth::authenticate(&app, auth::claim(&parts)?, &facts).await?;
        if !user.admin {
            return Err(Error::new(Code::Forbidden, "only administrators may read /metrics").into());
        }
    }
    Ok(page(State(app)).await)
}

async fn page(State(app): State<App>) -> Response {
    let page = app.inner.metrics.render(&readings(&app));
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response()
}

/// The service of a listener that is for metrics alone: whoever reaches it may read them.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .route("/api/v1/ping", get(ping::ping))
        .fallback(|| async {
            ErrorResponse::from(Error::new(Code::NotFound, "here are only /metrics and /api/v1/ping"))
        })
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// What the process has in memory, and what was done about it.
fn memory(app: &App, family: &mut impl FnMut(&'static str, &'static str, FamilyKind, &[(&[Label], u64)])) {
    let resident = ProcessMemory::open().and_then(|memory| memory.read());
    if let Some(Resident { all, own }) = resident {
        let samples: [(&[Label], u64); 2] = [(&[("of", "all")], all), (&[("of", "own")], own)];
        family(
            "siltdb_memory_resident_bytes",
            "Memory of the process: all, and its own without files",
            FamilyKind::Gauge,
            &samples,
        );
    }
    let limits = app.engine().limits();
    if limits.memory_bytes != usize::MAX {
        let most = limits.memory_bytes as u64;
        family("siltdb_memory_limit_bytes", "Memory that the process may have", FamilyKind::Gauge, &[(&[], most)]);
    }
    let queries = &app.inner.queries;
    let reserved = queries.reserved_bytes() as u64;
    family("siltdb_query_memory_bytes", "Bytes that queries have reserved", FamilyKind::Gauge, &[(&[], reserved)]);
    let shortages = queries.shortages();
    let samples: [(&[Label], u64); 2] = [
        (&[("outcome", "refused")], shortages.refused.load(Ordering::Relaxed)),
        (&[("outcome", "ended")], shortages.ended.load(Ordering::Relaxed)),
    ];
    let help = "Queries that were refused or ended because the process was short of memory";
    family("siltdb_queries_short_of_memory_total", help, FamilyKind::Counter, &samples);
}

type Label = (&'static str, &'static str);

fn readings(app: &App) -> Vec<GaugeReading> {
    let mut readings = Vec::new();
    let mut family = |name, help, kind, samples: &[(&[Label], u64)]| {
        for (labels, value) in samples {
            readings.push(GaugeReading { name, help, kind, labels: labels.to_vec(), value: *value });
        }
    };
    let engine = app.engine();
    let cost = engine.store().totals().snapshot();
    family(
        "siltdb_store_requests_total",
        "Requests to the object store, repeated ones included",
        FamilyKind::Counter,
        &[
            (&[("operation", "put")], cost.puts),
            (&[("operation", "get")], cost.gets),
            (&[("operation", "list")], cost.lists),
            (&[("operation", "delete")], cost.deletes),
        ],
    );
    family(
        "siltdb_store_bytes_total",
        "Bytes moved from and to the object store",
        FamilyKind::Counter,
        &[(&[("direction", "read")], cost.bytes_read), (&[("direction", "written")], cost.bytes_written)],
    );
    let footers = engine.footers().statistics();
    let (tail_hits, tail_misses, tail_bytes) = engine.tail_cache_statistics();
    let caches = |footers, tail| [(&[("cache", "footers")] as &[Label], footers), (&[("cache", "tail")], tail)];
    family("siltdb_cache_hits_total", "Cache hits", FamilyKind::Counter, &caches(footers.hits, tail_hits));
    family("siltdb_cache_misses_total", "Cache misses", FamilyKind::Counter, &caches(footers.misses, tail_misses));
    family("siltdb_cache_bytes", "Bytes held in caches", FamilyKind::Gauge, &caches(footers.bytes, tail_bytes));
    let totals = engine.totals();
    for (name, help, total) in [
        ("siltdb_points_written_total", "Points acknowledged", &totals.points_written),
        ("siltdb_segments_written_total", "Segments written", &totals.segments_written),
        ("siltdb_flushes_total", "Flushes done", &totals.flushes),
        ("siltdb_merges_total", "Merges done", &totals.merges),
        ("siltdb_snapshot_restarts_total", "Snapshots begun again", &totals.snapshot_restarts),
        ("siltdb_housekeeping_failures_total", "Rounds of housekeeping that failed", &totals.housekeeping_failures),
    ] {
        family(name, help, FamilyKind::Counter, &[(&[], total.load(Ordering::Relaxed))]);
    }
    let takes_writes = u64::from(engine.store().refusal().is_none());
    family(
        "siltdb_store_takes_writes",
        "Whether the last write was not refused",
        FamilyKind::Gauge,
        &[(&[], takes_writes)],
    );
    memory(app, &mut family);
    let limits = engine.limits();
    let queries = limits.concurrent_queries.saturating_sub(app.inner.running_queries.available_permits());
    let writes = limits.concurrent_writes.saturating_sub(app.inner.writes.available_permits());
    family("siltdb_queries_running", "Queries under way", FamilyKind::Gauge, &[(&[], queries as u64)]);
    family("siltdb_writes_running", "Writes under way", FamilyKind::Gauge, &[(&[], writes as u64)]);
    clients(app, &mut family);
    readings
}

/// Those who are there, and those who were not let in.
fn clients(app: &App, family: &mut impl FnMut(&'static str, &'static str, FamilyKind, &[(&[Label], u64)])) {
    let (connections, gave_way, turned_away) = app.inner.connections.counts();
    family("siltdb_connections", "Connections of clients", FamilyKind::Gauge, &[(&[], connections as u64)]);
    family(
        "siltdb_connections_ended_total",
        "Connections that had to give way to others, or found no place",
        FamilyKind::Counter,
        &[(&[("reason", "gave way")], gave_way), (&[("reason", "turned away")], turned_away)],
    );
    let (wrong, busy) = app.inner.logins.counts();
    family(
        "siltdb_logins_refused_total",
        "Logins that were refused",
        FamilyKind::Counter,
        &[(&[("reason", "denied")], wrong), (&[("reason", "busy")], busy)],
    );
    let held = app.inner.body_memory.held_bytes() as u64;
    family("siltdb_body_memory_bytes", "Bytes of request bodies held", FamilyKind::Gauge, &[(&[], held)]);
}
