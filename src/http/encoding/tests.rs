use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::*;

const ALL: [Coding; 6] = Coding::PREFERENCE;

/// Repeatable noise (xorshift, Marsaglia 2003).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn inputs() -> Vec<Vec<u8>> {
    let rows: String =
        (0..60_000).map(|row| format!("cpu,host=h{} load={}.5 {}\n", row % 17, row % 101, row)).collect();
    let mut mixed = rows.clone().into_bytes();
    mixed.extend(noise(300_000));
    mixed.extend(rows.as_bytes());
    vec![
        Vec::new(),
        b"a".to_vec(),
        b"aaaaaaaa".to_vec(),
        vec![0; 3_000_000],
        (0..=255).collect(),
        noise(1),
        noise(257),
        noise(100_000),
        rows.into_bytes(),
        mixed,
    ]
}

fn encode(coding: Coding, data: &[u8], chunk: usize, flush: bool) -> Vec<u8> {
    let mut encoder = ContentEncoder::new(coding).unwrap();
    let mut out = Vec::new();
    for part in data.chunks(chunk) {
        encoder.write(part, &mut out).unwrap();
        if flush {
            encoder.flush(&mut out).unwrap();
        }
    }
    encoder.finish(&mut out).unwrap();
    out
}

#[test]
fn what_is_encoded_decodes() {
    for coding in ALL {
        for data in inputs() {
            for (chunk, flush) in [(usize::MAX, false), (8_191, true)] {
                let encoded = encode(coding, &data, chunk.min(data.len().max(1)), flush);
                let ceiling = data.len().max(1);
                let decoded = decode(coding, &encoded, ceiling);
                if data.len() > 1 << 20 && data.len() > encoded.len() * 200 {
                    assert_eq!(decoded.unwrap_err().code, Code::BodyTooLarge);
                } else {
                    assert!(decoded.unwrap() == data, "{coding:?} {} {chunk}", data.len());
                }
            }
        }
    }
}

/// Runs a program over data.
fn through(program: &str, argument: &str, data: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let data = data.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&data));
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success(), "{program}");
    out
}

#[test]
fn gzip_reads_what_we_compress() {
    for coding in [Coding::Compress, Coding::Gzip] {
        for data in inputs() {
            for (chunk, flush) in [(usize::MAX, false), (1, false), (50, true), (8_191, true)] {
                if chunk < 100 && data.len() > 200_000 {
                    continue;
                }
                let encoded = encode(coding, &data, chunk.min(data.len().max(1)), flush);
                assert!(through("gzip", "-dc", &encoded) == data, "{coding:?} {} {chunk} {flush}", data.len());
            }
        }
    }
}

#[test]
fn a_flush_makes_all_rows_readable() {
    for coding in ALL {
        let mut encoder = ContentEncoder::new(coding).unwrap();
        let mut out = Vec::new();
        for part in [b"first\n".as_slice(), b"second\n"] {
            encoder.write(part, &mut out).unwrap();
            encoder.flush(&mut out).unwrap();
        }
        let text = match coding {
            Coding::Identity => out.clone(),
            Coding::Gzip => partial(flate2::read::GzDecoder::new(out.as_slice())),
            Coding::Deflate => partial(flate2::read::ZlibDecoder::new(out.as_slice())),
            Coding::Brotli => partial(brotli::Decompressor::new(out.as_slice(), 64)),
            Coding::Zstd => partial(zstd::stream::read::Decoder::new(out.as_slice()).unwrap()),
            Coding::Compress => decode(coding, &out, 100).unwrap(),
        };
        assert_eq!(text, b"first\nsecond\n", "{coding:?}");
    }
}

/// Reads until the end or an error.
fn partial(mut reader: impl Read) -> Vec<u8> {
    let (mut out, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = reader.read(&mut byte) {
        out.push(byte[0]);
    }
    out
}

#[test]
fn deflate_is_read_bare_too() {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(b"m f=1").unwrap();
    assert_eq!(decode(Coding::Deflate, &writer.finish().unwrap(), 100).unwrap(), b"m f=1");
}

#[test]
fn gzip_members_follow_each_other() {
    let mut both = encode(Coding::Gzip, b"one\n", 4, false);
    both.extend(encode(Coding::Gzip, b"two\n", 4, false));
    assert_eq!(decode(Coding::Gzip, &both, 100).unwrap(), b"one\ntwo\n");
}

#[test]
fn broken_bodies() {
    let data = inputs()[8].clone();
    for coding in &ALL[..5] {
        let encoded = encode(*coding, &data, data.len(), false);
        let mut spoilt = encoded.clone();
        spoilt[0] ^= 0x55;
        let longer = [encoded.as_slice(), b"garbage"].concat();
        let mut cases = vec![spoilt, b"plain text".to_vec(), Vec::new()];
        if *coding != Coding::Compress {
            // .Z has no end of its own: what follows or lacks cannot be told from data.
            cases.push(encoded[..encoded.len() / 2].to_vec());
            cases.push(longer);
        }
        for (place, case) in cases.iter().enumerate() {
            match decode(*coding, case, 1 << 30) {
                Err(error) => assert_eq!(error.code, Code::BodyDoesNotDecode, "{coding:?} {place}: {error}"),
                Ok(decoded) => panic!("{coding:?} {place} decoded to {} bytes", decoded.len()),
            }
        }
    }
    assert!(decompress_never_panics());
}

fn decompress_never_panics() -> bool {
    let valid = encode(Coding::Compress, &inputs()[8][..50_000], 50_000, false);
    let noise = noise(4_000);
    noise.chunks(4).all(|chunk| {
        let mut spoilt = valid.clone();
        let place = usize::from(chunk[0]) << 8 | usize::from(chunk[1]);
        let length = spoilt.len();
        spoilt[place % length] ^= chunk[2] | 1;
        decode(Coding::Compress, &spoilt, 200_000).map_or_else(|error| !error.message.is_empty(), |_| true)
    })
}

#[test]
fn bombs_and_limits() {
    let zeros = vec![0; 4 << 20];
    for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli, Coding::Deflate, Coding::Compress] {
        let bomb = encode(coding, &zeros, zeros.len(), false);
        assert_eq!(decode(coding, &bomb, 1 << 30).unwrap_err().code, Code::BodyTooLarge, "{coding:?}");
        let small = encode(coding, b"0123456789", 10, false);
        assert_eq!(decode(coding, &small, 10).unwrap(), b"0123456789");
        assert_eq!(decode(coding, &small, 9).unwrap_err().code, Code::BodyTooLarge);
    }
    assert_eq!(decode(Coding::Identity, b"0123456789", 9).unwrap_err().code, Code::BodyTooLarge);
}

#[test]
fn accept_encoding() {
    let cases = [
        (None, Coding::Identity),
        (Some(""), Coding::Identity),
        (Some("gzip"), Coding::Gzip),
        (Some("deflate, gzip, br, zstd"), Coding::Gzip),
        (Some("gzip, deflate, br"), Coding::Gzip),
        (Some("br;q=1.0, gzip;q=0.8, *;q=0.1"), Coding::Brotli),
        (Some("GZIP;q=0.5, zstd;q=0.7"), Coding::Zstd),
        (Some("x-gzip"), Coding::Gzip),
        (Some("compress"), Coding::Compress),
        (Some("x-compress, snappy"), Coding::Compress),
        (Some("deflate"), Coding::Deflate),
        (Some("identity"), Coding::Identity),
        (Some("identity, gzip;q=0.5"), Coding::Identity),
        (Some("identity;q=0.5, gzip;q=0.5"), Coding::Gzip),
        (Some("snappy, lz4"), Coding::Identity),
        (Some("gzip;q=0"), Coding::Identity),
        (Some("*"), Coding::Gzip),
        (Some("gzip;q=0, *"), Coding::Zstd),
        (Some("identity;q=0, br;q=0.1"), Coding::Brotli),
        (Some("gzip;q=0, *;q=0, identity;q=0.1"), Coding::Identity),
    ];
    for (header, expected) in cases {
        assert_eq!(negotiate(header).unwrap(), expected, "{header:?}");
    }
    for header in ["identity;q=0", "*;q=0", "snappy, identity;q=0"] {
        assert_eq!(negotiate(Some(header)).unwrap_err().code, Code::InvalidHeader, "{header}");
    }
}

#[test]
fn content_encoding() {
    assert_eq!(of_request(None).unwrap(), Coding::Identity);
    assert_eq!(of_request(Some("")).unwrap(), Coding::Identity);
    assert_eq!(of_request(Some("GZip")).unwrap(), Coding::Gzip);
    assert_eq!(of_request(Some("identity, br")).unwrap(), Coding::Brotli);
    for header in ["snappy", "gzip, gzip", "gzip;q=1"] {
        let refused = of_request(Some(header)).unwrap_err();
        assert_eq!(refused.code, Code::InvalidHeader);
        let start = format!("Invalid header: content encoding not support: {header}, only support one of: gzip,");
        assert!(refused.message.starts_with(&start), "{}", refused.message);
    }
}
