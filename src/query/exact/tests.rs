//! Sums and operators at the ends of 64 bits.

use std::sync::Arc;

use datafusion::{
    arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array},
    arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type},
    logical_expr::{EmitTo, GroupsAccumulator},
};

use super::{
    groups::GroupSums,
    wide::{Wide, sum_of},
};

const MANY: [i64; 7] = [i64::MAX, i64::MAX, i64::MIN, -1, 0, 1, 1 << 32];

#[test]
fn sums_by_halves_are_exact() {
    for length in 0..MANY.len() {
        let signed = &MANY[..length];
        assert_eq!(Int64Type::sum(signed), signed.iter().map(|value| i128::from(*value)).sum::<i128>());
        let unsigned: Vec<u64> = signed.iter().map(|value| *value as u64).collect();
        assert_eq!(UInt64Type::sum(&unsigned), unsigned.iter().map(|value| i128::from(*value)).sum::<i128>());
    }
    let nulls = Int64Array::from(vec![Some(1), None, Some(i64::MAX), Some(5), None]);
    assert_eq!(sum_of(&nulls), i128::from(i64::MAX) + 6);
    // Of a slice, whose values under NULL are not zero.
    let hidden = Int64Array::new(vec![7, 8, 9].into(), Some(vec![true, false, true].into()));
    assert_eq!(sum_of(&hidden.slice(1, 2)), 9);
}

#[test]
fn groups_hold_what_64_bits_do_not_until_they_are_asked() {
    let values: ArrayRef =
        Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MAX), Some(i64::MIN), None, Some(3)]));
    let mut parts = GroupSums::<Int64Type>::new(DataType::Int64);
    parts.update_batch(&[values], &[0, 0, 1, 2, 1], None, 3).unwrap();
    let states = parts.state(EmitTo::All).unwrap();
    assert_eq!(states[0].as_primitive::<Decimal128Type>().value(0), 2 * i128::from(i64::MAX));
    assert!(states[0].is_null(2));
    let mut whole = GroupSums::<Int64Type>::new(DataType::Int64);
    whole.merge_batch(&states, &[0, 1, 2], 3).unwrap();
    let error = whole.evaluate(EmitTo::All).unwrap_err().to_string();
    assert!(error.contains("18446744073709551614") && error.contains("DECIMAL"), "{error}");
    // What brings the sum back into the range makes it right, whatever came first.
    let back: ArrayRef = Arc::new(Int64Array::from(vec![-i64::MAX]));
    let mut whole = GroupSums::<Int64Type>::new(DataType::Int64);
    whole.merge_batch(&states, &[0, 1, 2], 3).unwrap();
    whole.update_batch(&[back], &[0], None, 3).unwrap();
    let sums = whole.evaluate(EmitTo::All).unwrap();
    let sums: Vec<Option<i64>> = sums.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(sums, [Some(i64::MAX), Some(i64::MIN + 3), None]);
}

#[test]
fn filtered_values_become_no_state() {
    let values: ArrayRef = Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(2)]));
    let filter = vec![Some(true), Some(true), None].into();
    let states = GroupSums::<UInt64Type>::new(DataType::UInt64).convert_to_state(&[values], Some(&filter)).unwrap();
    let states: Vec<Option<i128>> = states[0].as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(states, [Some(u64::MAX.into()), None, None]);
}
