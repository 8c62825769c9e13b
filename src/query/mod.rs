//! SQL: statements in, rows out. The only room that names DataFusion.
//!
//! In: a session (who, which tenant and database) and the text of one statement. Out: [`Output`],
//! nothing or a stream of batches. A query runs over one snapshot: the tables it names are resolved
//! before it is planned, and planning and running touch no manifest again.
//!
//! Invariants: only what [`statement::Statement`] lists is run, and of a query nothing is passed over
//! (`understood`); whole numbers do not wrap (`exact`), moments are compared as what they are (`time`),
//! conditions apply from left to right (`conditions`); no statement reads or writes a file
//! of the server; every bound on a statement is checked before anything plans it; what a plan holds is
//! reserved in one pool, or a batch that is cut (`memory`); predicates on fields are never applied below a
//! merge; nothing declares an order of a scan.
//!
//! Never: knows that a network exists, or what an object is called.

mod allowance;
mod casts;
mod conditions;
mod constant_partitions;
mod context;
mod cooperative_joins;
mod ddl;
mod errors;
mod exact;
mod fence_exec;
mod full_orders;
mod functions;
mod guard;
mod insert;
mod lanes;
mod limits;
mod literals;
mod memory;
mod merge_exec;
mod one_zero;
mod opaque;
mod options;
mod output;
mod overlap;
mod parquet;
mod pass_through;
mod pieces;
mod provider;
mod prune;
mod queries;
mod request;
mod sandbox;
mod scan;
mod select;
mod selector;
mod selector_exec;
mod session;
mod shares;
mod show;
mod spill;
mod star;
mod statement;
mod subqueries;
mod tag_filter;
mod tail;
mod tail_exec;
#[cfg(test)]
mod tests;
mod threads;
mod time;
mod understood;
mod watch;
mod zero;

pub use output::{Output, ResultRows};
pub use queries::Queries;
pub use session::Session;
pub use shares::HeldMemory;
pub use watch::Counts;
