//! Long constants of a plan: held once, however often the plan is copied, and not put into each row of a
//! batch without looking how many there are.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility, expr::ScalarFunction, expr_rewriter::NamePreserver,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

use super::{bounded::Bounded, held};
use crate::query::allowance::Allowance;

/// Puts a function in the place of each long constant.
#[derive(Debug)]
pub(in crate::query) struct LongConstants;

impl OptimizerRule for LongConstants {
    fn name(&self) -> &'static str {
        "long_constants"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // Planning may take long where constants are long, and gives way nowhere.
        Allowance::of(&config.options()).map_or(Ok(()), Allowance::check_planning)?;
        if !has_long(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let makes_rows =
            matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|part| {
                if makes_columns(&part) { part.map_children(shared) } else { Ok(Transformed::no(part)) }
            })?;
            let rewritten =
                rewritten.transform_data(|expr| if makes_rows { shared(expr) } else { Ok(Transformed::no(expr)) })?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })
    }
}

/// A function in the place of a long constant.
fn shared(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Literal(value, _) if is_long(&value) => Transformed::yes(constant(value)),
        other => Transformed::no(other),
    })
}

/// Whether a constant right within it is put into each row. Elsewhere constants are compared with, and stay
/// one value; bounded functions look themselves.
fn makes_columns(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(_) | Expr::Case(_) | Expr::AggregateFunction(_) | Expr::WindowFunction(_) => true,
        Expr::ScalarFunction(call) => !call.func.inner().is::<Bounded>(),
        _ => false,
    }
}

fn has_long(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = found || expr.exists(|part| Ok(matches!(part, Expr::Literal(value, _) if is_long(value))))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Cheap for what is no text and no list.
fn is_long(value: &ScalarValue) -> bool {
    (!value.data_type().is_primitive()) && value.size() >= held::LONG_BYTES
}

fn constant(value: ScalarValue) -> Expr {
    // Volatile: nothing makes a literal of it again.
    let function = Constant { value: Arc::new(value), signature: Signature::nullary(Volatility::Volatile) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), Vec::new()))
}

/// A constant that is held once.
#[derive(Debug)]
struct Constant {
    value: Arc<ScalarValue>,
    signature: Signature,
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(Arc::as_ptr(&self.value), state);
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.value.data_type(), self.value.is_null())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = ColumnarValue::Scalar(self.value.as_ref().clone());
        match Allowance::of(&arguments.config_options) {
            Some(allowance) => held::count("a constant", value, arguments.number_rows, allowance, None),
            None => Ok(value),
        }
    }
}
