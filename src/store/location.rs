//! Where a store is, as its URL says it.

use std::path::PathBuf;

use url::Url;

use crate::model::{Code, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Memory,
    Folder(PathBuf),
    S3(BucketLocation),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BucketLocation {
    pub name: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

impl Location {
    /// Parses `memory:`, `s3://bucket/prefix`, `file:` URLs and plain paths.
    ///
    /// Errors: [`Code::BadRequest`]. Messages never repeat the URL, for it may hold what does not
    /// belong there: a password.
    pub(super) fn parse(url: &str) -> Result<Location> {
        let url = url.trim();
        if url.is_empty() {
            return Err(bad("the store's URL is empty: give a folder, s3://bucket/prefix, or memory:"));
        }
        let (scheme, rest) = match url.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => return Ok(Location::Folder(PathBuf::from(url))),
        };
        match scheme.as_str() {
            "memory" if rest.trim_matches('/').is_empty() => Ok(Location::Memory),
            "memory" => Err(bad("a store in memory has no path: write memory:")),
            "file" => folder(url, rest),
            "s3" => bucket(rest),
            _ => Err(bad(format!("stores of kind {scheme}: are not supported; use s3://, file: or memory:"))),
        }
    }
}

/// A scheme has two letters or more, so that a file named `a:b` and a drive letter are paths.
fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|each| each.is_ascii_alphanumeric() || "+-.".contains(each))
}

fn folder(url: &str, rest: &str) -> Result<Location> {
    if !rest.starts_with('/') {
        // file:data, as people write it, though no URL has a relative path.
        return match rest {
            "" => Err(bad("the file: URL has no path")),
            path => Ok(Location::Folder(PathBuf::from(path))),
        };
    }
    let parsed = Url::parse(url).map_err(|error| bad(format!("the file: URL is malformed: {error}")))?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(bad("the file: URL has a query or a fragment: write ? as %3F and # as %23"));
    }
    let path = parsed.to_file_path();
    path.map(Location::Folder).map_err(|()| bad("the file: URL names another host; use file:///path"))
}

fn bucket(rest: &str) -> Result<Location> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(bad("an S3 URL begins with s3://"));
    };
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.contains('@') {
        return Err(bad("the S3 URL holds credentials: pass them by the AWS variables or a profile"));
    }
    if name.contains(':') {
        return Err(bad("the S3 URL holds a port: name a server by AWS_ENDPOINT_URL_S3"));
    }
    check_bucket(name)?;
    if prefix.contains(['?', '#']) {
        return Err(bad("the S3 URL has a query or a fragment: settings come from the AWS variables"));
    }
    let prefix = prefix.trim_matches('/');
    if !prefix.is_empty() && !prefix.split('/').all(is_plain_segment) {
        return Err(bad("the prefix in the S3 URL has an empty part, . or .., a backslash or a control character"));
    }
    Ok(Location::S3(BucketLocation { name: name.to_owned(), prefix: prefix.to_owned() }))
}

/// The rules for names of general purpose buckets, as far as they keep a URL well formed.
fn check_bucket(name: &str) -> Result<()> {
    let allowed = |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '.' || each == '-';
    let ends = |each: char| each.is_ascii_lowercase() || each.is_ascii_digit();
    if name.is_empty() {
        return Err(bad("the S3 URL has no bucket: write s3://bucket/prefix"));
    }
    let well_formed = (3..=63).contains(&name.len())
        && name.chars().all(allowed)
        && name.starts_with(ends)
        && name.ends_with(ends)
        && !name.contains("..");
    if !well_formed {
        return Err(bad(
            "the bucket in the S3 URL is not a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens",
        ));
    }
    if name.ends_with("--x-s3") {
        // Their listings are not in the order of keys and know no start-after.
        return Err(bad("directory buckets (S3 Express One Zone) are not supported: use a general purpose bucket"));
    }
    Ok(())
}

/// Whether text can stand between two slashes of an object's path, on any store.
pub(super) fn is_plain_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.contains(|each: char| each.is_control() || each == '\\')
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(name: &str, prefix: &str) -> Option<Location> {
        Some(Location::S3(BucketLocation { name: name.into(), prefix: prefix.into() }))
    }

    fn path(path: &str) -> Option<Location> {
        Some(Location::Folder(path.into()))
    }

    #[test]
    fn urls_name_stores() {
        let cases = [
            ("memory:", Some(Location::Memory)),
            ("memory://", Some(Location::Memory)),
            ("MEMORY:", Some(Location::Memory)),
            ("memory:x", None),
            ("", None),
            ("   ", None),
            ("data", path("data")),
            ("./data", path("./data")),
            ("/var/lib/silt db", path("/var/lib/silt db")),
            ("a:b", path("a:b")),
            ("./s3://x", path("./s3://x")),
            ("file:///var/a%20b", path("/var/a b")),
            ("file:/var/a", path("/var/a")),
            ("file:data", path("data")),
            ("file:", None),
            ("file://host/a", None),
            ("file:///a?b", None),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/", s3("bucket", "")),
            (" s3://bucket//a/b// ", s3("bucket", "a/b")),
            ("S3://bucket/a", s3("bucket", "a")),
            ("s3://bucket/a//b", None),
            ("s3://bucket/a/../b", None),
            ("s3://bucket/a?region=x", None),
            ("s3://", None),
            ("s3:bucket", None),
            ("s3:///prefix", None),
            ("s3://ab", None),
            ("s3://Bucket", None),
            ("s3://buc_ket", None),
            ("s3://-bucket", None),
            ("s3://bu..cket", None),
            ("s3://bucket:9000/a", None),
            ("s3://fast--use1-az4--x-s3/a", None),
            ("gs://bucket", None),
            ("http://host/bucket", None),
        ];
        for (url, expected) in cases {
            assert_eq!(Location::parse(url).ok(), expected, "{url:?}");
        }
    }

    #[test]
    fn a_secret_in_a_url_is_not_repeated() {
        for url in ["s3://key:hunter2@bucket/a", "s3://bucket/a?secret=hunter2", "ftp://me:hunter2@host/"] {
            let error = Location::parse(url).unwrap_err();
            assert_eq!(error.code, Code::BadRequest);
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }
}
