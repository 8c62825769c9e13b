//! Functions that give back their argument, for the rules that keep answers right: one that no rule of DataFusion
//! looks through, one that gives every zero the positive sign, and one whose result is never NULL.

use std::sync::{Arc, LazyLock};

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::{
        DataFusionError, Result,
        utils::{normalize_float_zero, normalize_float_zero_scalar},
    },
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::ScalarFunction,
        sort_properties::{ExprProperties, SortProperties},
    },
};

/// What a function does with its one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Does {
    Nothing,
    PositiveZero,
    NeverNull,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    name: &'static str,
    does: Does,
    signature: Signature,
}

static OPAQUE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function("opaque", Does::Nothing));
static POSITIVE_ZERO: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function("positive_zero", Does::PositiveZero));
static NEVER_NULL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function("never_null", Does::NeverNull));

fn function(name: &'static str, does: Does) -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Identity { name, does, signature }))
}

/// The same value, of which nothing is known but its type: not its order, nor what it was made from.
pub(super) fn opaque(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(OPAQUE.clone(), vec![expr]))
}

/// The same number, 0.0 instead of -0.0. Free where there is no -0.0.
pub(super) fn positive_zero(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(POSITIVE_ZERO.clone(), vec![expr]))
}

/// The same value, which the caller knows not to be NULL.
pub(super) fn never_null(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(NEVER_NULL.clone(), vec![expr]))
}

/// The function behind [`positive_zero`].
pub(super) fn positive_zero_function() -> Arc<ScalarUDF> {
    POSITIVE_ZERO.clone()
}

/// Whether an expression is one of these calls.
pub(super) fn is_identity(call: &ScalarFunction) -> bool {
    call.func.inner().is::<Identity>()
}

fn one_argument(name: &str) -> DataFusionError {
    DataFusionError::Internal(format!("{name} takes one argument"))
}

impl ScalarUDFImpl for Identity {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| one_argument(self.name))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let field = arguments.arg_fields.first().ok_or_else(|| one_argument(self.name))?;
        Ok(match self.does {
            Does::NeverNull => Arc::new(field.as_ref().clone().with_nullable(false)),
            Does::Nothing | Does::PositiveZero => field.clone(),
        })
    }

    fn is_strict(&self) -> bool {
        true
    }

    /// Of what is opaque no order is known; the others leave a value where it lay.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        Ok(match (self.does, inputs) {
            (Does::PositiveZero | Does::NeverNull, [input]) => input.sort_properties,
            _ => SortProperties::Unordered,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let argument = arguments.args.into_iter().next().ok_or_else(|| one_argument(self.name))?;
        Ok(match (self.does, argument) {
            (Does::Nothing | Does::NeverNull, argument) => argument,
            (Does::PositiveZero, ColumnarValue::Array(array)) => ColumnarValue::Array(normalize_float_zero(&array)),
            (Does::PositiveZero, ColumnarValue::Scalar(scalar)) => {
                ColumnarValue::Scalar(normalize_float_zero_scalar(scalar))
            }
        })
    }
}
