//! Which expressions make texts and lists that may be far larger than what they are made of.

use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::Operator,
    physical_expr::{PhysicalExpr, ScalarFunctionExpr, expressions::BinaryExpr},
    physical_plan::ExecutionPlan,
};

use super::weight;

/// Functions whose text or list is no larger than their arguments, or a few bytes.
const NO_LARGER: &[&str] = &[
    "arrow_cast",
    "arrow_try_cast",
    "arrow_typeof",
    "array_distinct",
    "array_except",
    "array_intersect",
    "array_pop_back",
    "array_pop_front",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_reverse",
    "array_slice",
    "array_sort",
    "btrim",
    "chr",
    "coalesce",
    "get_field",
    "greatest",
    "initcap",
    "least",
    "left",
    "lower",
    "ltrim",
    "md5",
    "nullif",
    "nvl",
    "nvl2",
    "opaque",
    "regexp_match",
    "reverse",
    "right",
    "rtrim",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "split_part",
    "substr",
    "substr_index",
    "substring",
    "to_hex",
    "trim",
    "upper",
    "uuid",
];

/// Functions whose text or list is as large as their arguments together.
const SUMS: &[&str] =
    &["array_append", "array_concat", "array_prepend", "concat", "make_array", "named_struct", "struct"];

/// Whether an expression of an operator makes more than it is made of. `seen`: what it makes comes out, so that
/// the sum of arguments counts, too; unseen, an argument was cut before.
pub fn grows(plan: &dyn ExecutionPlan, seen: bool) -> Result<bool> {
    let mut grows = false;
    plan.apply_expressions(&mut |expression: &Arc<dyn PhysicalExpr>| {
        expression.apply(|part| {
            grows |= part_grows(part, seen);
            Ok(if grows { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(grows)
}

fn part_grows(part: &Arc<dyn PhysicalExpr>, seen: bool) -> bool {
    if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() {
        let name = call.fun().name();
        let makes = call.return_type();
        let is_long = weight::is_copied(makes) || makes.is_string() || makes.is_binary();
        return is_long && !NO_LARGER.contains(&name) && (seen || !SUMS.contains(&name));
    }
    let joins = |binary: &BinaryExpr| *binary.op() == Operator::StringConcat;
    seen && part.downcast_ref::<BinaryExpr>().is_some_and(joins)
}
