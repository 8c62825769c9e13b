//! What DataFusion runs in: one memory pool and one spill folder for all queries, and a session a
//! request, made from one that is prepared once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::{
    arrow::temporal_conversions::timestamp_ns_to_datetime,
    catalog::CatalogProviderList,
    execution::{
        SessionState, SessionStateBuilder, SessionStateDefaults, TaskContext,
        memory_pool::{MemoryPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    optimizer::Analyzer,
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    prelude::SessionConfig,
};

use crate::model::{Result, limits::Limits};

use super::{
    Session,
    conditions::GuardedConditions,
    constant_partitions::ConstantPartitions,
    cooperative_joins::CooperativeJoins,
    errors::from_datafusion,
    exact,
    fence_exec::{FenceDuplicates, FenceOffsets},
    full_orders::FullOrders,
    functions,
    guard::GuardExpressions,
    memory::{self, BoundMemory, QueryPool},
    options,
    sandbox::ClosedRegistry,
    selector::SelectorPushdown,
    shares::QueryShare,
    spill::{self, SpillFolder},
    subqueries::SubqueriesWithNulls,
    time,
    understood::Functions,
    zero::PositiveZeros,
};

/// Parts that a scan is cut into, and so requests to the object store in flight, unless a request says:
/// they wait more than they compute.
pub const SCAN_PARTITIONS: usize = 8;
/// The most partitions a request may ask for.
pub const MAXIMUM_PARTITIONS: usize = 64;

/// The prepared session: functions, rules, settings, no tables.
#[derive(Debug)]
pub struct Context {
    prepared: SessionState,
    _spill: Option<SpillFolder>,
}

impl Context {
    /// Errors: the folder that is named for spilled queries cannot be used.
    pub fn new(limits: &Limits) -> Result<Context> {
        let (disk, spill) = spill::prepare(limits)?;
        let largest = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(QueryPool::new(limits.query_memory_bytes), largest);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .with_object_store_registry(Arc::new(ClosedRegistry))
            .with_object_list_cache_limit(0)
            .build_arc()
            .map_err(|error| from_datafusion(&error))?;
        let scalar = functions::scalar_functions(SessionStateDefaults::default_scalar_functions());
        let series = functions::table_functions(SessionStateDefaults::default_table_functions());
        let mut planners = SessionStateDefaults::default_expr_planners();
        planners.insert(0, Arc::new(time::TimeComparisons));
        let mut analyzer = Analyzer::default();
        analyzer.rules.insert(0, Arc::new(time::TimeSemantics));
        analyzer.rules.insert(0, Arc::new(SubqueriesWithNulls));
        analyzer.rules.push(Arc::new(functions::BoundFunctions::new(&scalar)));
        analyzer.rules.push(Arc::new(GuardExpressions));
        analyzer.rules.push(Arc::new(PositiveZeros));
        let aggregates = exact::aggregate_functions(SessionStateDefaults::default_aggregate_functions());
        let prepared = SessionStateBuilder::new()
            .with_config(settings()?)
            .with_runtime_env(runtime)
            .with_analyzer_rules(analyzer.rules)
            .with_expr_planners(planners)
            .with_scalar_functions(scalar)
            .with_higher_order_functions(functions::higher_order_functions(
                SessionStateDefaults::default_higher_order_functions(),
            ))
            .with_aggregate_functions(memory::lists::aggregate_functions(aggregates))
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_table_function_list(series)
            .with_optimizer_rule(Arc::new(SelectorPushdown))
            .with_optimizer_rule(Arc::new(ConstantPartitions))
            .with_optimizer_rule(Arc::new(functions::LongConstants))
            .with_physical_optimizer_rules(physical_rules())
            .build();
        Ok(Context { prepared, _spill: spill })
    }

    /// A session for one request. `now` is nanoseconds since 1970.
    pub fn session(&self, session: &Session, catalogs: Arc<dyn CatalogProviderList>, now: i64) -> SessionState {
        let mut state = self.prepared.clone();
        let catalog = &mut state.config_mut().options_mut().catalog;
        catalog.default_catalog.clone_from(&session.tenant_name);
        catalog.default_schema.clone_from(&session.database);
        if let Some(partitions) = session.target_partitions {
            let partitions = partitions.clamp(1, MAXIMUM_PARTITIONS);
            state.config_mut().options_mut().execution.target_partitions = partitions;
        }
        state.register_catalog_list(catalogs);
        let started = timestamp_ns_to_datetime(now).map(|time| time.and_utc());
        state.execution_props_mut().query_execution_start_time = started;
        state
    }

    /// The pool of all queries.
    pub fn pool(&self) -> &Arc<dyn MemoryPool> {
        &self.prepared.runtime_env().memory_pool
    }

    /// What the plan of a session runs in: as all, but what it reserves is its query's.
    pub fn task(&self, state: &SessionState, part: &Arc<QueryShare>) -> Arc<TaskContext> {
        let all = self.prepared.runtime_env().as_ref().clone();
        Arc::new(TaskContext::from(state).with_runtime(Arc::new(RuntimeEnv { memory_pool: part.clone(), ..all })))
    }

    /// What statements find by name.
    #[cfg(test)]
    pub fn registered(&self) -> &SessionState {
        &self.prepared
    }

    /// Names of the functions that may stand in `FROM`.
    pub fn is_table_function(&self, name: &str) -> bool {
        self.prepared.table_functions().contains_key(name)
    }
}

impl Functions for Context {
    fn is_of_one_row(&self, name: &str) -> bool {
        self.prepared.scalar_functions().contains_key(name) || self.prepared.higher_order_functions().contains_key(name)
    }
}

/// DataFusion's rules and ours between them.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> = vec![Arc::new(FenceOffsets)];
    for rule in PhysicalOptimizer::new().rules {
        if rule.name().starts_with("FilterPushdown") {
            rules.push(Arc::new(FullOrders));
            rules.push(Arc::new(FenceDuplicates));
        }
        if rule.name() == "SanityCheckPlan" {
            rules.push(Arc::new(FullOrders));
        }
        rules.push(rule);
    }
    rules.push(Arc::new(GuardedConditions));
    rules.push(Arc::new(BoundMemory));
    rules.push(Arc::new(CooperativeJoins));
    rules
}

/// Partitions of what computes: more than there are processors cost, and gain nothing.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAXIMUM_PARTITIONS)
}

fn settings() -> Result<SessionConfig> {
    let config = options::configuration().map_err(|error| from_datafusion(&error))?;
    Ok(config.with_target_partitions(processors()))
}
