//! Functions that put any moment into the ticks of a column, so that a comparison with it can be told
//! from a comparison of ticks: the next tick before, the next one after, and whether there is none.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, BooleanArray, Int64Array},
        compute::cast,
        datatypes::{DataType, TimeUnit},
    },
    common::{DataFusionError, Result, ScalarValue},
    logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

use super::moment::{moments, tick};

/// What is asked of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// The last tick that is not after it, or the first of all.
    Floor,
    /// The first tick that is not before it, or the last of all.
    Ceiling,
    /// Whether it is before the first tick of all.
    TooEarly,
    /// Whether it is after the last tick of all.
    TooLate,
}

/// The call of such a function. `unit` is that of the ticks.
pub(super) fn ask(question: Question, unit: TimeUnit, moment: Expr) -> Expr {
    let signature = Signature::any(1, Volatility::Immutable);
    ScalarUDF::new_from_impl(Bound { question, unit, signature }).call(vec![moment])
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Bound {
    question: Question,
    unit: TimeUnit,
    signature: Signature,
}

impl Bound {
    fn answer(&self, moments: &[Option<i128>]) -> Result<ArrayRef> {
        let tick = tick(self.unit);
        let clamped = |ticks: i128| ticks.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let floor = |moment: i128| moment.div_euclid(tick);
        let ceiling = |moment: i128| -(-moment).div_euclid(tick);
        let ticks = |of: &dyn Fn(i128) -> i128| {
            let ticks: Int64Array = moments.iter().map(|moment| moment.map(|moment| clamped(of(moment)))).collect();
            cast(&ticks, &self.returned())
        };
        let whether = |of: &dyn Fn(i128) -> bool| -> ArrayRef {
            Arc::new(moments.iter().map(|moment| moment.map(of)).collect::<BooleanArray>())
        };
        Ok(match self.question {
            Question::Floor => ticks(&floor)?,
            Question::Ceiling => ticks(&ceiling)?,
            Question::TooEarly => whether(&|moment| floor(moment) < i64::MIN.into()),
            Question::TooLate => whether(&|moment| ceiling(moment) > i64::MAX.into()),
        })
    }

    fn returned(&self) -> DataType {
        match self.question {
            Question::Floor | Question::Ceiling => DataType::Timestamp(self.unit, None),
            Question::TooEarly | Question::TooLate => DataType::Boolean,
        }
    }
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        match self.question {
            Question::Floor => "tick_not_after",
            Question::Ceiling => "tick_not_before",
            Question::TooEarly => "before_all_ticks",
            Question::TooLate => "after_all_ticks",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returned())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match arguments.args.as_slice() {
            [ColumnarValue::Array(values)] => Ok(ColumnarValue::Array(self.answer(&moments(values)?)?)),
            [ColumnarValue::Scalar(value)] => {
                let answer = self.answer(&moments(&value.to_array()?)?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?))
            }
            _ => Err(DataFusionError::Internal(format!("{} takes one argument", self.name()))),
        }
    }
}
