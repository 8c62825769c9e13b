//! Batches of rows in pieces of few bytes, however wide a row is.

use std::{ops::Range, sync::Arc};

use datafusion::arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::DataType,
};

use super::memory::weight;

/// About the bytes of a piece. A row is never cut, so one of more bytes is a piece of its own.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// The pieces of a batch, in order. Nothing is copied of a batch that is small enough.
pub(super) fn pieces(batch: RecordBatch, bytes: usize) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let step = match bytes.div_ceil(PIECE_BYTES) {
        0 | 1 => rows,
        pieces => rows / pieces,
    };
    let step = step.max(1);
    // Also of a batch without rows there is one.
    let count = rows.div_ceil(step).max(1);
    (0..count).map(move |piece| match count {
        1 => batch.clone(),
        _ => cut(&batch, piece * step..rows.min((piece + 1) * step)),
    })
}

/// Some rows of a batch. Views are copied: what is written of them is all of the text that they share.
fn cut(batch: &RecordBatch, rows: Range<usize>) -> RecordBatch {
    let cut = batch.slice(rows.start, rows.len());
    let columns = cut.columns().iter().map(|column| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => column.clone(),
        }
    });
    // The same columns in the same shape: were that not taken, the slice is as right.
    let columns = columns.collect();
    RecordBatch::try_new(cut.schema(), columns).unwrap_or(cut)
}

/// The bytes that a batch holds. Of one that is a slice of something larger, only those of its own rows: the
/// rest is another's.
pub(super) fn bytes_of(batch: &RecordBatch) -> usize {
    let own = weight::of_batch(batch);
    // Builders double what they need.
    let allocated = batch.get_array_memory_size();
    if allocated < own.saturating_mul(3) { allocated.max(own) } else { own }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{Int64Array, ListArray, StringArray, StringViewArray},
        datatypes::Int64Type,
    };

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn a_slice_weighs_what_its_rows_do() {
        let text = "x".repeat(100);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text.as_str(); 1_000]));
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![text.as_str(); 1_000]));
        let lists = (0..1_000).map(|_| Some((0..10).map(Some)));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        for (array, each) in [(texts, 104), (views, 116), (lists, 84)] {
            let all = batch(vec![("a", array)]);
            for rows in [1, 10, 100] {
                let bytes = bytes_of(&all.slice(1_000 - rows, rows));
                assert!((each * rows..each * rows + 16 + rows).contains(&bytes), "{bytes} of {rows}, {each} each");
            }
        }
    }

    #[test]
    fn pieces_are_small_and_all_there() {
        let text = "x".repeat(3_000);
        let views: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..8_192).map(|row| format!("{row}{text}"))));
        let whole = batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..8_192))), ("v", views)]);
        let bytes = bytes_of(&whole);
        let cut: Vec<RecordBatch> = pieces(whole.clone(), bytes).collect();
        assert!(cut.len() >= 24, "{}", cut.len());
        for piece in &cut {
            assert!(piece.get_array_memory_size() <= 2 * PIECE_BYTES, "{}", piece.get_array_memory_size());
        }
        let again = datafusion::arrow::compute::concat_batches(&whole.schema(), &cut).unwrap();
        assert_eq!(again, whole);
    }

    #[test]
    fn small_batches_and_long_rows_stay_as_they_are() {
        let small = batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..8_192)))]);
        assert_eq!(pieces(small.clone(), bytes_of(&small)).count(), 1);
        let none = small.slice(0, 0);
        assert_eq!(pieces(none.clone(), bytes_of(&none)).collect::<Vec<_>>(), [none]);
        let long = "x".repeat(PIECE_BYTES * 2);
        let rows = batch(vec![("t", Arc::new(StringArray::from(vec![long.as_str(); 3])))]);
        let cut: Vec<usize> = pieces(rows.clone(), bytes_of(&rows)).map(|piece| piece.num_rows()).collect();
        assert_eq!(cut, [1, 1, 1]);
    }
}
