//! `+`, `-`, `*` and the sign of whole numbers, which fail instead of wrapping.

use std::cell::LazyCell;
use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray},
        buffer::NullBuffer,
        compute::kernels::numeric,
        datatypes::{DataType, Int64Type, UInt64Type},
        error::ArrowError,
    },
    common::{DFSchema, DataFusionError, Result, ScalarValue, tree_node::Transformed},
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility,
        sort_properties::{ExprProperties, SortProperties},
    },
    physical_expr_common::datum::apply,
};

/// The operators as functions, which every part of a plan and the folding of constants use.
#[derive(Debug)]
pub(in crate::query) struct Arithmetic;

impl Arithmetic {
    /// An expression of a plan whose types have been made equal. `schema` is asked for only if need be.
    pub(in crate::query) fn rewrite(expr: Expr, schema: impl FnOnce() -> Arc<DFSchema>) -> Transformed<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match Operation::of(op) {
                Some(operation) => binary(*left, operation, op, *right, schema),
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            },
            Expr::Negative(operand) => match whole(&operand, schema) {
                Some(data_type) => Transformed::yes(call(vec![Operation::Negative], data_type, vec![*operand])),
                None => Transformed::no(Expr::Negative(operand)),
            },
            other => Transformed::no(other),
        }
    }
}

/// The type of an operand, if it is one of whole numbers. Of what was rewritten before it is known:
/// finding types anew walks all that is below.
fn whole(operand: &Expr, schema: impl FnOnce() -> Arc<DFSchema>) -> Option<DataType> {
    let data_type = match chain(operand) {
        Some(chain) => chain.data_type.clone(),
        None => operand.get_type(schema().as_ref()).ok()?,
    };
    data_type.is_integer().then_some(data_type)
}

fn chain(expr: &Expr) -> Option<&Checked> {
    match expr {
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<Checked>(),
        _ => None,
    }
}

/// Operators one after the other, `a + b - c`, become one call: what is as deep as it is long would be
/// walked again for each of its parts.
fn binary(
    left: Expr,
    operation: Operation,
    op: Operator,
    right: Expr,
    schema: impl FnOnce() -> Arc<DFSchema>,
) -> Transformed<Expr> {
    // Both sides are of one type by now; else it is time that is reckoned with.
    let schema = LazyCell::new(schema);
    let of_both = whole(&right, || Arc::clone(&schema)).filter(|_| whole(&left, || Arc::clone(&schema)).is_some());
    let Some(data_type) = of_both else {
        return Transformed::no(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))));
    };
    let longer =
        chain(&left).filter(|chain| chain.operations != [Operation::Negative]).map(|chain| chain.operations.clone());
    let (mut operations, mut operands) = match (longer, left) {
        (Some(operations), Expr::ScalarFunction(call)) => (operations, call.args),
        (_, left) => (Vec::with_capacity(1), vec![left]),
    };
    operations.push(operation);
    operands.push(right);
    Transformed::yes(call(operations, data_type, operands))
}

fn call(operations: Vec<Operation>, data_type: DataType, operands: Vec<Expr>) -> Expr {
    let signature = Signature::any(operands.len(), Volatility::Immutable);
    let symbols: String = operations.iter().map(|operation| operation.symbol().trim()).collect();
    let name = format!("checked {symbols}");
    ScalarUDF::new_from_impl(Checked { operations, data_type, signature, name }).call(operands)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Plus,
    Minus,
    Times,
    /// Of one operand, and alone.
    Negative,
}

impl Operation {
    fn of(op: Operator) -> Option<Operation> {
        match op {
            Operator::Plus => Some(Operation::Plus),
            Operator::Minus => Some(Operation::Minus),
            Operator::Multiply => Some(Operation::Times),
            _ => None,
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Operation::Plus => " + ",
            Operation::Minus | Operation::Negative => " - ",
            Operation::Times => " * ",
        }
    }

    fn evaluate(self, left: &ColumnarValue, right: &ColumnarValue) -> Result<ColumnarValue> {
        match self {
            Operation::Plus => apply(left, right, plus),
            Operation::Minus => apply(left, right, minus),
            Operation::Times => apply(left, right, times),
            Operation::Negative => Err(no_operand()),
        }
    }

    fn order(self, left: SortProperties, right: &SortProperties) -> SortProperties {
        match self {
            Operation::Plus => left.add(right),
            Operation::Minus => left.sub(right),
            Operation::Times | Operation::Negative => SortProperties::Unordered,
        }
    }
}

/// Operators between operands, from left to right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Checked {
    operations: Vec<Operation>,
    data_type: DataType,
    signature: Signature,
    /// With the operators, for whoever reads a plan.
    name: String,
}

impl Checked {
    /// As DataFusion writes the operators, so that columns keep their names.
    fn written(&self, operands: impl Iterator<Item = String>) -> String {
        let mut operands = operands;
        let mut text = operands.next().unwrap_or_default();
        for (operation, operand) in self.operations.iter().zip(operands.by_ref()) {
            text.push_str(operation.symbol());
            text.push_str(&operand);
        }
        if self.operations == [Operation::Negative] { format!("(- {text})") } else { text }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        &self.name
    }

    fn display_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(self.written(operands.iter().map(ToString::to_string)))
    }

    fn schema_name(&self, operands: &[Expr]) -> Result<String> {
        Ok(self.written(operands.iter().map(|operand| operand.schema_name().to_string())))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut operands = arguments.args.into_iter();
        let first = operands.next().ok_or_else(no_operand)?;
        match (self.operations.as_slice(), first) {
            ([Operation::Negative], ColumnarValue::Array(operand)) => Ok(ColumnarValue::Array(numeric::neg(&operand)?)),
            ([Operation::Negative], ColumnarValue::Scalar(operand)) => {
                let negative = numeric::neg(&operand.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&negative, 0)?))
            }
            (operations, first) => {
                operations.iter().zip(operands).try_fold(first, |left, (op, right)| op.evaluate(&left, &right))
            }
        }
    }

    /// As of the operators: where nothing wraps, what is sorted stays sorted.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let mut inputs = inputs.iter().map(|input| input.sort_properties);
        let first = inputs.next().ok_or_else(no_operand)?;
        if self.operations == [Operation::Negative] {
            return Ok(-first);
        }
        Ok(self.operations.iter().zip(inputs).fold(first, |left, (operation, right)| operation.order(left, &right)))
    }
}

fn no_operand() -> DataFusionError {
    DataFusionError::Internal("an operator without its operands".to_owned())
}

fn plus(left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    let signed = |left: i64, right: i64| {
        let sum = left.wrapping_add(right);
        (sum, (left ^ sum) & (right ^ sum) < 0)
    };
    let fast = fast::<Int64Type>(left, right, signed).or_else(|| fast::<UInt64Type>(left, right, u64::overflowing_add));
    fast.map_or_else(|| numeric::add(left, right), Ok)
}

fn minus(left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    let signed = |left: i64, right: i64| {
        let difference = left.wrapping_sub(right);
        (difference, (left ^ right) & (left ^ difference) < 0)
    };
    let fast = fast::<Int64Type>(left, right, signed).or_else(|| fast::<UInt64Type>(left, right, u64::overflowing_sub));
    fast.map_or_else(|| numeric::sub(left, right), Ok)
}

fn times(left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    let fast = fast::<Int64Type>(left, right, i64::overflowing_mul)
        .or_else(|| fast::<UInt64Type>(left, right, u64::overflowing_mul));
    fast.map_or_else(|| numeric::mul(left, right), Ok)
}

/// All values in one run without a branch, what lies under NULL too. `None` if something overflowed, or
/// the types are others: Arrow's own kernel looks at each value, and says which.
fn fast<T: ArrowPrimitiveType>(
    left: &dyn Datum,
    right: &dyn Datum,
    operation: impl Fn(T::Native, T::Native) -> (T::Native, bool),
) -> Option<ArrayRef> {
    let ((left, left_is_scalar), (right, right_is_scalar)) = (left.get(), right.get());
    let (left, right) = (left.as_primitive_opt::<T>()?, right.as_primitive_opt::<T>()?);
    let mut overflowed = false;
    let mut checked = |left, right| {
        let (value, over) = operation(left, right);
        overflowed |= over;
        value
    };
    let (values, nulls): (Vec<T::Native>, _) = match (left_is_scalar, right_is_scalar) {
        (false, false) if left.len() == right.len() => {
            let values = left.values().iter().zip(right.values()).map(|(left, right)| checked(*left, *right));
            (values.collect(), NullBuffer::union(left.nulls(), right.nulls()))
        }
        (false, true) if right.null_count() == 0 => {
            let right = *right.values().first()?;
            (left.values().iter().map(|left| checked(*left, right)).collect(), left.nulls().cloned())
        }
        (true, false) if left.null_count() == 0 => {
            let left = *left.values().first()?;
            (right.values().iter().map(|right| checked(left, *right)).collect(), right.nulls().cloned())
        }
        _ => return None,
    };
    (!overflowed).then(|| Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)) as ArrayRef)
}
