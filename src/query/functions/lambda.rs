//! Functions that call an expression for each element of a list: what the expression takes from its row
//! is copied for each.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::ArrayRef,
        datatypes::{DataType, FieldRef},
    },
    common::{Result, exec_err},
    logical_expr::{
        ColumnarValue, Documentation, Expr, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
        HigherOrderUDF, HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda,
    },
};

use super::{
    CALL_BYTES, CALL_ELEMENTS, ELEMENTS,
    measure::{length, refuse},
    weigh::{Measure, Unit, weigh},
};
use crate::query::allowance::Allowance;

/// A function with a lambda, and a bound on what is copied for its elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BoundedLambda {
    pub(super) inner: Arc<HigherOrderUDF>,
}

impl BoundedLambda {
    fn check(&self, arguments: &HigherOrderFunctionArgs) -> Result<()> {
        let values = arguments.args.iter().filter_map(|argument| match argument {
            ValueOrLambda::Value(value) => Some(length(value)),
            ValueOrLambda::Lambda(_) => None,
        });
        let Some(elements) = values.reduce(|_, last| last).transpose()? else { return Ok(()) };
        refuse(self.name(), &elements, (ELEMENTS, CALL_ELEMENTS, "elements"))?;
        for argument in &arguments.args {
            let ValueOrLambda::Lambda(lambda) = argument else { continue };
            let Some(captured) = captured(lambda) else { continue };
            let copied = |row: usize| elements.at(row).saturating_mul(captured.at(row));
            let copied = Measure::Each((0..arguments.number_rows).map(copied).collect());
            refuse(self.name(), &copied, (CALL_BYTES, CALL_BYTES, "bytes"))?;
        }
        Ok(())
    }
}

/// Bytes of each row that a lambda takes from outside of itself.
fn captured(lambda: &LambdaArgument) -> Option<Measure> {
    let mut found = None;
    let mut look = |columns: &[ArrayRef]| {
        found = columns.iter().map(|column| weigh(column, Unit::Bytes)).reduce(Measure::plus);
    };
    // What it captured is only handed to who evaluates it; an error ends that before it begins.
    let end = || exec_err!("only looking");
    let _ = lambda.evaluate(&[&end, &end, &end, &end], |columns| {
        look(columns);
        exec_err!("only looking")
    });
    found
}

impl HigherOrderUDFImpl for BoundedLambda {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.schema_name(arguments)
    }

    fn signature(&self) -> &HigherOrderSignature {
        self.inner.signature()
    }

    fn lambda_parameters(
        &self,
        step: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        self.inner.lambda_parameters(step, fields)
    }

    fn coerce_values_for_lambdas(&self, fields: &[ValueOrLambda<DataType, DataType>]) -> Result<Option<Vec<DataType>>> {
        self.inner.coerce_values_for_lambdas(fields)
    }

    fn return_field_from_args(&self, arguments: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn clear_null_values(&self) -> bool {
        self.inner.clear_null_values()
    }

    fn invoke_with_args(&self, arguments: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        Allowance::of(&arguments.config_options).map_or(Ok(()), Allowance::check_time)?;
        self.check(&arguments)?;
        self.inner.invoke_with_args(arguments)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(&self, arguments: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(arguments)
    }

    fn coerce_value_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_value_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
