//! Content codings (RFC 9110 section 8.4): which one a client gets, and the codecs.
//!
//! In: `Accept-Encoding` and `Content-Encoding` headers, bytes. Out: a [`Coding`], a [`ContentEncoder`]
//! that can be flushed after every batch of rows, bodies decoded within a limit. Invariants: one
//! encoder makes one stream; a body is never decoded past its limit. Never: more than one layer.
//!
//! `deflate` is sent in the zlib wrapper, as the RFC says; CnosDB sends it bare. Both are read.

mod compress;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use encode::ContentEncoder;

use super::accept::weighted_list;
use crate::model::{Code, Error, Result};

/// A way to write a body's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    /// LZW, as compress(1) writes it.
    Compress,
}

impl Coding {
    /// What a client that likes several equally gets first.
    const PREFERENCE: [Coding; 6] =
        [Coding::Gzip, Coding::Zstd, Coding::Brotli, Coding::Deflate, Coding::Compress, Coding::Identity];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Compress => "compress",
        }
    }

    /// The coding of a name in any case, with the old `x-` forms.
    pub fn from_name(name: &str) -> Option<Coding> {
        match name.to_ascii_lowercase().as_str() {
            "identity" => Some(Coding::Identity),
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            "br" => Some(Coding::Brotli),
            "zstd" => Some(Coding::Zstd),
            "compress" | "x-compress" => Some(Coding::Compress),
            _ => None,
        }
    }
}

/// The coding to answer with (RFC 9110 section 12.5.3). No header and names we do not know mean
/// identity.
///
/// # Errors
/// [`Code::InvalidHeader`] when identity is excluded and nothing else that we know is accepted.
pub fn negotiate(accept_encoding: Option<&str>) -> Result<Coding> {
    let Some(header) = accept_encoding else { return Ok(Coding::Identity) };
    let mut named: Vec<(Coding, u16)> = Vec::new();
    let mut others = None;
    for element in weighted_list(header) {
        match (Coding::from_name(element.name), element.name) {
            (Some(coding), _) => named.push((coding, element.quality)),
            (None, "*") => others = Some(element.quality),
            (None, _) => {}
        }
    }
    let quality = |coding: Coding| {
        let explicit = named.iter().filter(|(other, _)| *other == coding).map(|(_, quality)| *quality).max();
        match (explicit.or(others), coding) {
            (Some(quality), _) => quality,
            // Always acceptable unless excluded, but nothing that was asked for.
            (None, Coding::Identity) => 1,
            (None, _) => 0,
        }
    };
    let best = Coding::PREFERENCE.into_iter().rev().max_by_key(|coding| quality(*coding));
    best.filter(|coding| quality(*coding) > 0).ok_or_else(|| {
        let message = format!(
            "Invalid header: accept encoding not support: {header}, \
             only support: gzip, deflate, br, zstd, compress, identity"
        );
        Error::new(Code::InvalidHeader, message)
    })
}

/// The coding of a request's body.
///
/// # Errors
/// [`Code::InvalidHeader`] for an unknown name and for more than one layer.
pub fn of_request(content_encoding: Option<&str>) -> Result<Coding> {
    let Some(header) = content_encoding else { return Ok(Coding::Identity) };
    let refuse = || {
        let message = format!(
            "Invalid header: content encoding not support: {header}, \
             only support one of: gzip, deflate, br, zstd, compress, identity"
        );
        Error::new(Code::InvalidHeader, message)
    };
    let names = header.split(',').map(str::trim).filter(|name| !name.is_empty());
    let codings: Option<Vec<Coding>> = names.map(Coding::from_name).collect();
    let mut layers = codings.ok_or_else(refuse)?;
    layers.retain(|coding| *coding != Coding::Identity);
    match layers.as_slice() {
        [] => Ok(Coding::Identity),
        [coding] => Ok(*coding),
        _ => Err(refuse()),
    }
}
