//! The functions as statements call them. DataFusion's ask nobody for memory, and nothing interrupts a
//! call: here each is measured before it makes anything (`measure`), done in pieces if it takes long
//! (`work`), and what it made counts in the memory pool (`held`). `table` decides of every function. And
//! the rule that reaches the ones the SQL planner puts in without asking the registry, and operators
//! that may take as long.

mod bounded;
mod constant;
mod held;
mod lambda;
mod matching;
mod measure;
mod pattern;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod version;
mod weigh;
mod work;

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    catalog::{TableFunction, TableFunctionArgs, TableFunctionImpl, TableProvider},
    common::{
        DFSchema, DFSchemaRef, DataFusionError, Result, ScalarValue,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Case, Cast, ColumnarValue, Expr, ExprSchemable, HigherOrderUDF, LogicalPlan, Operator,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction,
        expr_rewriter::NamePreserver,
    },
    optimizer::AnalyzerRule,
};

use super::{allowance::Allowance, exact::Arithmetic};

use bounded::Bounded;
pub(super) use constant::LongConstants;
use lambda::BoundedLambda;
use measure::Growth;
use table::OutputSize;

/// Bytes of one value.
pub const VALUE_BYTES: u64 = 16 << 20;
/// Bytes of what one call makes: a batch of rows.
pub const CALL_BYTES: u64 = 256 << 20;
/// Elements of one list, and rows of one generated table.
pub const ELEMENTS: u64 = 1_000_000;
/// Elements of all lists that one call makes.
pub const CALL_ELEMENTS: u64 = 4_000_000;

/// Functions that DataFusion 55.2 rewrites into what they are not where an argument is NULL, or whose
/// order it takes for that of their argument: `power(a, 0)`, `log(a, 1)`, `log(0.5, a)`,
/// `array_has(list, a)`. A bounded function does neither.
const KEPT: [&str; 3] = ["array_has", "log", "power"];

/// Functions whose comparison with a constant DataFusion turns into one of their argument, not always rightly.
const INVERTED: [&str; 1] = ["date_part"];
/// Functions that tell where data lies.
const REMOVED: [&str; 2] = ["input_file_name", "file_row_index"];

/// The functions as the session knows them: some removed, most bounded.
pub fn scalar_functions(defaults: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let kept = defaults.into_iter().filter(|function| !REMOVED.contains(&function.name()));
    kept.map(|function| {
        let is_kept = KEPT.contains(&function.name());
        match table::find(function.name()) {
            _ if function.name() == version::NAME => version::version(),
            Some(row) if is_kept || row.output != OutputSize::Plain || INVERTED.contains(&function.name()) => {
                Arc::new(ScalarUDF::new_from_impl(Bounded::new(function, row, !is_kept)))
            }
            _ => function,
        }
    })
    .collect()
}

/// Whether a function of this name takes no longer than to read its arguments, and makes no more. Those that
/// are only ours are numbers and truths, but for what looks for a pattern.
pub(super) fn is_cheap(name: &str) -> bool {
    match table::find(name) {
        Some(row) => row.work.is_none() && !matches!(row.output, OutputSize::Grows(_)),
        None => !matching::NAMES.contains(&name),
    }
}

/// The functions that take a lambda, with a bound on what it takes from its row.
pub fn higher_order_functions(defaults: Vec<Arc<HigherOrderUDF>>) -> Vec<Arc<HigherOrderUDF>> {
    let bounded = |inner| Arc::new(HigherOrderUDF::new_from_impl(BoundedLambda { inner }));
    defaults.into_iter().map(bounded).collect()
}

/// The table functions with a bound on the rows they generate.
pub fn table_functions(defaults: Vec<Arc<TableFunction>>) -> Vec<Arc<TableFunction>> {
    let bounded = |function: Arc<TableFunction>| {
        let inner = Arc::clone(function.function());
        Arc::new(TableFunction::new(function.name().to_owned(), Arc::new(BoundedSeries { inner })))
    };
    defaults.into_iter().map(bounded).collect()
}

/// `generate_series` and `range` in `FROM`.
#[derive(Debug)]
struct BoundedSeries {
    inner: Arc<dyn TableFunctionImpl>,
}

impl TableFunctionImpl for BoundedSeries {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let literals: Option<Vec<ScalarValue>> = arguments
            .exprs()
            .iter()
            .map(|argument| match argument {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            })
            .collect();
        // With one argument the series starts at 0; anything but literals the function itself refuses.
        if let Some(mut literals) = literals {
            if literals.len() == 1 {
                literals.insert(0, ScalarValue::Int64(Some(0)));
            }
            let values: Vec<ColumnarValue> = literals.into_iter().map(ColumnarValue::Scalar).collect();
            measure::check("generate_series", Growth::Series, &values)?;
        }
        self.inner.call_with_args(arguments)
    }
}

/// Returns its first argument, once the lengths of both together are within the bounds.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckLength {
    signature: Signature,
}

impl ScalarUDFImpl for CheckLength {
    fn name(&self) -> &'static str {
        "check_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let first = types.first().cloned();
        first.ok_or_else(|| DataFusionError::Internal("check_length takes two arguments".to_owned()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Allowance::of(&arguments.config_options).map_or(Ok(()), Allowance::check_time)?;
        measure::check("||", Growth::Sum, &arguments.args)?;
        let first = arguments.args.into_iter().next();
        first.ok_or_else(|| DataFusionError::Internal("check_length takes two arguments".to_owned()))
    }
}

/// Whether a result of a `CASE` may be an error for some values.
fn may_fail(case: &Case) -> bool {
    let fails = |part: &Expr| match part {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(op, Operator::Divide | Operator::Modulo),
        part => matches!(part, Expr::Cast(_) | Expr::ScalarFunction(_)),
    };
    results(case).any(|result| result.exists(|part| Ok(fails(part))).unwrap_or(true))
}

fn results(case: &Case) -> impl Iterator<Item = &Expr> {
    case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref())
}

fn is_boolean(case: &Case, schema: impl FnOnce() -> Arc<DFSchema>) -> bool {
    let schema = schema();
    results(case).any(|result| matches!(result.get_type(schema.as_ref()), Ok(DataType::Boolean)))
}

/// A `CASE` of truths as one of numbers: of the first DataFusion makes `AND` and `OR`, which look at all
/// rows, and so at those that the `CASE` keeps from an error.
fn lazy(case: Case) -> Expr {
    let number = |result: Box<Expr>| Box::new(Expr::Cast(Cast::new(result, DataType::Int8)));
    let branches = case.when_then_expr.into_iter().map(|(when, then)| (when, number(then))).collect();
    let numbers = Expr::Case(Case::new(case.expr, branches, case.else_expr.map(number)));
    Expr::Cast(Cast::new(Box::new(numbers), DataType::Boolean))
}

fn is_zero(argument: Option<&Expr>) -> bool {
    let zero = ScalarValue::Int64(Some(0));
    matches!(argument, Some(Expr::Literal(value, _)) if value.cast_to(&DataType::Int64).is_ok_and(|value| value == zero))
}

/// Whether it is a search of a short pattern in a column, which DataFusion makes an operator of, and so may
/// leave to a scan.
fn is_cheap_search(call: &ScalarFunction) -> bool {
    call.name() == "regexp_like"
        && call.func.inner().is::<Bounded>()
        && call.args.first().is_some_and(matching::is_column)
        && call.args.get(1).is_some_and(matching::is_cheap_pattern)
}

fn unbounded(call: ScalarFunction) -> Expr {
    let inner = call.func.inner().downcast_ref::<Bounded>().map(|bounded| Arc::clone(&bounded.inner));
    Expr::ScalarFunction(ScalarFunction::new_udf(inner.unwrap_or(call.func), call.args))
}

/// What the expressions of a node with these inputs speak of.
fn merged(inputs: &[DFSchemaRef]) -> DFSchema {
    let mut inputs = inputs.iter();
    let mut merged = inputs.next().map_or_else(DFSchema::empty, |first| first.as_ref().clone());
    inputs.for_each(|input| merged.merge(input));
    merged
}

/// Puts the bounds, and checked arithmetic, where the registry does not: operators, and functions the
/// planner chooses itself.
#[derive(Debug)]
pub struct BoundFunctions {
    bounded: HashMap<String, Arc<ScalarUDF>>,
    check_length: Arc<ScalarUDF>,
}

impl BoundFunctions {
    /// `functions` are those of [`scalar_functions`].
    pub fn new(functions: &[Arc<ScalarUDF>]) -> Self {
        let bounded = functions.iter().filter(|function| function.inner().is::<Bounded>());
        let check_length = CheckLength { signature: Signature::any(2, Volatility::Immutable) };
        BoundFunctions {
            bounded: bounded.map(|function| (function.name().to_owned(), Arc::clone(function))).collect(),
            check_length: Arc::new(ScalarUDF::new_from_impl(check_length)),
        }
    }

    fn rewrite(&self, expr: Expr, schema: impl Fn() -> Arc<DFSchema>) -> Result<Transformed<Expr>> {
        types::check(&expr, &schema)?;
        if let Some(matching) = matching::bounded(&expr) {
            return Ok(Transformed::yes(matching));
        }
        match expr {
            Expr::ScalarFunction(call) if is_cheap_search(&call) => Ok(Transformed::yes(unbounded(call))),
            Expr::ScalarFunction(call) if !call.func.inner().is::<Bounded>() => match self.bounded.get(call.name()) {
                Some(bounded) => {
                    let call = ScalarFunction::new_udf(Arc::clone(bounded), call.args);
                    Ok(Transformed::yes(Expr::ScalarFunction(call)))
                }
                None => Ok(Transformed::no(Expr::ScalarFunction(call))),
            },
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                let left = self.check_length.call(vec![*left, (*right).clone()]);
                let concatenation = BinaryExpr::new(Box::new(left), Operator::StringConcat, right);
                Ok(Transformed::yes(Expr::BinaryExpr(concatenation)))
            }
            // DataFusion finds out while it runs, and calls it a fault of its own.
            Expr::AggregateFunction(call) if call.func.name() == "nth_value" && is_zero(call.params.args.get(1)) => {
                plan_err!("nth_value counts from 1, or from -1 backwards: there is no value 0")
            }
            Expr::Case(case) if may_fail(&case) && is_boolean(&case, &schema) => Ok(Transformed::yes(lazy(case))),
            other => Ok(Arithmetic::rewrite(other, schema)),
        }
    }
}

impl AnalyzerRule for BoundFunctions {
    fn name(&self) -> &'static str {
        "bound_functions"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            let input = LazyCell::new({
                let inputs: Vec<DFSchemaRef> = node.inputs().iter().map(|input| input.schema().clone()).collect();
                move || Arc::new(merged(&inputs))
            });
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|part| self.rewrite(part, || Arc::clone(&input)))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })?
            .map_data(LogicalPlan::recompute_schema)
        })?;
        Ok(rewritten.data)
    }
}
