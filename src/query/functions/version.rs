//! `version()`: of SiltDB. That of DataFusion, and the machine it was built for, are nobody's business.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    common::ScalarValue,
    logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf},
};

pub(super) const NAME: &str = "version";

pub(super) fn version() -> Arc<ScalarUDF> {
    let text = concat!("SiltDB ", env!("CARGO_PKG_VERSION"));
    let answer = ColumnarValue::Scalar(ScalarValue::Utf8(Some(text.to_owned())));
    let answer = Arc::new(move |_: &[ColumnarValue]| Ok(answer.clone()));
    Arc::new(create_udf(NAME, Vec::new(), DataType::Utf8, Volatility::Immutable, answer))
}
