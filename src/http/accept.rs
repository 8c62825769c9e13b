//! The `Accept` header (RFC 9110 section 12.5.1): which format a client gets.

use crate::format::Format;
use crate::model::{Code, Error, Result};

/// One element of a header that lists names with a preference, like `gzip;q=0.5`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted<'a> {
    /// The name without its parameters.
    pub name: &'a str,
    /// The preference, 0 to 1,000; 0 excludes.
    pub quality: u16,
}

/// The elements of a comma list whose elements may carry `;q=`. Empty elements are skipped, and so
/// are those with a `q` that is not a number from 0 to 1. Other parameters are ignored.
pub fn weighted_list(header: &str) -> impl Iterator<Item = Weighted<'_>> {
    split_unquoted(header).filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight =
            parts.filter_map(|part| part.split_once('=')).find(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
        let quality = match weight {
            None => 1_000,
            Some((_, value)) => parse_quality(value.trim())?,
        };
        Some(Weighted { name, quality })
    })
}

/// Splits at the commas that stand outside of quotes.
fn split_unquoted(header: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    header.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
}

fn parse_quality(text: &str) -> Option<u16> {
    let plain = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f32 = if plain { text.parse().ok()? } else { return None };
    (value <= 1.0).then_some((value * 1_000.0).round() as u16)
}

/// How closely a media range names a format; the closest range decides about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Anything,
    Kind,
    Exact,
}

/// The format to answer with. No header, an empty one and wildcards mean csv; of several formats
/// the one of the highest `q` wins, then one that is named over one that a wildcard covers, then the
/// one named first.
///
/// # Errors
/// [`Code::InvalidHeader`] when nothing that is accepted can be written.
pub fn negotiate(accept: Option<&str>) -> Result<Format> {
    let Some(header) = accept.map(str::trim).filter(|header| !header.is_empty()) else {
        return Ok(Format::Csv);
    };
    let ranges: Vec<Weighted<'_>> = weighted_list(header).collect();
    let mut best: Option<(Format, Rank)> = None;
    for format in Format::ALL {
        let Some(rank) = rank(format, &ranges) else { continue };
        if best.as_ref().is_none_or(|(_, other)| rank > *other) {
            best = Some((format, rank));
        }
    }
    best.map(|(format, _)| format).ok_or_else(|| {
        let known = Format::ALL.map(Format::content_type).join(", ");
        let message = format!("Invalid header: accept type not support: {header}, only support: {known}");
        Error::new(Code::InvalidHeader, message)
    })
}

/// What decides between formats: quality, closeness, and the place in the list (earlier is larger).
type Rank = (u16, Closeness, std::cmp::Reverse<usize>);

/// The rank of a format by the closest range that covers it; `None` when none does, or one excludes it.
fn rank(format: Format, ranges: &[Weighted<'_>]) -> Option<Rank> {
    let covering = ranges.iter().enumerate().filter_map(|(place, range)| {
        let closeness = closeness(format, range.name)?;
        Some((closeness, range.quality, std::cmp::Reverse(place)))
    });
    let (closeness, quality, place) = covering.max()?;
    (quality > 0).then_some((quality, closeness, place))
}

fn closeness(format: Format, range: &str) -> Option<Closeness> {
    let (kind, subtype) = range.split_once('/')?;
    let (kind, subtype) = (kind.trim(), subtype.trim());
    if kind == "*" && subtype == "*" {
        return Some(Closeness::Anything);
    }
    if subtype == "*" {
        let text = kind.eq_ignore_ascii_case("text");
        let application = kind.eq_ignore_ascii_case("application");
        let binary = matches!(format, Format::ArrowStream | Format::Parquet);
        return (application || text && !binary).then_some(Closeness::Kind);
    }
    (Format::from_media_type(kind, subtype) == Some(format)).then_some(Closeness::Exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept() {
        let cases = [
            ("", Format::Csv),
            ("*/*", Format::Csv),
            ("application/*", Format::Csv),
            ("text/*", Format::Csv),
            ("application/csv", Format::Csv),
            ("text/TSV", Format::Tsv),
            ("APPLICATION/JSON", Format::Json),
            ("text/json; charset=utf-8", Format::Json),
            ("application/nd-json", Format::NdJson),
            ("application/x-ndjson", Format::NdJson),
            ("application/ndjson", Format::NdJson),
            ("application/jsonl", Format::NdJson),
            ("text/table", Format::Table),
            ("application/vnd.apache.arrow.stream", Format::ArrowStream),
            ("application/vnd.apache.parquet", Format::Parquet),
            ("application/json, text/plain, */*", Format::Json),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Csv),
            ("text/csv;q=0.2, application/json;q=0.9", Format::Json),
            ("text/csv;q=0, */*", Format::Json),
            ("text/plain, text/table;q=0.1", Format::Table),
            ("text/csv;q=nonsense, text/tsv", Format::Tsv),
        ];
        for (header, expected) in cases {
            assert_eq!(negotiate(Some(header)).unwrap(), expected, "{header}");
        }
        assert_eq!(negotiate(None).unwrap(), Format::Csv);
        for header in ["*", "text/plain", "json", "application/json;q=0", "image/*", "text/csv;q=2", ",;"] {
            let refused = negotiate(Some(header)).unwrap_err();
            assert_eq!(refused.code, Code::InvalidHeader);
            let start =
                format!("Invalid header: accept type not support: {header}, only support: text/csv, application/json,");
            assert!(refused.message.starts_with(&start), "{}", refused.message);
        }
    }
}
