//! Every operator that a plan may have, with what holds its memory within the pool. A test walks the plans of
//! many statements and fails for an operator that is not here, so that one that a newer DataFusion brings is
//! read before it runs. What is said was read in 55.2.

/// What bounds the rows that an operator holds, and what [`super::BoundMemory`] does for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBound {
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
    pub bound: MemoryBound,
}

/// The reason is for who reads the table.
const fn row(name: &'static str, bound: MemoryBound, _reason: &'static str) -> Operator {
    Operator { name, bound }
}

/// What every operator is, and why.
pub const OPERATORS: &[Operator] = &[
    row(
        "AggregateExec",
        MemoryBound::Aggregates,
        "late, and not what it needs to put out: counts for more in the pool",
    ),
    row("AnalyzeExec", MemoryBound::Batch, "counts rows"),
    row("BatchSizeExec", MemoryBound::Batch, "ours: passes on"),
    row("BoundedWindowAggExec", MemoryBound::Windows, "rows that frames may look at"),
    row("BufferExec", MemoryBound::Reserves, "by itself"),
    row("CoalesceBatchesExec", MemoryBound::Coalesces, "those that it puts together"),
    row("CoalescePartitionsExec", MemoryBound::Batch, "one a partition in its channel"),
    row("CooperativeExec", MemoryBound::Batch, "passes on"),
    row("CrossInputExec", MemoryBound::Batch, "ours: passes on, in pieces"),
    row("CrossJoinExec", MemoryBound::Beside, "reserves its first side"),
    row("CutExec", MemoryBound::Reserves, "ours: reserves the batch that it cuts"),
    row("DataSourceExec", MemoryBound::Batch, "a row group's pages, which its file bounds"),
    row("EmptyExec", MemoryBound::Batch, "nothing"),
    row("EndsExec", MemoryBound::Batch, "ours: leaves rows out"),
    row("ExplainExec", MemoryBound::Batch, "a plan's text"),
    row("FenceExec", MemoryBound::Batch, "ours: passes on"),
    row("FilterExec", MemoryBound::Filters, "a batch at a time, and those that it puts together"),
    row("GlobalLimitExec", MemoryBound::Batch, "passes on"),
    row("HashJoinExec", MemoryBound::SmallBatches, "reserves its first side"),
    row("InterleaveExec", MemoryBound::Batch, "passes on"),
    row("LazyMemoryExec", MemoryBound::Batch, "makes a batch at a time: generate_series"),
    row("LocalLimitExec", MemoryBound::Batch, "passes on"),
    row("MergeExec", MemoryBound::Reserves, "ours: reserves a batch of every file"),
    row("NarrowExec", MemoryBound::Batch, "ours: passes on"),
    row("NestedLoopJoinExec", MemoryBound::SmallBatches, "reserves its first side"),
    row("OutputRequirementExec", MemoryBound::Batch, "passes on"),
    row("PartialSortExec", MemoryBound::Batch, "for endless inputs; there are none"),
    row("PartitionedTopKExec", MemoryBound::Reserves, "by itself"),
    row("PiecesExec", MemoryBound::Batch, "ours: passes on, in pieces"),
    row("PlaceholderRowExec", MemoryBound::Batch, "one row"),
    row("ProjectionExec", MemoryBound::Paced, "a batch at a time"),
    row("RecursiveQueryExec", MemoryBound::Reserves, "its working table, by itself"),
    row("RepartitionExec", MemoryBound::Coalesces, "what waits in its channels, and spills"),
    row("ScalarSubqueryExec", MemoryBound::Batch, "one value a subquery"),
    row("ShortListsExec", MemoryBound::Batch, "ours: passes on, in pieces"),
    row("SortExec", MemoryBound::Sorts, "reserves twice what it holds, and spills"),
    row("SortExec(TopK)", MemoryBound::Sorts, "reserves what it holds"),
    row("SortMergeJoinExec", MemoryBound::SmallBatches, "reserves rows of one side that are equal"),
    row("SortPreservingMergeExec", MemoryBound::Sorts, "a batch of every input, by itself"),
    row("TailExec", MemoryBound::Batch, "ours: segments that are in memory already"),
    row("UnionExec", MemoryBound::Batch, "passes on"),
    row("UnnestExec", MemoryBound::ShortLists, "a batch at a time"),
    row("WindowAggExec", MemoryBound::Windows, "all of its input, twice, and one batch of all of its output"),
    row("WindowMemoryExec", MemoryBound::Reserves, "ours: for the windows below it"),
    row("WorkTableExec", MemoryBound::Reserves, "by RecursiveQueryExec"),
    row("YieldExec", MemoryBound::Batch, "ours: passes on, in pieces"),
];

/// What an operator is; as if it bounded itself if it is in no row.
pub fn bound(name: &str) -> MemoryBound {
    OPERATORS.iter().find(|operator| operator.name == name).map_or(MemoryBound::Batch, |operator| operator.bound)
}
