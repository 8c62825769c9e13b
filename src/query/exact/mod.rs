//! Whole numbers that never wrap: an answer is right, or an error says that it does not fit.
//!
//! In: DataFusion's aggregates, and expressions of a plan whose types are settled. Out: the same with
//! `sum` of whole numbers and of durations, and `avg` of durations, gathered in 128 bits; and `+`, `-`
//! and `*` of whole numbers that fail where the answer needs more bits than its type has. Floating
//! point, decimals, times and intervals DataFusion checks itself.
//!
//! Never: changes the type or the name of a column.

mod arithmetic;
mod distinct;
mod groups;
mod sums;
#[cfg(test)]
mod tests;
mod wide;

pub(super) use arithmetic::Arithmetic;
pub(super) use sums::aggregate_functions;
