//! What functions make counts in the memory pool for as long as it is there, and constants for as long
//! as their statement.

use datafusion::{
    arrow::{
        array::{Array, ArrayData, ArrayRef, make_array},
        buffer::Buffer,
    },
    common::{Result, exec_err},
    execution::memory_pool::MemoryReservation,
    logical_expr::ColumnarValue,
};

use super::{CALL_BYTES, weigh::Measure};
use crate::query::allowance::Allowance;

/// Columns below this size are not counted: most are, and there are not many of them at a time.
const COUNTED_BYTES: usize = 8 << 20;
/// Values of this size are not copied into each row of a batch without looking how many there are.
pub(super) const LONG_BYTES: usize = 64 << 10;

/// Memory for what a call is about to make; `None` if it is little.
///
/// Errors: the pool has no more.
pub(super) fn reserve(allowance: &Allowance, made: &Measure) -> Result<Option<MemoryReservation>> {
    let bytes = (0..made.rows()).fold(0_u64, |sum, row| sum.saturating_add(made.at(row)));
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes < COUNTED_BYTES { Ok(None) } else { allowance.reserve(bytes).map(Some) }
}

/// Counts what a call made: a constant of a plan, or a column.
///
/// Errors: there is no memory for it.
pub(super) fn count(
    function: &str,
    output: ColumnarValue,
    rows: usize,
    allowance: &Allowance,
    reserved: Option<MemoryReservation>,
) -> Result<ColumnarValue> {
    match output {
        ColumnarValue::Scalar(value) => {
            let bytes = value.size();
            if bytes < LONG_BYTES {
                return Ok(ColumnarValue::Scalar(value));
            }
            allowance.fold(function, bytes)?;
            if rows <= 1 {
                return Ok(ColumnarValue::Scalar(value));
            }
            if bytes.saturating_mul(rows) as u64 > CALL_BYTES {
                return exec_err!("{function} would put {bytes} bytes into {rows} rows, the limit is {CALL_BYTES}");
            }
            column(value.to_array_of_size(rows)?, allowance, reserved).map(ColumnarValue::Array)
        }
        ColumnarValue::Array(array) => column(array, allowance, reserved).map(ColumnarValue::Array),
    }
}

fn column(array: ArrayRef, allowance: &Allowance, reserved: Option<MemoryReservation>) -> Result<ArrayRef> {
    let bytes = array.get_array_memory_size();
    if bytes < COUNTED_BYTES {
        return Ok(array);
    }
    allowance.fold("a function", bytes)?;
    let reservation = match reserved {
        Some(reservation) => {
            reservation.try_resize(bytes)?;
            reservation
        }
        None => allowance.reserve(bytes)?,
    };
    Ok(make_array(holding(array.to_data(), reservation)?))
}

/// The same data, whose largest buffer keeps the reservation until the last column that uses it is gone.
fn holding(data: ArrayData, reservation: MemoryReservation) -> Result<ArrayData> {
    let own = data.buffers().iter().map(Buffer::len).max().unwrap_or_default();
    let children = data.child_data().iter().enumerate();
    let child = children.max_by_key(|(_, child)| child.get_buffer_memory_size());
    match child {
        Some((place, child)) if child.get_buffer_memory_size() > own => {
            let mut children = data.child_data().to_vec();
            children[place] = holding(child.clone(), reservation)?;
            Ok(data.into_builder().child_data(children).build()?)
        }
        _ => {
            let mut buffers = data.buffers().to_vec();
            if let Some(largest) = buffers.iter_mut().max_by_key(|buffer| buffer.len()) {
                let held = Held { buffer: largest.clone(), _reservation: reservation };
                *largest = Buffer::from(bytes::Bytes::from_owner(held));
            }
            Ok(data.into_builder().buffers(buffers).build()?)
        }
    }
}

/// A buffer and the memory that is reserved for it.
struct Held {
    buffer: Buffer,
    _reservation: MemoryReservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}
