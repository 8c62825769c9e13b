//! Numbers as text: in the fewest digits that keep them, floats with a point or an exponent.

use serde::Serialize;

use super::unwritable;
use crate::model::Result;

/// Appends a whole number.
pub fn push_whole(out: &mut Vec<u8>, value: impl Serialize) -> Result<()> {
    push_json(out, value)
}

/// Appends a finite float: `1.0`, `65.5`, `1e21`, `1.5e-7`. `value` is written; it is `magnitude` or
/// its opposite, perhaps of less precision.
pub fn push_float(out: &mut Vec<u8>, magnitude: f64, value: impl Serialize) -> Result<()> {
    let start = out.len();
    push_json(out, value)?;
    // The writer says 1e+21.
    if magnitude >= 1e15
        && let Some(place) = out[start..].iter().position(|byte| *byte == b'+')
    {
        out.remove(start + place);
    }
    Ok(())
}

/// Appends a value in JSON's notation.
pub fn push_json(out: &mut Vec<u8>, value: impl Serialize) -> Result<()> {
    serde_json::to_writer(out, &value)
        .map_err(|error| unwritable(arrow::error::ArrowError::JsonError(error.to_string())))
}
