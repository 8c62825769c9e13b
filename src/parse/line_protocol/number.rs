//! Numbers: `1i`, `1u`, and floats, correctly rounded.

use super::{
    fault::LineError,
    scan::{byte_at, is_line_end},
};

/// A number as its suffix types it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Double(f64),
    BigInt(i64),
    BigIntUnsigned(u64),
}

/// Decimal digits that always fit in an `i64`.
const SAFE_SIGNED_DIGITS: usize = 18;
/// Decimal digits that always fit in a `u64`.
const SAFE_UNSIGNED_DIGITS: usize = 19;
/// Every whole number up to this one is a double.
const LARGEST_EXACT_MANTISSA: u64 = 1 << 53;
/// Powers of ten that are doubles.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number at `at` and the byte after it, which ends the value.
#[inline]
pub(super) fn number(text: &str, at: usize) -> Result<(Number, usize), LineError> {
    let bytes = text.as_bytes();
    let negative = byte_at(bytes, at) == b'-';
    let first = at + usize::from(negative || byte_at(bytes, at) == b'+');
    let (whole, whole_end) = digits(bytes, first, 0);
    let count = whole_end - first;
    match byte_at(bytes, whole_end) {
        b'i' if count > 0 && ends_value(bytes, whole_end + 1) => {
            let value = if count <= SAFE_SIGNED_DIGITS {
                if negative { -whole.cast_signed() } else { whole.cast_signed() }
            } else {
                text[at..whole_end].parse().map_err(|_| out_of_range(at, "BIGINT (-2^63 to 2^63 - 1)"))?
            };
            Ok((Number::BigInt(value), whole_end + 1))
        }
        b'u' if count > 0 && ends_value(bytes, whole_end + 1) => {
            if negative {
                return Err(LineError::word(at, "an unsigned integer has no '-'"));
            }
            let value = if count <= SAFE_UNSIGNED_DIGITS {
                whole
            } else {
                text[first..whole_end].parse().map_err(|_| out_of_range(at, "BIGINT UNSIGNED (0 to 2^64 - 1)"))?
            };
            Ok((Number::BigIntUnsigned(value), whole_end + 1))
        }
        _ => double(text, Start { at, negative, first, whole, whole_end }),
    }
}

/// What is known of a number once its whole part is read.
struct Start {
    at: usize,
    negative: bool,
    /// Past the sign.
    first: usize,
    whole: u64,
    whole_end: usize,
}

#[inline]
fn double(text: &str, start: Start) -> Result<(Number, usize), LineError> {
    let bytes = text.as_bytes();
    let (mut mantissa, mut end, mut count) = (start.whole, start.whole_end, start.whole_end - start.first);
    let mut fraction = 0;
    if byte_at(bytes, end) == b'.' {
        let (value, fraction_end) = digits(bytes, end + 1, mantissa);
        fraction = fraction_end - end - 1;
        mantissa = value;
        end = fraction_end;
        count += fraction;
    }
    let mut exponent = Some(0);
    if count > 0 && matches!(byte_at(bytes, end), b'e' | b'E') {
        (exponent, end) = exponent_after(bytes, end + 1);
    }
    if count == 0 || !ends_value(bytes, end) {
        return Err(not_a_value(text, start.at));
    }
    let exact = if count <= SAFE_UNSIGNED_DIGITS && mantissa <= LARGEST_EXACT_MANTISSA {
        exponent.and_then(|exponent| scale(mantissa, exponent - fraction.cast_signed()))
    } else {
        None
    };
    let value = match exact {
        // Not -value: there is one zero.
        Some(value) if start.negative => 0.0 - value,
        Some(value) => value,
        None => rounded(text, start.at, end)?,
    };
    Ok((Number::Double(value), end))
}

/// Clinger's fast path: both operands are exact, so the one rounding of the operation is right.
#[inline]
fn scale(mantissa: u64, exponent: isize) -> Option<f64> {
    let power = *EXACT_POWERS.get(exponent.unsigned_abs())?;
    Some(if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power })
}

fn rounded(text: &str, at: usize, end: usize) -> Result<f64, LineError> {
    match text[at..end].parse::<f64>() {
        // Of both zeros the sum is the positive one.
        Ok(value) if value.is_finite() => Ok(value + 0.0),
        Ok(_) => Err(out_of_range(at, "DOUBLE")),
        Err(_) => Err(not_a_value(text, at)),
    }
}

/// Sign and digits of an exponent; its value only where it is small. Without a digit the end is
/// where one should be, at a byte that ends no value or, at the end of one, before it.
fn exponent_after(bytes: &[u8], at: usize) -> (Option<isize>, usize) {
    let sign = byte_at(bytes, at);
    let first = at + usize::from(sign == b'-' || sign == b'+');
    let (value, end) = digits(bytes, first, 0);
    if end == first {
        return (None, at - 1);
    }
    let small = if end - first <= 4 { isize::try_from(value).ok() } else { None };
    (small.map(|value| if sign == b'-' { -value } else { value }), end)
}

/// The digits at `at`, continuing `value` (wrapping), and where they end.
#[inline]
pub(super) fn digits(bytes: &[u8], mut at: usize, mut value: u64) -> (u64, usize) {
    loop {
        let word = eight_bytes(bytes, at) ^ 0x3030_3030_3030_3030;
        // A byte above 9 sets its high bit; no byte's sum carries into the next.
        let others = (((word & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
        if others == 0 {
            value = value.wrapping_mul(100_000_000).wrapping_add(eight_digits(word));
            at += 8;
            continue;
        }
        let count = others.trailing_zeros() as usize / 8;
        if count > 0 {
            let tail = eight_digits(word << (64 - 8 * count));
            value = value.wrapping_mul(SMALL_POWERS[count]).wrapping_add(tail);
        }
        return (value, at + count);
    }
}

const SMALL_POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Eight bytes as a little-endian word, zeros past the end.
#[inline]
fn eight_bytes(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => last_bytes(bytes, at),
    }
}

#[cold]
fn last_bytes(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Eight bytes of 0 to 9, the first one lowest, as a number: pairs, then fours, then all eight.
#[inline]
fn eight_digits(word: u64) -> u64 {
    let pairs = word.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// Whether a field's value may end before this byte.
#[inline]
pub(super) fn ends_value(bytes: &[u8], at: usize) -> bool {
    let byte = byte_at(bytes, at);
    byte == b',' || byte == b' ' || is_line_end(byte)
}

#[cold]
fn out_of_range(at: usize, what: &'static str) -> LineError {
    LineError::word(at, format!("the number does not fit in {what}"))
}

#[cold]
fn not_a_value(text: &str, at: usize) -> LineError {
    let word = text[at..].trim_start_matches(['-', '+']).get(..3).unwrap_or_default();
    if word.eq_ignore_ascii_case("nan") || word.eq_ignore_ascii_case("inf") {
        return LineError::word(at, "NaN and infinities are not supported as field values");
    }
    LineError::word(at, "not a value of a field (like 1.5, 1i, 1u, true, \"text\")")
}
