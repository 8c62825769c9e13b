//! Every operator that a plan may have, with what holds its memory within the pool. A test walks the plans of
//! many statements and fails for an operator that is not here, so that one that a newer DataFusion brings is
//! read before it runs. What is said was read in 55.2.

/// What bounds the rows that an operator holds, and what [`super::BoundMemory`] does for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It holds a batch at a time, and batches are cut.
    Batch,
    /// It reserves what it holds in the pool, by itself.
    Reserves,
    /// Its expressions may make more than comes out: its input comes in pieces. And it puts batches together: where
    /// rows may be wide, it passes them on as they come.
    Filters,
    /// It reserves what it holds, and what it puts out are batches of as many rows as it is told, of which
    /// several are under way: fewer where rows are copied.
    Sorts,
    /// It reserves what it holds, but not the batches that it puts together: the same.
    Coalesces,
    /// Its input comes in pieces, and it reserves what it holds; lists and long texts of its output are cut.
    Aggregates,
    /// Its expressions may make more than goes in: the input comes in pieces, as large as is bearable.
    Paced,
    /// It reserves one side, and puts out batches of as many rows as it is told: fewer where rows are copied.
    SmallBatches,
    /// It repeats one row for each row of a batch: the batch comes in pieces where rows are copied.
    Beside,
    /// It repeats what stands beside a list: lists are cut where that is copied.
    ShortLists,
    /// It reserves nothing of what it holds: an operator above it does.
    Windows,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Operator {
    /// As plans show it.
    pub name: &'static str,
    pub bound: Bound,
}

/// The reason is for who reads the table.
const fn row(name: &'static str, bound: Bound, _reason: &'static str) -> Operator {
    Operator { name, bound }
}

/// What every operator is, and why.
pub const OPERATORS: &[Operator] = &[
    row("AggregateExec", Bound::Aggregates, "late, and not what it needs to put out: counts for more in the pool"),
    row("AnalyzeExec", Bound::Batch, "counts rows"),
    row("BatchSizeExec", Bound::Batch, "ours: passes on"),
    row("BoundedWindowAggExec", Bound::Windows, "rows that frames may look at"),
    row("BufferExec", Bound::Reserves, "by itself"),
    row("CoalesceBatchesExec", Bound::Coalesces, "those that it puts together"),
    row("CoalescePartitionsExec", Bound::Batch, "one a partition in its channel"),
    row("CooperativeExec", Bound::Batch, "passes on"),
    row("CrossInputExec", Bound::Batch, "ours: passes on, in pieces"),
    row("CrossJoinExec", Bound::Beside, "reserves its first side"),
    row("CutExec", Bound::Reserves, "ours: reserves the batch that it cuts"),
    row("DataSourceExec", Bound::Batch, "a row group's pages, which its file bounds"),
    row("EmptyExec", Bound::Batch, "nothing"),
    row("EndsExec", Bound::Batch, "ours: leaves rows out"),
    row("ExplainExec", Bound::Batch, "a plan's text"),
    row("FenceExec", Bound::Batch, "ours: passes on"),
    row("FilterExec", Bound::Filters, "a batch at a time, and those that it puts together"),
    row("GlobalLimitExec", Bound::Batch, "passes on"),
    row("HashJoinExec", Bound::SmallBatches, "reserves its first side"),
    row("InterleaveExec", Bound::Batch, "passes on"),
    row("LazyMemoryExec", Bound::Batch, "makes a batch at a time: generate_series"),
    row("LocalLimitExec", Bound::Batch, "passes on"),
    row("MergeExec", Bound::Reserves, "ours: reserves a batch of every file"),
    row("NarrowExec", Bound::Batch, "ours: passes on"),
    row("NestedLoopJoinExec", Bound::SmallBatches, "reserves its first side"),
    row("OutputRequirementExec", Bound::Batch, "passes on"),
    row("PartialSortExec", Bound::Batch, "for endless inputs; there are none"),
    row("PartitionedTopKExec", Bound::Reserves, "by itself"),
    row("PiecesExec", Bound::Batch, "ours: passes on, in pieces"),
    row("PlaceholderRowExec", Bound::Batch, "one row"),
    row("ProjectionExec", Bound::Paced, "a batch at a time"),
    row("RecursiveQueryExec", Bound::Reserves, "its working table, by itself"),
    row("RepartitionExec", Bound::Coalesces, "what waits in its channels, and spills"),
    row("ScalarSubqueryExec", Bound::Batch, "one value a subquery"),
    row("ShortListsExec", Bound::Batch, "ours: passes on, in pieces"),
    row("SortExec", Bound::Sorts, "reserves twice what it holds, and spills"),
    row("SortExec(TopK)", Bound::Sorts, "reserves what it holds"),
    row("SortMergeJoinExec", Bound::SmallBatches, "reserves rows of one side that are equal"),
    row("SortPreservingMergeExec", Bound::Sorts, "a batch of every input, by itself"),
    row("TailExec", Bound::Batch, "ours: segments that are in memory already"),
    row("UnionExec", Bound::Batch, "passes on"),
    row("UnnestExec", Bound::ShortLists, "a batch at a time"),
    row("WindowAggExec", Bound::Windows, "all of its input, twice, and one batch of all of its output"),
    row("WindowMemoryExec", Bound::Reserves, "ours: for the windows below it"),
    row("WorkTableExec", Bound::Reserves, "by RecursiveQueryExec"),
    row("YieldExec", Bound::Batch, "ours: passes on, in pieces"),
];

/// What an operator is; as if it bounded itself if it is in no row.
pub fn bound(name: &str) -> Bound {
    OPERATORS.iter().find(|operator| operator.name == name).map_or(Bound::Batch, |operator| operator.bound)
}
