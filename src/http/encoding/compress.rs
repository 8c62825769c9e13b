//! The format of compress(1), `.Z`: LZW (Welch, "A Technique for High-Performance Data
//! Compression", 1984) with codes of 9 to 16 bits.
//!
//! Three header bytes: 1f 9d, then the widest code and, as the top bit, that code 256 clears the
//! dictionary. Codes follow, least significant bit first. They are made in groups of eight, so that
//! a group has as many bytes as a code has bits; when the width changes, and after a clear, the rest
//! of the group is filled up and thrown away. That quirk of the first program is the format.

use std::io::{Error, ErrorKind, Result};

const MAGIC: [u8; 2] = [0x1f, 0x9d];
const NARROWEST: u32 = 9;
const WIDEST: u32 = 16;
const BLOCK_MODE: u8 = 0x80;
const CLEAR: u32 = 256;
const FIRST: u32 = 257;
/// How often a full dictionary is weighed against a new one, in bytes read.
const CHECK_BYTES: u64 = 10_000;

/// Codes into bytes.
struct Packer {
    width: u32,
    bits: u64,
    bit_count: u32,
    /// Bits of the current group that are written.
    group_bits: u32,
}

impl Packer {
    fn push(&mut self, code: u32, out: &mut Vec<u8>) {
        self.bits |= u64::from(code) << self.bit_count;
        self.bit_count += self.width;
        self.group_bits = (self.group_bits + self.width) % (self.width * 8);
        self.drain(8, out);
    }

    /// Writes out whole bytes, while at least `least` bits wait.
    fn drain(&mut self, least: u32, out: &mut Vec<u8>) {
        while self.bit_count >= least.max(1) {
            out.push(self.bits as u8);
            self.bits >>= 8;
            self.bit_count = self.bit_count.saturating_sub(8);
        }
    }

    /// Fills up the group and goes on with another width.
    fn change_width(&mut self, width: u32, out: &mut Vec<u8>) {
        if self.group_bits > 0 {
            self.drain(1, out);
            let missing = self.width - self.group_bits.div_ceil(8);
            out.resize(out.len() + missing as usize, 0);
        }
        *self = Packer { width, bits: 0, bit_count: 0, group_bits: 0 };
    }
}

/// The strings that have codes: (code of the string but its last byte, last byte) to code, by open
/// addressing.
struct Dictionary {
    keys: Vec<u32>,
    codes: Vec<u16>,
    next: u32,
}

const SLOTS: usize = 1 << 18;

impl Dictionary {
    fn new() -> Self {
        Dictionary { keys: vec![0; SLOTS], codes: vec![0; SLOTS], next: FIRST }
    }

    fn clear(&mut self) {
        self.keys.fill(0);
        self.next = FIRST;
    }

    fn is_full(&self) -> bool {
        self.next >= 1 << WIDEST
    }

    /// The code of a string with one more byte, or the slot where it belongs.
    fn find(&self, prefix: u32, byte: u8) -> std::result::Result<u32, usize> {
        let key = (prefix << 8 | u32::from(byte)) + 1;
        let mut slot = (key.wrapping_mul(0x9E37_79B1) >> (32 - SLOTS.trailing_zeros())) as usize;
        loop {
            match self.keys[slot] {
                0 => return Err(slot),
                other if other == key => return Ok(u32::from(self.codes[slot])),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    fn add(&mut self, slot: usize, prefix: u32, byte: u8) {
        self.keys[slot] = (prefix << 8 | u32::from(byte)) + 1;
        self.codes[slot] = self.next as u16;
        self.next += 1;
    }
}

/// Writes one `.Z` stream.
pub struct Compressor {
    dictionary: Dictionary,
    packer: Packer,
    begun: bool,
    /// The code of the longest known string that ends the input so far.
    pending: Option<u32>,
    /// Bytes read and written, and their best quotient (times 256), since the last clear.
    read: u64,
    written: u64,
    check_at: u64,
    best_ratio: u64,
}

impl Default for Compressor {
    fn default() -> Self {
        Compressor {
            dictionary: Dictionary::new(),
            packer: Packer { width: NARROWEST, bits: 0, bit_count: 0, group_bits: 0 },
            begun: false,
            pending: None,
            read: 0,
            written: 0,
            check_at: CHECK_BYTES,
            best_ratio: 0,
        }
    }
}

impl Compressor {
    fn header(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&[MAGIC[0], MAGIC[1], BLOCK_MODE | WIDEST as u8]);
        }
    }

    pub fn write(&mut self, data: &[u8], out: &mut Vec<u8>) {
        self.header(out);
        for byte in data {
            self.read += 1;
            let Some(prefix) = self.pending else {
                self.pending = Some(u32::from(*byte));
                continue;
            };
            match self.dictionary.find(prefix, *byte) {
                Ok(code) => self.pending = Some(code),
                Err(slot) => {
                    self.emit(prefix, out);
                    self.pending = Some(u32::from(*byte));
                    if !self.dictionary.is_full() {
                        self.dictionary.add(slot, prefix, *byte);
                    } else if self.read >= self.check_at && self.is_getting_worse() {
                        self.clear(out);
                    }
                }
            }
        }
    }

    /// Makes all that was written readable: the code that waits, then a clear, whose filling pushes
    /// out the last bits.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.header(out);
        if let Some(code) = self.pending.take() {
            self.emit(code, out);
            self.clear(out);
        }
    }

    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.header(out);
        if let Some(code) = self.pending.take() {
            self.emit(code, out);
        }
        self.packer.drain(1, out);
    }

    /// Writes a code. The width grows when the reader, one string behind, could meet a wider one.
    fn emit(&mut self, code: u32, out: &mut Vec<u8>) {
        let before = out.len();
        self.packer.push(code, out);
        if self.packer.width < WIDEST && self.dictionary.next > (1 << self.packer.width) - 1 {
            self.packer.change_width(self.packer.width + 1, out);
        }
        self.written += (out.len() - before) as u64;
    }

    fn clear(&mut self, out: &mut Vec<u8>) {
        self.packer.push(CLEAR, out);
        self.packer.change_width(NARROWEST, out);
        self.dictionary.clear();
        (self.read, self.written, self.check_at, self.best_ratio) = (0, 0, CHECK_BYTES, 0);
    }

    /// Whether the dictionary fits the data less and less.
    fn is_getting_worse(&mut self) -> bool {
        self.check_at = self.read + CHECK_BYTES;
        let ratio = self.read * 256 / self.written.max(1);
        let worse = ratio < self.best_ratio;
        self.best_ratio = self.best_ratio.max(ratio);
        worse
    }
}

/// Bytes into codes.
struct Unpacker<'a> {
    data: &'a [u8],
    /// The bit where the current group began, and the next one to read.
    group: usize,
    position: usize,
    width: u32,
}

impl Unpacker<'_> {
    fn next(&mut self) -> Option<u32> {
        let end = self.position + self.width as usize;
        if end > self.data.len() * 8 {
            return None;
        }
        let first = self.position / 8;
        let mut window = 0u32;
        for (place, byte) in self.data[first..self.data.len().min(first + 4)].iter().enumerate() {
            window |= u32::from(*byte) << (8 * place);
        }
        let code = window >> (self.position % 8) & ((1 << self.width) - 1);
        self.position = end;
        Some(code)
    }

    /// Skips the rest of the group and goes on with another width.
    fn change_width(&mut self, width: u32) {
        let group = self.width as usize * 8;
        self.position = self.group + (self.position - self.group).next_multiple_of(group);
        self.group = self.position;
        self.width = width;
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Decodes a `.Z` stream into `out`, which must be empty; `false` once it would be more than
/// `ceiling` bytes.
///
/// # Errors
/// For a wrong header and for codes that stand for nothing.
pub fn decompress(data: &[u8], out: &mut Vec<u8>, ceiling: usize) -> Result<bool> {
    let [first, second, flags, codes @ ..] = data else { return Err(invalid("it is shorter than its header")) };
    let widest = u32::from(flags & 0x1f);
    if [*first, *second] != MAGIC || flags & 0x60 != 0 || !(NARROWEST..=WIDEST).contains(&widest) {
        return Err(invalid("it does not begin as compress(1) does"));
    }
    let clears = flags & BLOCK_MODE != 0;
    let mut strings =
        Strings { first_code: if clears { FIRST } else { CLEAR }, widest, known: Vec::new(), previous: None };
    let mut reader = Unpacker { data: codes, group: 0, position: 0, width: NARROWEST };
    loop {
        if reader.width < widest && strings.next_code() >= 1 << reader.width {
            reader.change_width(reader.width + 1);
        }
        let Some(code) = reader.next() else { return Ok(true) };
        if clears && code == CLEAR {
            reader.change_width(NARROWEST);
            strings.known.clear();
            strings.previous = None;
            continue;
        }
        let start = out.len();
        if code < 256 {
            out.push(code as u8);
        } else {
            let (from, length) = strings.find(code).ok_or_else(|| invalid("a code stands for nothing"))?;
            if start + length > ceiling {
                return Ok(false);
            }
            // One by one: the string may reach into itself.
            for place in from..from + length {
                out.push(out[place]);
            }
        }
        if out.len() > ceiling {
            return Ok(false);
        }
        strings.follow(start, out.len() - start);
    }
}

/// The strings that have codes, each as the place and length of one of its uses in the output.
struct Strings {
    first_code: u32,
    widest: u32,
    known: Vec<(usize, usize)>,
    /// What the last code stood for. With the byte that follows it, it is the next string.
    previous: Option<(usize, usize)>,
}

impl Strings {
    fn next_code(&self) -> u32 {
        self.first_code + self.known.len() as u32
    }

    fn is_full(&self) -> bool {
        self.next_code() >= 1 << self.widest
    }

    fn find(&self, code: u32) -> Option<(usize, usize)> {
        let place = code.checked_sub(self.first_code)? as usize;
        match self.known.get(place) {
            Some(found) => Some(*found),
            // A string may be used by the very code that follows the one that began it.
            None if place == self.known.len() && !self.is_full() => {
                self.previous.map(|(from, length)| (from, length + 1))
            }
            None => None,
        }
    }

    /// Notes that a code stood for the output at a place.
    fn follow(&mut self, start: usize, length: usize) {
        if let Some((from, length)) = self.previous
            && !self.is_full()
        {
            self.known.push((from, length + 1));
        }
        self.previous = Some((start, length));
    }
}
