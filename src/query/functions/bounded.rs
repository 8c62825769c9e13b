//! A function as the session calls it: measured before it makes anything, in pieces where it takes long,
//! and with what it made counted in the memory pool.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::{Result, config::ConfigOptions},
    logical_expr::{
        ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, StructFieldMapping,
        interval_arithmetic::Interval,
        preimage::PreimageResult,
        simplify::{ExprSimplifyResult, SimplifyContext},
        sort_properties::{ExprProperties, SortProperties},
    },
};

use super::{
    held,
    measure::{self, Growth},
    table::{OutputSize, Row},
    weigh::Measure,
    work::{self, MatchCost, Work},
};
use crate::query::allowance::Allowance;

/// A function and its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    pub(super) inner: Arc<ScalarUDF>,
    /// `None`: its output is at most a few times its input.
    growth: Option<Growth>,
    /// Whether its output is memory of its own.
    copies: bool,
    work: Option<Work>,
    /// Whether DataFusion may put something else in its place: that is not measured, and not always equal.
    simplifies: bool,
}

impl Bounded {
    pub(super) fn new(inner: Arc<ScalarUDF>, row: &Row, simplifies: bool) -> Bounded {
        let growth = match row.output {
            OutputSize::Grows(growth) => Some(growth),
            OutputSize::AsInput | OutputSize::Copied | OutputSize::Plain => None,
        };
        let copies = matches!(row.output, OutputSize::Grows(_) | OutputSize::Copied);
        Bounded {
            simplifies: simplifies && growth.is_none() && row.work.is_none(),
            inner,
            growth,
            copies,
            work: row.work,
        }
    }

    fn call(
        &self,
        arguments: ScalarFunctionArgs,
        allowance: Option<&Allowance>,
        made: &Measure,
    ) -> Result<ColumnarValue> {
        let repeated = work::repeated(&arguments.args, arguments.number_rows);
        if self.work.is_none() && repeated == 0 {
            return self.inner.invoke_with_args(arguments);
        }
        let ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options } = arguments;
        let cost = MatchCost::of(self.name(), self.work, &args, made)?.and(repeated);
        work::run(self.name(), &cost, allowance, (args, number_rows), |args, number_rows| {
            self.inner.invoke_with_args(ScalarFunctionArgs {
                args,
                arg_fields: arg_fields.clone(),
                number_rows,
                return_field: return_field.clone(),
                config_options: config_options.clone(),
            })
        })
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        self.inner.schema_name(arguments)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::new_from_impl(Bounded { inner, ..self.clone() }))
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if self.simplifies {
            return self.inner.simplify(arguments, context);
        }
        Ok(ExprSimplifyResult::Original(arguments))
    }

    fn preimage(&self, arguments: &[Expr], literal: &Expr, context: &SimplifyContext) -> Result<PreimageResult> {
        Ok(match self.inner.preimage(arguments, literal, context)? {
            // The year 1 begins before the first moment of nanoseconds. To DataFusion 55.2 its bounds are NULL, and a
            // comparison with it is never true.
            PreimageResult::Range { interval, .. } if interval.lower().is_null() || interval.upper().is_null() => {
                PreimageResult::None
            }
            preimage => preimage,
        })
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(&self, arguments: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(arguments)
    }

    fn struct_field_mapping(&self, literals: &[Option<datafusion::common::ScalarValue>]) -> Option<StructFieldMapping> {
        self.inner.struct_field_mapping(literals)
    }

    fn placement(&self, arguments: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(arguments)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        if self.simplifies { self.inner.evaluate_bounds(inputs) } else { Interval::make_unbounded(&DataType::Null) }
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        if self.simplifies { self.inner.output_ordering(inputs) } else { Ok(SortProperties::Unordered) }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = arguments.config_options.clone();
        let allowance = Allowance::of(&options);
        allowance.map_or(Ok(()), Allowance::check_time)?;
        let made = match self.growth {
            Some(growth) => measure::check(self.name(), growth, &arguments.args)?,
            None => Measure::Same(0),
        };
        let Some(allowance) = allowance else { return self.call(arguments, None, &made) };
        let rows = arguments.number_rows;
        let reserved = match self.growth {
            Some(growth) if growth.is_exact() => held::reserve(allowance, &made)?,
            _ => None,
        };
        let output = self.call(arguments, Some(allowance), &made)?;
        if !self.copies {
            return Ok(output);
        }
        held::count(self.name(), output, rows, allowance, reserved)
    }
}
