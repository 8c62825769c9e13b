//! What one query sees: the newest manifest and the tail, taken once.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{FieldRef, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Database, Engine,
    databases::{Committed, DatabaseHandle},
};
use crate::database::{DatabaseState, Edit, FileList};
use crate::ledger::{Listing, Manifest};
use crate::model::paths::{self, SegmentName};
use crate::model::{Code, DataFile, DatabaseOptions, Error, OrderKey, Precision, Result, TableId, TableSchema};
use crate::store::{Meter, Store};
use crate::wal::{self, Segment, SegmentTable};

/// A snapshot starts over this often when commits or deletions get in its way.
const ATTEMPTS: usize = 10;
/// Segments fetched at once.
const FETCHES: usize = 16;

/// Columns up to which one is searched for among them, and not in a map.
const SEARCHED: usize = 64;

/// One moment of a database.
#[derive(Debug, Clone)]
pub struct Snapshot {
    root: String,
    manifest: Arc<Manifest<DatabaseState>>,
    /// In order; only those that may hold a table asked for.
    segments: Vec<(SegmentName, Arc<Segment>)>,
}

/// One moment of a table.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// Root of the database on the store.
    pub root: String,
    pub id: TableId,
    pub name: String,
    pub schema: TableSchema,
    pub precision: Precision,
    pub ttl: Option<Duration>,
    /// Live data files that the manifest describes itself.
    pub files: Vec<Arc<DataFile>>,
    /// Lists of the others.
    pub leaves: Vec<FileList>,
    /// Rows not settled yet, oldest first.
    pub tail: Vec<TailPart>,
}

/// A segment's rows of one table.
#[derive(Debug, Clone)]
pub struct TailPart {
    pub order: OrderKey,
    segment: Arc<Segment>,
    /// Which of the segment's tables.
    position: usize,
}

impl TailPart {
    /// `None` if the segment has no rows of the table.
    pub fn new(order: OrderKey, segment: Arc<Segment>, table: TableId) -> Option<TailPart> {
        let position = segment.tables.iter().position(|part| part.table == table)?;
        Some(TailPart { order, segment, position })
    }

    pub fn rows(&self) -> &SegmentTable {
        &self.segment.tables[self.position]
    }
}

impl Snapshot {
    pub fn options(&self) -> &DatabaseOptions {
        &self.manifest.state.options
    }

    /// Bytes in memory of the segments that are not settled.
    pub fn tail_bytes(&self) -> usize {
        self.segments.iter().map(|(_, segment)| segment.memory_size()).sum()
    }

    /// Sorted.
    pub fn table_names(&self) -> Vec<String> {
        self.manifest.state.tables.keys().cloned().collect()
    }

    /// A table and its tail; the tail is complete only for tables named when it was taken.
    pub fn table(&self, name: &str) -> Option<TableSnapshot> {
        let table = self.manifest.state.tables.get(name)?;
        let options = &self.manifest.state.options;
        let part = |(name, segment): &(SegmentName, Arc<Segment>)| TailPart::new(name.order, segment.clone(), table.id);
        let tail = self.segments.iter().filter_map(part).collect();
        Some(TableSnapshot {
            root: self.root.clone(),
            id: table.id,
            name: name.to_owned(),
            schema: table.schema.clone(),
            precision: options.precision,
            ttl: options.ttl,
            files: table.files.clone(),
            leaves: table.leaves.clone(),
            tail,
        })
    }
}

impl TableSnapshot {
    /// Brings rows of the tail into the columns at these positions of the table.
    pub fn projection(&self, positions: &[usize]) -> Result<SegmentProjection> {
        SegmentProjection::of_columns(&self.schema, self.precision, positions)
    }
}

/// Columns of a table, as they are to be found in segments.
#[derive(Debug, Clone)]
pub struct SegmentProjection {
    /// Names of the columns in segments.
    names: Vec<String>,
    /// As queries have them.
    schema: SchemaRef,
}

impl SegmentProjection {
    /// All columns of a table.
    pub(super) fn new(schema: &TableSchema, precision: Precision) -> Self {
        let names = schema.columns.iter().map(|column| column.id.to_string()).collect();
        SegmentProjection { names, schema: schema.query_schema(precision) }
    }

    fn of_columns(schema: &TableSchema, precision: Precision, positions: &[usize]) -> Result<Self> {
        let names = positions.iter().map(|position| schema.columns[*position].id.to_string()).collect();
        Ok(SegmentProjection { names, schema: Arc::new(schema.query_schema(precision).project(positions)?) })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What each column is called in segments, and what it is to be.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &FieldRef)> {
        self.names.iter().map(String::as_str).zip(self.schema.fields())
    }

    /// A segment's rows in these columns and in the types of queries; what the rows lack is null.
    pub fn project(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        self.project_with(rows, rows.num_rows(), |column| Ok(column.clone()))
    }

    /// The same of `count` rows, which `choose` takes out of each column.
    pub fn project_with(
        &self,
        rows: &RecordBatch,
        count: usize,
        choose: impl Fn(&ArrayRef) -> Result<ArrayRef>,
    ) -> Result<RecordBatch> {
        let fields = rows.schema_ref().fields();
        // Asked for each of thousands of columns, a search through thousands would take seconds.
        let places: LazyCell<HashMap<&str, usize>, _> =
            LazyCell::new(|| fields.iter().enumerate().map(|(place, field)| (field.name().as_str(), place)).collect());
        let columns = self.columns().enumerate().map(|(position, (name, field))| {
            // Mostly a segment has all columns, in the order of the table.
            let here = fields.get(position).is_some_and(|field| field.name() == name).then_some(position);
            let here = here.or_else(|| match fields.len() {
                ..SEARCHED => fields.iter().position(|field| field.name() == name),
                _ => places.get(name).copied(),
            });
            match here.map(|position| choose(rows.column(position))).transpose()? {
                Some(values) if values.data_type() == field.data_type() => Ok(values),
                Some(values) => Ok(cast(&values, field.data_type())?),
                None => Ok(new_null_array(field.data_type(), count)),
            }
        });
        self.batch(columns.collect::<Result<_>>()?, count)
    }

    /// A batch of these columns.
    pub fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// The segments that a query of this listing sees. `None`: the sealed range has to be frozen first.
fn visible(listing: &Listing<DatabaseState>) -> Option<Vec<SegmentName>> {
    let state = &listing.manifest.state;
    let mut segments = match (&state.frozen, state.is_sealed()) {
        (Some(frozen), _) => frozen.clone(),
        (None, true) => return None,
        (None, false) => Vec::new(),
    };
    segments.extend(listing.segments.iter().map(|(name, _)| *name).filter(|name| state.sees(name.order)));
    Some(segments)
}

/// What becomes of a tail that lacks acknowledged segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Losses {
    /// An error, and nothing is changed: the segments may be restored.
    #[default]
    Refused,
    /// The tail is settled without them: the operator has given them up.
    Accepted,
}

/// A segment that a listing has to show and does not, as the name or the pattern of the name that it has in the
/// log.
pub(super) fn missing(handle: &DatabaseHandle, listing: &Listing<DatabaseState>) -> Option<String> {
    let state = &listing.manifest.state;
    let is_listed =
        |name: &&SegmentName| listing.segments.binary_search_by_key(&name.order, |(name, _)| name.order).is_ok();
    if let Some(name) = state.frozen.iter().flatten().find(|name| !is_listed(name)) {
        return Some(name.file_name());
    }
    // Of a frozen range the list says what belongs to it: some of it may have been given up.
    let from = if state.frozen.is_some() { state.epoch } else { state.floor };
    let names = listing.segments.iter().map(|(name, _)| name).filter(|name| name.order.epoch >= from);
    let gap = wal::first_gap(names).map(|gap| gap.to_string());
    gap.or_else(|| handle.lost_in(listing).map(paths::segment_pattern))
}

/// The error for a segment that was acknowledged and is gone.
pub(super) fn lost(handle: &DatabaseHandle, missing: &str) -> Error {
    let log = paths::log_prefix(handle.root());
    Error::new(
        Code::Corrupt,
        format!(
            "{log}{missing} is missing: points that were acknowledged are lost unless it is restored, from a backup or \
             an older version of the bucket; to go on without them, give them up by `siltdb maintain flush \
             --accept-loss`"
        ),
    )
}

impl Engine {
    /// Takes a snapshot of a database, with the tails of the named tables. Whatever was
    /// acknowledged before the call, by any process, is in it.
    pub async fn snapshot(&self, database: &Database, tables: &[String], meter: &Arc<Meter>) -> Result<Snapshot> {
        let store = self.inner.store.metered(meter);
        let mut database = Cow::Borrowed(database);
        let mut suspected = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.inner.totals.snapshot_restarts.fetch_add(1, Ordering::Relaxed);
            }
            let handle = &database.handle;
            let listing = self.look(handle, &store).await?;
            if listing.manifest.state.dropped {
                // Another process dropped it; perhaps the name means another database by now.
                database = Cow::Owned(self.database(database.tenant, &database.name).await?);
                continue;
            }
            if let Some(missing) = missing(handle, &listing) {
                // One LIST may pass by what lands while it is on its way; a later one shows it.
                if suspected.as_ref() == Some(&missing) {
                    return Err(lost(handle, &missing));
                }
                suspected = Some(missing);
                continue;
            }
            let segments = match visible(&listing) {
                Some(segments) => segments,
                None => match self.freeze_or_see(handle, &store, &listing).await? {
                    Some(segments) => segments,
                    None => continue,
                },
            };
            let wanted = wanted_tables(&listing.manifest.state, tables);
            let fetch = self.fetch(handle, &store, segments, &wanted);
            let (fetched, newest) = futures::try_join!(fetch, handle.ledger.is_newest(&store, &listing.manifest))?;
            if let (Some(segments), true) = (fetched, newest) {
                return Ok(Snapshot { root: handle.root().to_owned(), manifest: listing.manifest, segments });
            }
        }
        Err(Error::new(Code::Unavailable, "the database kept changing while a snapshot of it was taken; try again"))
    }

    /// Agrees on the segments of a sealed range (Q3, F2): whoever meets it helps. Returns what the commit
    /// made; `None` when somebody else's came first.
    pub(super) async fn freeze(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        sealed: &Listing<DatabaseState>,
        losses: Losses,
    ) -> Result<Option<Arc<Manifest<DatabaseState>>>> {
        let listed = self.list_after_seal(handle, store, sealed).await?;
        self.freeze_listed(handle, store, &sealed.manifest, &listed, losses).await
    }

    /// Q3 of a query: freezes, so that there is something to begin anew with (`None`). Where the store takes no
    /// writes, what a query sees without: every segment that was listed after the seal, for whatever was
    /// acknowledged in the sealed range is among them, and belongs to the list that will be frozen. What was
    /// never acknowledged may be among them and not in that list.
    async fn freeze_or_see(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        sealed: &Listing<DatabaseState>,
    ) -> Result<Option<Vec<SegmentName>>> {
        let listed = self.list_after_seal(handle, store, sealed).await?;
        match self.freeze_listed(handle, store, &sealed.manifest, &listed, Losses::Refused).await {
            Err(error) if error.code.is_refusal() => {
                tracing::debug!(database = %handle.id, %error, "a query answers from a sealed log that cannot be frozen");
                let epoch = sealed.manifest.state.epoch;
                Ok(Some(listed.into_iter().filter(|name| name.order.epoch <= epoch).collect()))
            }
            frozen => frozen.map(|_| None),
        }
    }

    /// The segments from the floor on, by a LIST that began when the seal was known: one that showed the seal
    /// itself may have passed by segments before they landed.
    async fn list_after_seal(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        sealed: &Listing<DatabaseState>,
    ) -> Result<Vec<SegmentName>> {
        let floor = sealed.manifest.state.floor;
        let names = |listed: &[(SegmentName, u64)]| -> Vec<SegmentName> {
            listed.iter().map(|(name, _)| *name).filter(|name| name.order.epoch >= floor).collect()
        };
        if sealed.is_later {
            return Ok(names(&sealed.segments));
        }
        Ok(names(&handle.ledger.list_segments(store, floor).await?))
    }

    async fn freeze_listed(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        sealed: &Manifest<DatabaseState>,
        listed: &[SegmentName],
        losses: Losses,
    ) -> Result<Option<Arc<Manifest<DatabaseState>>>> {
        let (floor, epoch) = (sealed.state.floor, sealed.state.epoch);
        let segments: Vec<SegmentName> = listed.iter().copied().filter(|name| name.order.epoch < epoch).collect();
        if losses == Losses::Refused
            && let Some(gap) = wal::first_gap(&segments)
        {
            // Gone, passed by, or settled and collected by others in the meantime.
            let now = self.look(handle, store).await?;
            let is_still_sealed = now.manifest.version == sealed.version;
            return if is_still_sealed && missing(handle, &now) == Some(gap.to_string()) {
                Err(lost(handle, &gap.to_string()))
            } else {
                Ok(None)
            };
        }
        match handle.commit(store, self.limits(), &Edit::Freeze { floor, epoch, segments }).await? {
            Committed::Done(frozen) => Ok(Some(frozen)),
            _ => Ok(None),
        }
    }

    /// The segments that may hold the wanted tables; `None` when one has vanished.
    async fn fetch(
        &self,
        handle: &DatabaseHandle,
        store: &Store,
        mut segments: Vec<SegmentName>,
        wanted: &HashMap<TableId, &String>,
    ) -> Result<Option<Vec<(SegmentName, Arc<Segment>)>>> {
        let holds = |name: &SegmentName| wanted.iter().find(|(table, _)| name.may_hold(**table));
        segments.retain(|name| holds(name).is_some());
        let get = |name: SegmentName| async move {
            let segment = self.inner.segments.get(store, handle.root(), name).await;
            let of_table = |error: Error| holds(&name).map_or(error.clone(), |(_, table)| error.of_table(table));
            Ok::<_, Error>((name, segment.map_err(of_table)?))
        };
        let fetched: Vec<(SegmentName, Option<Arc<Segment>>)> =
            stream::iter(segments).map(get).buffered(FETCHES).try_collect().await?;
        Ok(fetched.into_iter().map(|(name, segment)| segment.map(|segment| (name, segment))).collect())
    }
}

fn wanted_tables<'a>(state: &DatabaseState, names: &'a [String]) -> HashMap<TableId, &'a String> {
    names.iter().filter_map(|name| state.tables.get(name).map(|table| (table.id, name))).collect()
}
