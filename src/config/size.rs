//! Sizes in bytes, as people write them.

/// Units of sizes, largest first.
const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes: `512MiB`, `16M` (the same units), `1GB` (powers of ten), `1048576`.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    let digits = trimmed.find(|character: char| !character.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err("it must be a size such as 512MiB, 16M or 1048576".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it must be a size such as 512MiB, 16M or 1048576".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "it is too large".to_owned())
}

/// The number in the largest unit that leaves no fraction.
pub(super) fn render(bytes: u64) -> String {
    match UNITS.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("512MiB", 512 << 20), ("16M", 16 << 20), ("1 gb", 1_000_000_000), ("10b", 10), ("2KB", 2_000)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5M", "99999999999T", "1 potato"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(render(32 << 20), "32MiB");
        assert_eq!(render(1_000), "1000");
    }
}
