//! Queries: resolve the tables, take the snapshots, plan with a deadline, run, stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
        SchemaProvider,
    },
    common::{DataFusionError, Result as DataFusionResult, TableReference, tree_node::TreeNodeRecursion},
    execution::{SessionState, TaskContext},
    logical_expr::{ExplainFormat, ExplainOption, LogicalPlan, LogicalPlanBuilder},
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::SQLOptions,
    sql::{parser::Statement as DataFusionStatement, resolve::resolve_table_references, sqlparser::ast},
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    model::{Code, Error, Result},
    store::Meter,
    table,
};

use super::{
    allowance::{AbandonOnDrop, Allowance},
    casts,
    errors::{external, from_datafusion, from_join, from_planning, is_of_memory, is_of_row_filter, timed_out},
    lanes,
    output::Output,
    pieces,
    provider::SnapshotTable,
    request::StatementRequest,
    shares::{HeldMemory, QueryShare},
    star,
    statement::Explain,
    understood,
};

/// Pieces of batches that wait between a query and its reader.
const PIECES_IN_FLIGHT: usize = 2;

/// Snapshots that are tried when files are gone before they are read.
const ATTEMPTS: usize = 3;

/// How to show a plan instead of running it.
#[derive(Clone)]
struct ExplainMode {
    analyze: bool,
    verbose: bool,
    format: ExplainFormat,
}

pub(super) async fn query(request: &StatementRequest, query: Box<ast::Query>) -> Result<Output> {
    run(request, query, None).await
}

pub(super) async fn explain(request: &StatementRequest, explain: Explain) -> Result<Output> {
    let format = match explain.format.as_deref() {
        None => ExplainFormat::Indent,
        Some(name) => name.parse().map_err(|error| from_datafusion(&error))?,
    };
    let showing = ExplainMode { analyze: explain.analyze, verbose: explain.verbose, format };
    match run(request, explain.query, Some(showing)).await? {
        Output::Rows { schema, batches, share } if explain.analyze => {
            let (meter, shape) = (request.meter.clone(), schema.clone());
            // Made only when the rows before it have been, which is when the query has run.
            let costs = stream::once(async move { costs(&meter, shape) });
            Ok(Output::Rows { schema, batches: batches.chain(costs).boxed(), share })
        }
        output => Ok(output),
    }
}

/// What the query asked of the object store, as a line of its plan.
fn costs(meter: &Meter, schema: SchemaRef) -> Result<RecordBatch> {
    let text = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let columns = vec![text("Requests to the store".to_owned()), text(meter.snapshot().to_string())];
    Ok(RecordBatch::try_new(schema, columns)?)
}

async fn run(request: &StatementRequest, query: Box<ast::Query>, showing: Option<ExplainMode>) -> Result<Output> {
    understood::check(&query, &request.queries.context)?;
    // Shared and not copied: only the planning threads have the stack to copy what is deep.
    let statement = Arc::new(DataFusionStatement::Statement(Box::new(ast::Statement::Query(query))));
    let mut attempt = 1;
    let mut filter_in_scans = true;
    loop {
        let started = tokio::select! {
            biased;
            error = request.part.ended() => Err(error),
            started = start(request, statement.clone(), showing.clone(), filter_in_scans) => started,
        };
        match started {
            // The snapshot was older than what the collector keeps. A new one names other files.
            Err(error) if table::is_missing(&error) && attempt < ATTEMPTS => attempt += 1,
            // Above the scans, where the tail is filtered: the same error, or none if another condition is first.
            Err(error) if is_of_row_filter(&error) && filter_in_scans => filter_in_scans = false,
            other => return other,
        }
    }
}

/// Runs a query up to its first batch: until then a failure leaves nothing half said.
async fn start(
    request: &StatementRequest,
    statement: Arc<DataFusionStatement>,
    showing: Option<ExplainMode>,
    filter_in_scans: bool,
) -> Result<Output> {
    let prepared = prepare(request, statement, showing, filter_in_scans).await?;
    let schema = prepared.plan.schema();
    let mut batches = stream_results(request, prepared);
    let first = batches.try_next().await?;
    let share = HeldMemory::new(&request.part, "answer");
    Ok(Output::Rows { schema, batches: stream::iter(first.map(Ok)).chain(batches).boxed(), share })
}

/// A query that can be run.
struct Prepared {
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// Of the tails that no cache has room for.
    tails: HeldMemory,
    /// Work that does not give way looks whether anybody waits.
    waiting: AbandonOnDrop,
}

async fn prepare(
    request: &StatementRequest,
    statement: Arc<DataFusionStatement>,
    showing: Option<ExplainMode>,
    filter_in_scans: bool,
) -> Result<Prepared> {
    let (catalogs, widest, tails) = match timeout_at(request.deadline, snapshots(request, &statement)).await {
        Ok(found) => found?,
        Err(_) => return Err(request.timed_out()),
    };
    let now = request.engine().now();
    let mut state = request.queries.context.session(&request.session, catalogs, now);
    state.config_mut().options_mut().execution.parquet.pushdown_filters &= filter_in_scans;
    let limit = request.engine().limits().query_time;
    let allowance = Allowance::new(request.deadline, limit, request.part.clone());
    state.config_mut().options_mut().extensions.insert(allowance.clone());
    let waiting = allowance.abandon_on_drop();
    let (state, plan) = plan(request, state, statement, showing, widest >= star::WIDE).await?;
    allowance.planned().map_err(|error| from_datafusion(&error))?;
    let context = request.queries.context.task(&state, &request.part);
    Ok(Prepared { plan, context, tails, waiting })
}

/// The plan of a query, as it would run.
#[cfg(test)]
pub(super) async fn planned(request: &StatementRequest, query: Box<ast::Query>) -> Arc<dyn ExecutionPlan> {
    let statement = DataFusionStatement::Statement(Box::new(ast::Statement::Query(query)));
    prepare(request, Arc::new(statement), None, true).await.unwrap().plan
}

/// Whether a statement is one SELECT from one table. Walks it, which takes a deep stack.
fn is_plain(statement: &DataFusionStatement) -> bool {
    let DataFusionStatement::Statement(statement) = statement else { return false };
    let ast::Statement::Query(query) = statement.as_ref() else { return false };
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return false };
    let one_table = matches!(select.from.as_slice(), [from] if from.joins.is_empty());
    // The word in a text counts, too: then there is a pass more than needed.
    one_table && query.with.is_none() && query.to_string().matches("SELECT").count() == 1
}

/// The tables that the statement names, each as it is in the one snapshot of its database, and the
/// number of columns of the widest. The share is of the tails that no cache has room for.
async fn snapshots(
    request: &StatementRequest,
    statement: &DataFusionStatement,
) -> Result<(Arc<dyn CatalogProviderList>, usize, HeldMemory)> {
    let (references, _) = resolve_table_references(statement, true).map_err(|error| from_datafusion(&error))?;
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for reference in references {
        let bare = matches!(reference, TableReference::Bare { .. });
        if bare && request.queries.context.is_table_function(reference.table()) {
            continue;
        }
        request.check_tenant(reference.catalog())?;
        let database = reference.schema().unwrap_or(&request.session.database).to_owned();
        wanted.entry(database).or_default().insert(reference.table().to_owned());
    }
    let catalog = MemoryCatalogProvider::new();
    let (mut widest, mut tail_bytes) = (0, 0);
    for (name, tables) in wanted {
        let database = request.database(&name).await?;
        let tables: Vec<String> = tables.into_iter().collect();
        let snapshot = request.engine().snapshot(&database, &tables, &request.meter).await?;
        tail_bytes += snapshot.tail_bytes();
        let schema = MemorySchemaProvider::new();
        for table in tables {
            let Some(found) = snapshot.table(&table) else {
                return Err(request.table_not_found(&name, &table));
            };
            widest = widest.max(found.schema.columns.len());
            let provider = SnapshotTable::new(request.engine(), &request.meter, found);
            schema.register_table(table, Arc::new(provider)).map_err(|error| from_datafusion(&error))?;
        }
        catalog.register_schema(&name, Arc::new(schema)).map_err(|error| from_datafusion(&error))?;
    }
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(request.session.tenant_name.clone(), Arc::new(catalog));
    let tails = HeldMemory::new(&request.part, "rows that are not settled");
    let cached = usize::try_from(request.engine().options().tail_cache_bytes).unwrap_or(usize::MAX);
    tails.resize(tail_bytes.saturating_sub(cached))?;
    Ok((Arc::new(catalogs), widest, tails))
}

/// Plans on a thread of its own, which is given up at the deadline.
async fn plan(
    request: &StatementRequest,
    mut state: SessionState,
    statement: Arc<DataFusionStatement>,
    showing: Option<ExplainMode>,
    wide: bool,
) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
    let planners = request.queries.planners.clone();
    let Ok(Ok(permit)) = timeout_at(request.deadline, planners.acquire_owned()).await else {
        return Err(Error::new(Code::TooManyQueries, "Concurrent query request limit exceeded"));
    };
    let runtime = request.queries.threads.handle();
    let planning = request.queries.threads.spawn_with_large_stack(move || {
        if is_plain(&statement) {
            // A second pass is for what joins and subqueries leave behind; here it would find nothing to do.
            state.config_mut().options_mut().optimizer.max_passes = 1;
        }
        // Functions are called with these options; without them, with DataFusion's defaults.
        state.execution_props_mut().config_options = Some(state.config_options().clone());
        let plan = runtime.block_on(physical(&state, &statement, showing, wide));
        drop(permit);
        (state, plan)
    });
    match timeout_at(request.deadline, planning).await {
        Err(_) => Err(request.timed_out()),
        Ok(Err(error)) => Err(Error::internal(format!("planning ended: {error}"))),
        Ok(Ok(None)) => Err(Error::internal("planning panicked, or found no thread")),
        Ok(Ok(Some((state, plan)))) => Ok((state, plan.map_err(|error| from_planning(&error))?)),
    }
}

async fn physical(
    state: &SessionState,
    statement: &DataFusionStatement,
    showing: Option<ExplainMode>,
    wide: bool,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let narrow = if wide { star::narrowed(statement) } else { None };
    let narrow = match narrow {
        None => None,
        // What cannot be planned for one column, an order by the place of another, is planned for all.
        Some(narrow) => state.statement_to_plan(narrow).await.ok(),
    };
    let mut logical = match narrow {
        Some(narrow) => star::widened(narrow)?,
        None => casts::statement_to_plan(state, statement).await?,
    };
    let mut windows = false;
    logical.apply_with_subqueries(|node| {
        windows |= matches!(node, LogicalPlan::Window(_));
        Ok(if windows { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&logical)?;
    if let Some(showing) = showing {
        let options = ExplainOption::default()
            .with_analyze(showing.analyze)
            .with_verbose(showing.verbose)
            .with_format(showing.format);
        logical = LogicalPlanBuilder::from(logical).explain_option_format(options)?.build()?;
    }
    if !windows {
        return state.create_physical_plan(&logical).await;
    }
    // A limit above a window function leaves out groups that it counts.
    let mut state = state.clone();
    state.config_mut().options_mut().optimizer.enable_topk_aggregation = false;
    state.create_physical_plan(&logical).await
}

/// A running query: dropping it ends its task.
struct QueryStream {
    pieces: mpsc::Receiver<Piece>,
    task: JoinSet<DataFusionResult<()>>,
    deadline: Instant,
    limit: Duration,
    part: Arc<QueryShare>,
    _tails: HeldMemory,
    /// What the reader works on stays reserved until it asks for more.
    latest: Option<Arc<HeldMemory>>,
    /// Work that does not give way looks whether anybody waits.
    _waiting: AbandonOnDrop,
}

/// Runs a plan on the threads of queries, so that a step that does not yield cannot hold the reader
/// past the deadline.
fn stream_results(request: &StatementRequest, prepared: Prepared) -> BoxStream<'static, Result<RecordBatch>> {
    let Prepared { plan, context, tails, waiting } = prepared;
    let (sender, pieces) = mpsc::channel(PIECES_IN_FLIGHT);
    let share = HeldMemory::new(&request.part, "rows on their way to the client");
    let threads = &request.queries.threads;
    let runtime = if lanes::is_small(&plan) { threads.handle_of_small() } else { threads.handle() };
    let work = async move {
        let mut batches = execute_stream(plan, context)?;
        while let Some(batch) = batches.try_next().await? {
            if !hand_over(batch, &share, &sender).await? {
                break;
            }
        }
        Ok(())
    };
    let mut task = JoinSet::new();
    task.spawn_on(work, &runtime);
    let limit = request.engine().limits().query_time;
    let (deadline, part) = (request.deadline, request.part.clone());
    let running = QueryStream { pieces, task, deadline, limit, part, _tails: tails, latest: None, _waiting: waiting };
    stream::unfold(Some(running), |running| async move {
        let mut running = running?;
        match running.next().await {
            Some(Ok(batch)) => Some((Ok(batch), Some(running))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .fuse()
    .boxed()
}

/// Some rows of a batch.
struct Piece {
    rows: RecordBatch,
    bytes: usize,
    /// Of the whole batch, which stays in memory as long as any of its rows do.
    share: Arc<HeldMemory>,
}

/// Sends a batch in pieces; `false` when nobody wants it any more.
async fn hand_over(batch: RecordBatch, shares: &HeldMemory, sender: &mpsc::Sender<Piece>) -> DataFusionResult<bool> {
    let bytes = pieces::bytes_of(&batch);
    let share = Arc::new(shares.split(0));
    share.resize(bytes).map_err(external)?;
    let rows = batch.num_rows().max(1);
    for rows_of_piece in pieces::pieces(batch, bytes) {
        let bytes = bytes / rows * rows_of_piece.num_rows();
        let piece = Piece { rows: rows_of_piece, bytes, share: share.clone() };
        if sender.send(piece).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl QueryStream {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        self.latest = None;
        let part = self.part.clone();
        tokio::select! {
            biased;
            error = part.ended() => Some(Err(error)),
            step = timeout_at(self.deadline, self.step()) => match step {
                Err(_) => Some(Err(timed_out(self.limit))),
                Ok(batch) => batch,
            },
        }
    }

    async fn step(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(piece) = self.pieces.recv().await {
            self.part.give_out(piece.bytes);
            self.latest = Some(piece.share);
            return Some(Ok(piece.rows));
        }
        match self.task.join_next().await? {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(self.failure(&error))),
            Err(error) => Some(Err(from_join(&error))),
        }
    }

    /// Where others hold the memory, who asks again later may well get it.
    fn failure(&self, error: &DataFusionError) -> Error {
        if is_of_memory(error) && self.part.others_hold_most() {
            let text = "other queries hold most of the memory of queries (setting 'query_memory_bytes'): try again";
            return Error::new(Code::TooManyQueries, text);
        }
        from_datafusion(error)
    }
}
