//! A hash for short pieces of the body: a folded multiplication for each 16 bytes. The secrets are
//! drawn anew for each body, so nobody can prepare keys that collide.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map from pieces of the body as written.
pub(super) type KeyMap<'a, V> = HashMap<&'a [u8], V, Secrets>;

/// What the hash is keyed with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secrets {
    first: u64,
    second: u64,
}

impl Default for Secrets {
    fn default() -> Self {
        let random = RandomState::new();
        Secrets { first: random.hash_one(1_u8), second: random.hash_one(2_u8) }
    }
}

impl BuildHasher for Secrets {
    type Hasher = KeyHasher;

    #[inline]
    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { state: self.first, secret: self.second }
    }
}

#[derive(Debug)]
pub(super) struct KeyHasher {
    state: u64,
    secret: u64,
}

impl KeyHasher {
    #[inline]
    fn mix(&mut self, first: u64, second: u64) {
        let product = u128::from(first ^ self.state) * u128::from(second ^ self.secret);
        self.state = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for KeyHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
            self.mix(word(chunk.first_chunk()), word(chunk.last_chunk()));
            rest = after;
        }
        if let (Some(head), Some(tail)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
            self.mix(u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
        } else if let (Some(head), Some(tail)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            self.mix(u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into());
        } else if let [head, .., tail] = rest {
            self.mix((*head).into(), u64::from(*tail) << 8 | u64::from(rest[1]));
        } else if let [only] = rest {
            self.mix((*only).into(), 0);
        }
    }

    /// The length of a key, which the standard library hashes before its bytes.
    #[inline]
    fn write_usize(&mut self, length: usize) {
        self.state = self.state.wrapping_add((length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    #[inline]
    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.secret | 1);
        product as u64 ^ (product >> 64) as u64
    }
}

#[inline]
fn word(chunk: Option<&[u8; 8]>) -> u64 {
    chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
