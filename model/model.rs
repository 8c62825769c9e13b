// Exhaustive model checker for the core protocol of a stateless, multi-writer
// time-series database whose only shared state is an object store with
// put-if-absent.  Std only:   rustc -O --edition 2021 model.rs -o model
//
// Every step of every actor that touches the store is one atomic transition;
// all interleavings are explored breadth first (so a counter-example is a
// shortest one).  "Crash for ever" needs no transition of its own (an actor
// that is never scheduled again has crashed); "crash and start afresh" is an
// explicit transition.  There is no clock anywhere in the model: nothing that
// is checked here can depend on one.
//
// Store         manifests slot[v]; WAL segments; Parquet ("data") files.
// Writers (2)   PUT a segment into the epoch of a possibly stale cached
//               manifest (may time out and land at any later moment, or land
//               again after it has been deleted), confirm, ack or re-PUT.
// Compactors(2) flush = seal commit, LIST, freeze commit, write Parquet,
//               flush commit;  merge = read files, write file, merge commit.
// GC            fence commit, then deletes WAL segments, data files, manifests
//               one by one, at once (no grace period at all).
// Reader        scan WAL keys, scan manifest keys (two steps: LIST is not
//               assumed to be an atomic snapshot), help to freeze, fetch.

use std::collections::HashSet;
use std::env;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Instant;

const V: usize = 15; // highest manifest version + 1
const NF: usize = 8; // data files
const NS: usize = 8; // segments (6 = writes x copies, 2 = data loaded before)

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
struct Writer { pc: u8, mv: u8, seg: u8, wi: u8, tmo: u8 }

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, PartialOrd, Ord)]
#[repr(C)]
struct Comp { pc: u8, jobs: u8, base: u8, jbase: u8, f: u8, e: u8, s: u8, file: u8, inp: u8, cur: u8, tries: u8 }

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
struct Gc { pc: u8, passes: u8, view: u8 }

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
struct Reader { pc: u8, reads: u8, tries: u8, l: u8, m: u8, s2: u8, acked0: u8, prev: u8 }

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct St {
    // manifests; content is immutable per version, slots can be deleted
    epoch: [u8; V], floor: [u8; V], frz: [u8; V], frzok: [u8; V], files: [u8; V], gcf: [u8; V], wm: [u8; V], tomb: [u8; V],
    slot: [u8; 2], zslot: [u8; 2], // present (real / resurrected zombie) bitsets, little endian
    max: u8, zleft: u8,
    // WAL segments
    sepoch: [u8; NS], sseq: [u8; NS], wal: u8, infl: u8, nseq: u8,
    // data files
    fseg: [u8; NF], flo: [u8; NF], fhi: [u8; NF], fbase: [u8; NF], data: u8, pad: u8,
    // ghost: acknowledged writes, their epochs, real-time order
    acked: u8, aepoch: [u8; 4], after: [u8; 4],
    w: [Writer; 2], c: [Comp; 2], g: Gc, r: Reader,
    // delete-everything request: 0 not begun, 1 running, 2 acknowledged; writes acknowledged before it began
    dpc: u8, dset: u8, rhide: u8, pad2: u8,
}

#[derive(Clone, Copy, Default, Debug)]
struct Variant {
    no_confirm: bool, probe_only: bool, watermark: bool, manifest_first: bool, no_fence: bool, stale_gc: bool,
    list_before_seal: bool, no_freeze: bool, no_zombie_check: bool, no_floor_check: bool,
    no_input_check: bool, exists_is_success: bool, ack_if_frozen: bool, delete_no_seal: bool, merge_ignores_tomb: bool, freeze_any: bool, probe_after: bool, skip_missing: bool, ack_before_put: bool,
}

#[derive(Clone, Copy, Debug)]
struct Cfg {
    writes: [u8; 2], copies: u8, tmo: [u8; 2], jobs: u8, tries: u8, merge: bool, passes: u8,
    gc_manifests: bool, zombies: u8, reads: u8, rtries: u8, pre: bool, flush: bool, fine: bool, del: bool, delnop: bool,
}

fn bit(v: u8) -> u8 { 1u8 << v }
fn sget(a: &[u8; 2], v: u8) -> bool { a[(v >> 3) as usize] >> (v & 7) & 1 == 1 }
fn sset(a: &mut [u8; 2], v: u8, on: bool) {
    let m = 1u8 << (v & 7);
    if on { a[(v >> 3) as usize] |= m } else { a[(v >> 3) as usize] &= !m }
}

struct Model { cfg: Cfg, var: Variant, nw: u8 }

impl Model {
    fn write_of(&self, seg: u8) -> u8 { if seg >= 6 { self.nw + (seg - 6) } else { seg / self.cfg.copies } }
    fn writes_of(&self, segs: u8) -> u8 {
        let mut r = 0;
        for s in 0..NS as u8 { if segs & bit(s) != 0 { r |= bit(self.write_of(s)) } }
        r
    }
    fn first_write(&self, i: usize) -> u8 { if i == 0 { 0 } else { self.cfg.writes[0] } }

    fn init(&self) -> St {
        let mut s: St = unsafe { std::mem::zeroed() };
        s.max = 1;
        sset(&mut s.slot, 1, true);
        s.epoch[1] = 1;
        s.floor[1] = 1;
        s.zleft = self.cfg.zombies;
        if self.cfg.pre {
            // two files that were flushed earlier, one acknowledged write in each
            s.sepoch[6] = 0;
            s.sepoch[7] = 0;
            s.fseg[0] = bit(6);
            s.fseg[1] = bit(7);
            s.flo = [0; NF];
            s.fhi[0] = 0;
            s.flo[1] = 0;
            s.fhi[1] = 1;
            s.data = 3;
            s.files[1] = 3;
            s.acked = bit(self.nw) | bit(self.nw + 1);
        }
        for i in 0..2 { s.w[i] = Writer { mv: 1, tmo: self.cfg.tmo[i], ..Default::default() } }
        for i in 0..2 { s.c[i].jobs = self.cfg.jobs }
        s.g.passes = self.cfg.passes;
        s.r.reads = self.cfg.reads;
        s
    }

    fn in_range(&self, s: &St, segs: u8, lo: u8, hi: u8) -> u8 {
        let mut r = 0;
        for i in 0..NS as u8 {
            if segs & bit(i) != 0 && s.sepoch[i as usize] >= lo && s.sepoch[i as usize] < hi { r |= bit(i) }
        }
        r
    }

    // put-if-absent of manifest base+1 with new content.
    // Some(true) committed, Some(false) conflict, None = model bound reached
    fn commit(&self, s: &mut St, base: u8, f: impl FnOnce(&mut St, usize)) -> Result<Option<bool>, String> {
        let n = base + 1;
        if base == s.max {
            if n as usize >= V { return Ok(None) }
            let (b, k) = (base as usize, n as usize);
            s.epoch[k] = s.epoch[b]; s.floor[k] = s.floor[b]; s.frz[k] = s.frz[b]; s.frzok[k] = s.frzok[b];
            s.files[k] = s.files[b]; s.gcf[k] = s.gcf[b]; s.wm[k] = s.wm[b]; s.tomb[k] = s.tomb[b];
            s.max = n;
            sset(&mut s.slot, n, true);
            f(s, k);
            return Ok(Some(true));
        }
        let present = sget(&s.slot, n) || sget(&s.zslot, n);
        if !present {
            // the number was used and its object deleted: the stale create lands in the hole
            sset(&mut s.zslot, n, true);
            if self.var.no_zombie_check { return Err("I8 a commit was reported as successful but is not part of the history".into()) }
            return Ok(Some(false));
        }
        if self.var.exists_is_success { return Err("I8 a commit was reported as successful but is not part of the history".into()) }
        Ok(Some(false))
    }

    // rows of file x that are visible under tombstone t: all or none (a file whose epochs straddle t
    // was written by a job that knew t and has removed the dead rows)
    fn fvis(&self, s: &St, x: usize, t: u8) -> u8 { if t != 0 && s.fhi[x] <= t { 0 } else { s.fseg[x] } }

    fn flush_commit(&self, s: &mut St, i: usize) -> Result<(), String> {
        let c = s.c[i];
        let fresh = Comp { jobs: c.jobs, ..Default::default() };
        let mut top = 0;
        for j in 0..6u8 { if c.s & bit(j) != 0 { top = top.max(s.sseq[j as usize]) } }
        match self.commit(s, c.cur, |s, k| {
            if c.file != 255 { s.files[k] |= bit(c.file) }
            s.floor[k] = c.e; s.frzok[k] = 0; s.frz[k] = 0;
            if self.var.watermark { s.wm[k] = top; s.floor[k] = s.floor[k - 1]; }
        })? {
            Some(true) => s.c[i] = fresh,
            Some(false) => if c.tries > 0 { s.c[i].pc = 15; s.c[i].tries -= 1 } else { s.c[i] = fresh },
            None => s.c[i] = Comp::default(),
        }
        Ok(())
    }

    fn merge_commit(&self, s: &mut St, i: usize) -> Result<(), String> {
        let c = s.c[i];
        let fresh = Comp { jobs: c.jobs, ..Default::default() };
        match self.commit(s, c.cur, |s, k| { s.files[k] = (s.files[k] & !c.inp) | bit(c.file); })? {
            Some(true) => s.c[i] = fresh,
            Some(false) => if c.tries > 0 { s.c[i].pc = 22; s.c[i].tries -= 1 } else { s.c[i] = fresh },
            None => s.c[i] = Comp::default(),
        }
        Ok(())
    }

    // lowest file number that nothing refers to
    fn new_file(&self, s: &St) -> Option<usize> {
        let mut used = s.data | s.files[s.max as usize];
        if s.r.pc >= 2 { used |= s.files[s.r.m as usize] }
        if s.g.pc == 2 { used |= s.files[s.g.view as usize] }
        for c in &s.c { if matches!(c.pc, 15 | 16 | 22 | 23) && c.file != 255 { used |= bit(c.file) } if c.pc >= 21 { used |= c.inp } }
        (0..NF).find(|x| used & bit(*x as u8) == 0)
    }

    fn ack(&self, s: &mut St, i: usize) -> Result<(), String> {
        let w = self.first_write(i) + s.w[i].wi;
        s.acked |= bit(w);
        s.aepoch[w as usize] = s.sepoch[s.w[i].seg as usize];
        for o in 0..4u8 {
            if s.after[w as usize] & bit(o) != 0 && s.aepoch[o as usize] > s.aepoch[w as usize] {
                return Err(format!("I4 write {} began after write {} was acknowledged but is ordered before it", w, o));
            }
        }
        s.w[i].wi += 1;
        s.w[i].pc = 0;
        s.w[i].seg = 0;
        Ok(())
    }

    // invariants of every state
    fn check(&self, s: &St) -> Result<(), String> {
        let m = s.max as usize;
        let fl = s.files[m];
        if fl & !s.data != 0 { return Err("I6 the newest manifest names a data file that does not exist".into()) }
        let t = s.tomb[m];
        let mut all = 0u8;
        let mut vis = 0u8;
        for a in 0..NF as u8 {
            if fl & bit(a) == 0 { continue }
            let x = a as usize;
            if all & s.fseg[x] != 0 { return Err("I7 the same segment is in two live files (rows counted twice)".into()) }
            all |= s.fseg[x];
            vis |= self.fvis(s, x, t);
            for b in a + 1..NF as u8 {
                if fl & bit(b) == 0 { continue }
                let y = b as usize;
                // epoch ranges [lo,hi] of merged/flushed files must not overlap
                let pre = self.cfg.pre && (b <= 1);
                if !self.var.watermark && !pre && s.flo[x] < s.fhi[y] && s.flo[y] < s.fhi[x] {
                    return Err("I5 two live files have overlapping epoch ranges".into());
                }
            }
        }
        // durability: every acknowledged write is reachable from the newest manifest
        let (f, e) = (s.floor[m], s.epoch[m]);
        let mut reach = vis;
        if self.var.watermark {
            for i in 0..6 { if s.wal & bit(i) != 0 && s.sseq[i as usize] > s.wm[m] { reach |= bit(i) } }
        } else {
            let sealed = if s.frzok[m] == 1 { s.frz[m] } else { 0xff };
            reach |= self.in_range(s, s.wal, e.max(t), e + 1) | (self.in_range(s, s.wal, f.max(t), e) & sealed);
        }
        let mut need = s.acked;
        if t != 0 && !self.var.delete_no_seal {
            for w in 0..4u8 { if need & bit(w) != 0 && (w >= self.nw || s.aepoch[w as usize] < t) { need &= !bit(w) } }
        }
        if self.var.delete_no_seal { need = 0 }
        let lost = need & !self.writes_of(reach);
        if lost != 0 { return Err(format!("I1 acknowledged write(s) {:#b} unreachable: LOST", lost)) }
        Ok(())
    }

    fn succ(&self, s0: &St, out: &mut Vec<(St, u16)>) -> Result<(), (u16, String, St)> {
        let cfg = &self.cfg;
        let var = &self.var;
        macro_rules! go { ($s:expr, $a:expr) => {{ let s = $s; out.push((s, $a)); }} }
        macro_rules! tryc { ($r:expr, $a:expr, $s:expr) => { match $r { Ok(v) => v, Err(m) => return Err(($a, m, $s)) } } }
        // ---------------- environment
        for i in 0..6u8 {
            if s0.infl & bit(i) != 0 {
                let mut s = *s0;
                s.infl &= !bit(i);
                s.wal |= bit(i);
                go!(s, 900 + i as u16);
            }
        }
        if s0.zleft > 0 {
            for v in 1..s0.max {
                if !sget(&s0.slot, v) && !sget(&s0.zslot, v) {
                    let mut s = *s0;
                    s.zleft -= 1;
                    sset(&mut s.zslot, v, true);
                    go!(s, 920 + v as u16);
                }
            }
        }
        // ---------------- writers
        for i in 0..2usize {
            let w = s0.w[i];
            let a = 100 * (i as u16 + 1);
            match w.pc {
                0 => if w.wi < cfg.writes[i] {
                    let mut s = *s0;
                    let wr = self.first_write(i) + w.wi;
                    let seg = wr * cfg.copies;
                    s.after[wr as usize] = s.acked & ((1 << self.nw) - 1);
                    s.w[i].seg = seg;
                    s.sepoch[seg as usize] = s.epoch[w.mv as usize];
                    if var.watermark { s.nseq += 1; s.sseq[seg as usize] = s.nseq }
                    s.w[i].pc = 1;
                    if var.ack_before_put { let k = s.w[i]; tryc!(self.ack(&mut s, i), a, s); s.w[i] = k; s.w[i].pc = 1; }
                    // naming a segment is local: unless "fine", it happens together with the first PUT
                    // (the recorded real-time order is then stricter, so nothing is hidden)
                    if cfg.fine || var.ack_before_put || var.watermark { go!(s, a); } else {
                        let mut t = s;
                        t.wal |= bit(seg);
                        t.w[i].pc = 2;
                        go!(t, a + 1);
                        if w.tmo > 0 { s.infl |= bit(seg); s.w[i].pc = 3; s.w[i].tmo -= 1; go!(s, a + 2); }
                    }
                },
                1 => {
                    let mut s = *s0;
                    s.wal |= bit(w.seg);
                    s.w[i].pc = 2;
                    go!(s, a + 1);
                    if w.tmo > 0 {
                        let mut s = *s0;
                        s.infl |= bit(w.seg);
                        s.w[i].pc = 3;
                        s.w[i].tmo -= 1;
                        go!(s, a + 2);
                    }
                }
                3 => {
                    let mut s = *s0; // retry of the same key: lands now, or was there already
                    s.wal |= bit(w.seg);
                    s.w[i].pc = 2;
                    go!(s, a + 3);
                    let mut s = *s0; // gives up: the client sees an error
                    s.w[i].wi += 1;
                    s.w[i].pc = 0;
                    s.w[i].seg = 0;
                    go!(s, a + 4);
                }
                2 => {
                    let mut s = *s0;
                    if var.no_confirm || var.watermark {
                        tryc!(self.ack(&mut s, i), a + 5, s);
                        go!(s, a + 5);
                    } else if sget(&s.slot, w.mv + 1) || sget(&s.zslot, w.mv + 1) {
                        s.w[i].pc = 4;
                        go!(s, a + 6);
                    } else if var.probe_only || !cfg.gc_manifests {
                        tryc!(self.ack(&mut s, i), a + 7, s);
                        go!(s, a + 7);
                    } else {
                        s.w[i].pc = 5;
                        go!(s, a + 8);
                    }
                }
                5 => {
                    let mut s = *s0; // is the cached manifest itself still there (same commit id)?
                    if sget(&s.slot, w.mv) { tryc!(self.ack(&mut s, i), a + 9, s); } else { s.w[i].pc = 4 }
                    go!(s, a + 9);
                }
                4 => {
                    let mut s = *s0;
                    let m = s.max as usize;
                    s.w[i].mv = s.max;
                    let same = s.sepoch[w.seg as usize] == s.epoch[m];
                    let frozen_in = var.ack_if_frozen && s.frzok[m] == 1 && s.frz[m] & bit(w.seg) != 0;
                    if same || frozen_in {
                        tryc!(self.ack(&mut s, i), a + 10, s);
                        go!(s, a + 10);
                    } else {
                        let wr = self.first_write(i) + w.wi;
                        if w.seg + 1 < (wr + 1) * cfg.copies {
                            s.w[i].seg += 1;
                            s.sepoch[s.w[i].seg as usize] = s.epoch[m];
                            s.w[i].pc = 1;
                            go!(s, a + 11);
                        } else {
                            s.w[i].wi += 1;
                            s.w[i].pc = 0;
                            s.w[i].seg = 0;
                            go!(s, a + 12);
                        }
                    }
                }
                _ => unreachable!(),
            }
        }
        // ---------------- compactors
        for i in 0..2usize {
            let c = s0.c[i];
            let a = 300 + 100 * i as u16;
            if i == 1 && s0.c[0] == s0.c[1] { continue } // symmetric
            let fresh = |jobs: u8| Comp { jobs, ..Default::default() };
            if c.pc != 0 && c.jobs > 0 {
                let mut s = *s0; // crash, start afresh (without jobs left it equals never being scheduled again)
                s.c[i] = fresh(c.jobs);
                go!(s, a + 99);
            }
            match c.pc {
                0 if c.jobs > 0 && !cfg.fine && !var.watermark => {
                    let m = s0.max as usize;
                    let (f, e) = (s0.floor[m], s0.epoch[m]);
                    if cfg.flush {
                        let mut s = *s0; // newest manifest; seal if needed (read + CAS fused: a lost race only repeats the read)
                        s.c[i] = Comp { jobs: c.jobs - 1, f, e, ..Default::default() };
                        if f == e {
                            if self.in_range(s0, s0.wal, e, e + 1) != 0 {
                                if tryc!(self.commit(&mut s, s0.max, |s, k| { s.epoch[k] = k as u8; s.frzok[k] = 0; s.frz[k] = 0; }), a + 11, s) == Some(true) {
                                    s.c[i].e = s.max;
                                    s.c[i].pc = 12;
                                    go!(s, a + 11);
                                }
                            }
                        } else if s0.frzok[m] == 1 {
                            s.c[i].s = s0.frz[m]; s.c[i].jbase = s0.max; s.c[i].pc = 14;
                            go!(s, a + 10);
                        } else { s.c[i].pc = 12; go!(s, a + 10); }
                    }
                    if cfg.merge && s0.files[m].count_ones() >= 2 {
                        let mut s = *s0;
                        s.c[i] = Comp { pc: 21, jobs: c.jobs - 1, inp: s0.files[m], jbase: s0.max, ..Default::default() };
                        go!(s, a + 20);
                    }
                }
                0 => if c.jobs > 0 {
                    if cfg.flush {
                        let mut s = *s0;
                        s.c[i] = Comp { pc: if var.watermark { 12 } else { 10 }, jobs: c.jobs - 1, tries: cfg.tries, base: s.max, ..Default::default() };
                        go!(s, a);
                    }
                    if cfg.merge {
                        let mut s = *s0;
                        s.c[i] = Comp { pc: 20, jobs: c.jobs - 1, tries: cfg.tries, ..Default::default() };
                        go!(s, a + 1);
                    }
                },
                10 => {
                    let mut s = *s0; // LIST: newest manifest
                    let m = s.max as usize;
                    let k = &mut s.c[i];
                    k.base = m as u8; k.f = s0.floor[m]; k.e = s0.epoch[m]; k.s = 0;
                    if k.f == k.e {
                        if self.in_range(s0, s0.wal, k.e, k.e + 1) == 0 { *k = fresh(c.jobs) } else {
                            k.pc = 11;
                            if var.list_before_seal { k.s = self.in_range(s0, s0.wal, k.e, k.e + 1) }
                        }
                    } else if s0.frzok[m] == 1 { k.s = s0.frz[m]; k.jbase = m as u8; k.pc = 14 } else { k.pc = 12 }
                    go!(s, a + 10);
                }
                11 => {
                    let mut s = *s0; // seal commit
                    match tryc!(self.commit(&mut s, c.base, |s, k| { s.epoch[k] = k as u8; s.frzok[k] = 0; s.frz[k] = 0; }), a + 11, s) {
                        Some(true) => { s.c[i].base += 1; s.c[i].e = s.max; s.c[i].pc = if var.list_before_seal { 13 } else { 12 } }
                        Some(false) => if c.tries > 0 { s.c[i].pc = 10; s.c[i].tries -= 1 } else { s.c[i] = fresh(c.jobs) },
                        None => s.c[i] = fresh(0),
                    }
                    go!(s, a + 11);
                }
                12 => {
                    let mut s = *s0; // LIST of the sealed epochs, begun after the seal is known
                    if var.watermark {
                        let m = s.max as usize;
                        let mut l = 0;
                        for j in 0..6u8 { if s.wal & bit(j) != 0 && s.sseq[j as usize] > s.wm[m] { l |= bit(j) } }
                        s.c[i].s = l; s.c[i].base = m as u8; s.c[i].jbase = m as u8; s.c[i].f = s.wm[m]; s.c[i].pc = 14;
                        if l == 0 { s.c[i] = fresh(c.jobs) }
                    } else {
                        s.c[i].s = self.in_range(s0, s0.wal, c.f, c.e);
                        s.c[i].pc = if var.no_freeze { 14 } else { 13 };
                        s.c[i].jbase = if cfg.fine { s.c[i].base } else { 0 };
                        if var.no_freeze { s.c[i].jbase = s.max }
                    }
                    go!(s, a + 12);
                }
                13 => {
                    let mut s = *s0; // freeze commit
                    let set = c.s;
                    if !cfg.fine {
                        let m = s.max as usize;
                        if s.floor[m] != c.f { s.c[i] = fresh(c.jobs) } // somebody flushed these epochs
                        else if s.epoch[m] != c.e && !var.freeze_any { s.c[i].e = s.epoch[m]; s.c[i].s = 0; s.c[i].pc = 12 } // a delete sealed more: list again
                        else if s.frzok[m] == 1 { s.c[i].s = s.frz[m]; s.c[i].e = s.epoch[m]; s.c[i].jbase = s.max; s.c[i].pc = 14 } // somebody froze: use that set
                        else {
                            let b = s.max;
                            if tryc!(self.commit(&mut s, b, |s, k| { s.frzok[k] = 1; s.frz[k] = set; }), a + 13, s).is_some() { s.c[i].jbase = s.max; s.c[i].pc = 14 }
                            else { s.c[i] = fresh(0) }
                        }
                        s.c[i].base = 0;
                        go!(s, a + 13);
                    } else { match tryc!(self.commit(&mut s, c.base, |s, k| { s.frzok[k] = 1; s.frz[k] = set; }), a + 13, s) {
                        Some(true) => { s.c[i].base += 1; s.c[i].jbase = s.max; s.c[i].pc = 14 }
                        Some(false) => if c.tries > 0 { s.c[i].pc = 10; s.c[i].tries -= 1 } else { s.c[i] = fresh(c.jobs) },
                        None => s.c[i] = fresh(0),
                    }
                    go!(s, a + 13); }
                }
                14 => {
                    let mut s = *s0; // read the segments, write the Parquet file
                    let miss = c.s & !s.wal;
                    if miss != 0 && !var.skip_missing { s.c[i] = fresh(c.jobs) }
                    else if c.s & s.wal == 0 { s.c[i].file = 255; s.c[i].pc = 15 }
                    else {
                        let Some(x) = self.new_file(&s) else { panic!("file bound") };
                        let t = s.tomb[s.max as usize];
                        let live = if t != 0 && t < c.e { self.in_range(&s, c.s, t, 255) } else { c.s };
                        s.fseg[x] = live & s.wal; s.flo[x] = c.f; s.fhi[x] = c.e; s.fbase[x] = c.jbase;
                        s.data |= bit(x as u8);
                        s.c[i].file = x as u8;
                        s.c[i].pc = 15;
                    }
                    go!(s, a + 14);
                }
                15 => {
                    let mut s = *s0; // read newest manifest, check the conditions of the commit
                    let m = s.max as usize;
                    let same = if var.watermark { s.wm[m] == c.f } else { s.floor[m] == c.f };
                    let fenced = s.gcf[m] > c.jbase && !var.no_fence;
                    if (!same && !var.no_floor_check) || fenced { s.c[i] = fresh(c.jobs) } else { s.c[i].cur = s.max; s.c[i].pc = 16 }
                    if cfg.fine || s.c[i].pc != 16 { go!(s, a + 15); } else { tryc!(self.flush_commit(&mut s, i), a + 16, s); go!(s, a + 16); }
                }
                16 => {
                    let mut s = *s0; // flush commit
                    tryc!(self.flush_commit(&mut s, i), a + 16, s);
                    go!(s, a + 16);
                }
                20 => {
                    let mut s = *s0;
                    let m = s.max as usize;
                    if s.files[m].count_ones() < 2 { s.c[i] = fresh(c.jobs) } else { s.c[i].inp = s.files[m]; s.c[i].jbase = s.max; s.c[i].pc = 21 }
                    go!(s, a + 20);
                }
                21 => {
                    let mut s = *s0;
                    if c.inp & !s.data != 0 { s.c[i] = fresh(c.jobs) }
                    else {
                        let Some(x) = self.new_file(&s) else { panic!("file bound") };
                        let (mut lo, mut hi, mut seg) = (255, 0, 0);
                        for j in 0..NF { if c.inp & bit(j as u8) != 0 { lo = lo.min(s.flo[j]); hi = hi.max(s.fhi[j]); seg |= if var.merge_ignores_tomb { s.fseg[j] } else { self.fvis(&s, j, s.tomb[s.max as usize]) } } }
                        s.fseg[x] = seg; s.flo[x] = lo; s.fhi[x] = hi; s.fbase[x] = c.jbase;
                        s.data |= bit(x as u8);
                        s.c[i].file = x as u8;
                        s.c[i].pc = 22;
                    }
                    go!(s, a + 21);
                }
                22 => {
                    let mut s = *s0;
                    let m = s.max as usize;
                    let ok = c.inp & !s.files[m] == 0 || var.no_input_check;
                    let fenced = s.gcf[m] > c.jbase && !var.no_fence;
                    if !ok || fenced { s.c[i] = fresh(c.jobs) } else { s.c[i].cur = s.max; s.c[i].pc = 23 }
                    if cfg.fine || s.c[i].pc != 23 { go!(s, a + 22); } else { tryc!(self.merge_commit(&mut s, i), a + 23, s); go!(s, a + 23); }
                }
                23 => {
                    let mut s = *s0;
                    tryc!(self.merge_commit(&mut s, i), a + 23, s);
                    go!(s, a + 23);
                }
                _ => unreachable!(),
            }
        }
        // ---------------- a DELETE of everything older than itself
        if cfg.del {
            let m = s0.max as usize;
            if s0.dpc == 0 { let mut s = *s0; s.dpc = 1; s.dset = s.acked; go!(s, 700); }
            // one sealed range at a time: a delete first lets a frozen range be flushed
            if s0.dpc == 1 && !(s0.floor[m] < s0.epoch[m] && s0.frzok[m] == 1) {
                let mut s = *s0;
                let b = s.max;
                if tryc!(self.commit(&mut s, b, |s, k| { if !var.delete_no_seal { s.epoch[k] = k as u8; s.frzok[k] = 0; s.frz[k] = 0; if !cfg.delnop { s.tomb[k] = k as u8; } } else { s.tomb[k] = s.epoch[k] } }), 701, s) == Some(true) { s.dpc = 2; go!(s, 701); }
            }
        }
        // ---------------- GC
        let g = s0.g;
        match g.pc {
            0 => if g.passes > 0 {
                if var.stale_gc {
                    for v in 1..=s0.max { let mut s = *s0; s.g.passes -= 1; s.g.view = v; s.g.pc = 2; go!(s, 500); }
                } else {
                    let mut s = *s0;
                    s.g.passes -= 1;
                    s.g.view = s.max;
                    s.g.pc = if var.no_fence { 2 } else { 1 };
                    go!(s, 501);
                }
            },
            1 => {
                let mut s = *s0; // fence commit: jobs based on a version < view can no longer commit
                match tryc!(self.commit(&mut s, g.view, |s, k| { s.gcf[k] = g.view; }), 502, s) {
                    Some(true) => { s.g.view += 1; s.g.pc = 2 }
                    Some(false) => s.g.view = s.max,
                    None => s.g = Gc::default(),
                }
                go!(s, 502);
            }
            2 => {
                let v = g.view as usize;
                for i in 0..6u8 {
                    let dead = if var.watermark { s0.sseq[i as usize] <= s0.wm[v] } else { s0.sepoch[i as usize] < s0.floor[v] };
                    if s0.wal & bit(i) != 0 && dead { let mut s = *s0; s.wal &= !bit(i); go!(s, 510 + i as u16); }
                }
                for i in 0..NF as u8 {
                    let fence_ok = s0.fbase[i as usize] < s0.gcf[v] || var.no_fence || var.stale_gc;
                    if s0.data & bit(i) != 0 && s0.files[v] & bit(i) == 0 && fence_ok { let mut s = *s0; s.data &= !bit(i); go!(s, 520 + i as u16); }
                }
                if cfg.gc_manifests {
                    for x in 1..g.view {
                        if sget(&s0.slot, x) || sget(&s0.zslot, x) {
                            let mut s = *s0; // oldest first
                            sset(&mut s.slot, x, false);
                            sset(&mut s.zslot, x, false);
                            go!(s, 540 + x as u16);
                            break;
                        }
                    }
                }
                let mut s = *s0;
                s.g.pc = 0;
                s.g.view = 0;
                go!(s, 503);
            }
            _ => unreachable!(),
        }
        // ---------------- reader
        let r = s0.r;
        let restart = |s: &mut St| {
            if s.r.tries > 0 { s.r.tries -= 1; s.r.pc = 1; s.r.l = 0; s.r.m = 0; s.r.s2 = 0 }
            else { let p = s.r.prev; let n = s.r.reads; s.r = Reader { prev: p, reads: n, ..Default::default() } }
        };
        match r.pc {
            0 => if r.reads > 0 {
                let mut s = *s0;
                s.r = Reader { pc: 1, reads: r.reads - 1, tries: cfg.rtries, acked0: s.acked, prev: r.prev, ..Default::default() };
                s.rhide = if s.dpc == 2 && !cfg.delnop { s.dset } else { 0 };
                if !cfg.fine { if var.manifest_first { s.r.m = s.max } else { s.r.l = s.wal } s.r.pc = 2; go!(s, 601); } else { go!(s, 600); }
            },
            1 => {
                let mut s = *s0;
                if var.manifest_first { s.r.m = s.max } else { s.r.l = s.wal }
                s.r.pc = 2;
                go!(s, 601);
            }
            2 => {
                let mut s = *s0;
                if var.manifest_first { s.r.l = s.wal } else { s.r.m = s.max }
                let m = s.r.m as usize;
                s.r.pc = if s.floor[m] < s.epoch[m] && s.frzok[m] == 0 && !var.no_freeze && !var.watermark { 3 } else { 5 };
                if var.probe_after { s.r.pc = 6 }
                go!(s, 602);
            }
            6 => {
                let mut s = *s0; // probe: is there a newer manifest than the one the LIST showed?
                let m = r.m as usize;
                if sget(&s.slot, r.m + 1) || sget(&s.zslot, r.m + 1) { restart(&mut s) }
                else { s.r.pc = if s.floor[m] < s.epoch[m] && s.frzok[m] == 0 { 3 } else { 5 } }
                go!(s, 607);
            }
            3 => {
                let mut s = *s0; // sealed but not frozen: list the sealed epochs again
                let m = r.m as usize;
                s.r.s2 = self.in_range(s0, s0.wal, s.floor[m], s.epoch[m]);
                s.r.pc = 4;
                go!(s, 603);
            }
            4 => {
                let mut s = *s0; // help: freeze commit
                let set = r.s2;
                if !cfg.fine {
                    let (m, n) = (r.m as usize, s.max as usize);
                    if s.floor[n] != s.floor[m] || (s.epoch[n] != s.epoch[m] && !var.freeze_any) { restart(&mut s) }
                    else {
                        let b = s.max;
                        let ok = s.frzok[n] == 1 || tryc!(self.commit(&mut s, b, |s, k| { s.frzok[k] = 1; s.frz[k] = set; }), 604, s).is_some();
                        if ok { s.r.m = s.max; s.r.s2 = 0; s.r.pc = 5 } else { s.r = Reader { prev: r.prev, ..Default::default() } }
                    }
                    go!(s, 604);
                } else { match tryc!(self.commit(&mut s, r.m, |s, k| { s.frzok[k] = 1; s.frz[k] = set; }), 604, s) {
                    Some(true) => { s.r.m += 1; s.r.s2 = 0; s.r.pc = 5 }
                    Some(false) => restart(&mut s),
                    None => s.r = Reader { prev: r.prev, ..Default::default() },
                }
                go!(s, 604); }
            }
            5 => {
                let mut s = *s0; // fetch everything and answer
                let m = r.m as usize;
                let (f, e) = (s.floor[m], s.epoch[m]);
                let vis = if var.watermark {
                    let mut l = 0;
                    for j in 0..6u8 { if r.l & bit(j) != 0 && s.sseq[j as usize] > s.wm[m] { l |= bit(j) } }
                    l
                } else {
                    let sealed = if f < e { if s.frzok[m] == 1 { s.frz[m] } else { self.in_range(s0, r.l, f, e) } } else { 0 };
                    self.in_range(s0, sealed | self.in_range(s0, r.l, e, 255), s.tomb[m], 255)
                };
                if s.files[m] & !s.data != 0 || vis & !s.wal != 0 {
                    if var.skip_missing { } else { restart(&mut s); go!(s, 605); return Ok(()) }
                }
                let mut segs = 0u8;
                for j in 0..NF { if s.files[m] & s.data & bit(j as u8) != 0 {
                    if segs & s.fseg[j] != 0 { return Err((606, "I2 a query counted a segment twice (two files)".into(), s)) }
                    segs |= self.fvis(&s, j, s.tomb[m]);
                } }
                if segs & vis & s.wal != 0 { return Err((606, "I2 a query counted a segment twice (file and WAL)".into(), s)) }
                segs |= vis & s.wal;
                let res = self.writes_of(segs);
                let mut gone = 0u8; // writes that the delete may have removed
                if s.tomb[m] != 0 { for w in 0..4u8 { if w >= self.nw || s.aepoch[w as usize] < s.tomb[m] { gone |= bit(w) } } }
                if s.rhide & res != 0 { return Err((606, format!("I9 a query after the acknowledged DELETE returns deleted write(s) {:#b}", s.rhide & res), s)) }
                if r.acked0 & !res & !gone != 0 { return Err((606, format!("I1 a query misses acknowledged write(s) {:#b}", r.acked0 & !res), s)) }
                if r.prev & !res & !gone != 0 { return Err((606, format!("I3 a later query misses write(s) {:#b} that an earlier one returned", r.prev & !res), s)) }
                s.r = Reader { prev: res, reads: r.reads, ..Default::default() };
                go!(s, 606);
            }
            _ => unreachable!(),
        }
        Ok(())
    }

    // Sound state reduction: forget what no actor can observe any more.
    fn canon(&self, s: &mut St) {
        let max = s.max as usize;
        // contents of manifests that nobody holds
        for v in 1..max {
            let held = (s.g.pc == 2 && s.g.view as usize == v) || (s.r.pc >= 2 && s.r.m as usize == v)
                || (0..2).any(|i| s.w[i].mv as usize == v && s.w[i].wi < self.cfg.writes[i]);
            if !held { s.epoch[v] = 0; s.floor[v] = 0; s.frz[v] = 0; s.frzok[v] = 0; s.files[v] = 0; s.gcf[v] = 0; s.wm[v] = 0; s.tomb[v] = 0; }
        }
        for i in 0..2 { if s.w[i].wi >= self.cfg.writes[i] { s.w[i] = Writer { wi: s.w[i].wi, ..Default::default() } } }
        for i in 0..2 { if s.c[i].pc == 0 { s.c[i] = Comp { jobs: s.c[i].jobs, ..Default::default() } } }
        if s.r.pc == 0 && s.r.reads == 0 { s.r = Reader::default() }
        if s.g.pc == 0 && s.g.passes == 0 { s.g = Gc::default() }
        // garbage: segments below every floor in view, that no flush is about to read
        if !self.var.watermark {
            let mut keep = 0u8;
            for c in &s.c { if c.pc >= 11 && c.pc <= 14 { keep |= c.s } }
            if s.r.pc >= 2 { keep |= s.r.l | s.r.s2 | s.frz[s.r.m as usize] } else { keep |= s.r.l }
            let mut flo = s.floor[max];
            if s.r.pc >= 2 { flo = flo.min(s.floor[s.r.m as usize]) }
            for c in &s.c { if c.pc >= 11 && c.pc <= 13 { flo = flo.min(c.f) } }
            let mut used = 0u8;
            for i in 0..2 { if s.w[i].pc != 0 { used |= bit(s.w[i].seg) } }
            for i in 0..6u8 {
                if s.sepoch[i as usize] < flo && keep & bit(i) == 0 && used & bit(i) == 0 { s.wal &= !bit(i); s.infl &= !bit(i); }
                if (s.wal | s.infl | keep | used) & bit(i) == 0 && !self.cfg.del { s.sepoch[i as usize] = 0 }
            }
        }
        // garbage: data files that no held manifest names and no job is about to commit
        let mut used = s.files[max];
        if s.r.pc >= 2 { used |= s.files[s.r.m as usize] }
        if s.g.pc == 2 { used |= s.files[s.g.view as usize] }
        for c in &s.c { if matches!(c.pc, 15 | 16 | 22 | 23) && c.file != 255 { used |= bit(c.file) } if c.pc >= 21 { used |= c.inp } }
        s.data &= used;
        for x in 0..NF { if used & bit(x as u8) == 0 { s.fseg[x] = 0; s.flo[x] = 0; s.fhi[x] = 0; s.fbase[x] = 0; } }
        // real-time order: only needed while a write is pending
        let pend = (0..2).any(|i| s.w[i].wi < self.cfg.writes[i]);
        if !pend && !self.cfg.del { s.aepoch = [0; 4]; s.after = [0; 4]; }
        if s.r.pc == 0 { s.rhide = 0 }
        if s.c[0] > s.c[1] { s.c.swap(0, 1) }
    }
}

fn fp(s: &St) -> u128 {
    let p = unsafe { std::slice::from_raw_parts(s as *const St as *const u8, std::mem::size_of::<St>()) };
    let (mut a, mut b) = (0x9E3779B97F4A7C15u64, 0xC2B2AE3D27D4EB4Fu64);
    for ch in p.chunks(8) {
        let mut x = [0u8; 8];
        x[..ch.len()].copy_from_slice(ch);
        let x = u64::from_le_bytes(x);
        let m = (a ^ x) as u128 * 0xD6E8FEB86659FD93u128;
        a = (m as u64) ^ ((m >> 64) as u64);
        let m = (b.rotate_left(23) ^ x) as u128 * 0xA0761D6478BD642Fu128;
        b = (m as u64) ^ ((m >> 64) as u64) ^ b.rotate_left(7);
    }
    ((a as u128) << 64) | b as u128
}

#[derive(Default, Clone)]
struct Ident(u64);
impl Hasher for Ident {
    fn finish(&self) -> u64 { self.0 }
    fn write(&mut self, b: &[u8]) { for x in b { self.0 = self.0.rotate_left(8) ^ *x as u64 } }
    fn write_u128(&mut self, x: u128) { self.0 = x as u64 }
}

fn label(a: u16) -> String {
    let w = |k: u16| match k {
        0 => "starts a write, names a segment in the epoch of its cached manifest",
        1 => "PUT lands, 200", 2 => "PUT times out (still in flight)", 3 => "retries the same key, ok", 4 => "gives up, reports an error",
        5 => "ACK without confirmation", 6 => "confirm: next manifest exists, must reload", 7 => "confirm: next manifest absent -> ACK",
        8 => "confirm: next manifest absent", 9 => "confirm: cached manifest still there -> ACK (or reload)",
        10 => "reload: epoch still open (B15: or segment in the frozen set) -> ACK", 11 => "reload: epoch sealed -> new copy for the open epoch", 12 => "no copies left: error", _ => "?" };
    let c = |k: u16| match k {
        0 => "starts a flush", 1 => "starts a merge", 10 => "LIST: reads newest manifest", 11 => "seal commit", 12 => "LIST of WAL segments to flush", 13 => "freeze commit",
        14 => "reads segments, writes Parquet file", 15 => "reads newest manifest, checks conditions", 16 => "flush commit", 20 => "reads newest manifest, picks inputs",
        21 => "writes merged file", 22 => "reads newest manifest, checks conditions", 23 => "merge commit", 99 => "CRASH and restart", _ => "?" };
    match a {
        100..=199 => format!("writer 0: {}", w(a - 100)),
        200..=299 => format!("writer 1: {}", w(a - 200)),
        300..=399 => format!("compactor: {}", c(a - 300)),
        400..=499 => format!("compactor': {}", c(a - 400)),
        500 => "GC: starts with a stale view".into(), 501 => "GC: LIST, newest manifest".into(), 502 => "GC: fence commit".into(), 503 => "GC: ends the pass".into(),
        510..=517 => format!("GC: deletes segment {}", a - 510), 520..=539 => format!("GC: deletes data file {}", a - 520), 540..=559 => format!("GC: deletes manifest {}", a - 540),
        600 => "reader: query begins".into(), 601 => "reader: first scan (WAL keys, or manifest if manifest-first)".into(), 602 => "reader: second scan (manifest keys, or WAL)".into(),
        603 => "reader: lists sealed epochs again".into(), 604 => "reader: freeze commit (helping)".into(), 605 => "reader: an object is gone, restarts".into(), 606 => "reader: answers".into(), 607 => "reader: probe of the next manifest".into(),
        700 => "DELETE: begins".into(), 701 => "DELETE: commit (seals the epoch, sets the tombstone), acknowledged".into(),
        900..=919 => format!("network: delayed PUT of segment {} lands", a - 900), 920..=939 => format!("network: delayed PUT re-creates deleted manifest {}", a - 920),
        _ => format!("{}", a),
    }
}

fn run(name: &str, cfg: Cfg, var: Variant, cap: usize) -> (String, usize) {
    let t = Instant::now();
    let m = Model { cfg, var, nw: cfg.writes[0] + cfg.writes[1] };
    let s0 = m.init();
    let mut seen: HashSet<u128, BuildHasherDefault<Ident>> = HashSet::default();
    seen.insert(fp(&s0));
    let mut parent: Vec<(u32, u16)> = vec![(0, 0)];
    let mut front: Vec<(St, u32)> = vec![(s0, 0)];
    let (mut trans, mut depth, mut acks, mut answers) = (0u64, 0, 0u64, 0u64);
    let mut out = Vec::new();
    let trace = |parent: &Vec<(u32, u16)>, mut id: u32, last: u16| {
        let mut v = vec![last];
        while id != 0 { v.push(parent[id as usize].1); id = parent[id as usize].0 }
        v.reverse();
        v
    };
    let fail = |msg: &str, tr: Vec<u16>, n: usize, trans: u64, t: &Instant| {
        println!("{:<34} CAUGHT  {}", name, msg);
        println!("    {} states, {} transitions, {:.1} s, shortest trace {} steps", n, trans, t.elapsed().as_secs_f64(), tr.len());
        for (i, a) in tr.iter().enumerate() { println!("    {:>3} {}", i + 1, label(*a)) }
    };
    while !front.is_empty() {
        let mut next = Vec::new();
        for (s, id) in &front {
            out.clear();
            if let Err((a, msg, _)) = m.succ(s, &mut out) {
                fail(&msg, trace(&parent, *id, a), seen.len(), trans, &t);
                return ("caught".into(), seen.len());
            }
            for (n, a) in out.drain(..) {
                trans += 1;
                if n.acked.count_ones() > s.acked.count_ones() { acks += 1 }
                if a == 606 { answers += 1 }
                if let Err(msg) = m.check(&n) {
                    fail(&msg, trace(&parent, *id, a), seen.len(), trans, &t);
                    return ("caught".into(), seen.len());
                }
                let mut n = n;
                m.canon(&mut n);
                if seen.insert(fp(&n)) {
                    parent.push((*id, a));
                    next.push((n, parent.len() as u32 - 1));
                }
            }
        }
        if seen.len() > cap {
            println!("{:<34} BOUND   no violation in {} states (depth {}), {} transitions, {:.1} s: not exhausted", name, seen.len(), depth, trans, t.elapsed().as_secs_f64());
            return ("bound".into(), seen.len());
        }
        front = next;
        depth += 1;
        if env::var("PROGRESS").is_ok() { eprintln!("  depth {} states {} front {} {:.0}s", depth, seen.len(), front.len(), t.elapsed().as_secs_f64()) }
    }
    println!("{:<34} HOLDS   {} states, {} transitions, depth {}, {:.1} s (ack steps {}, query answers {})", name, seen.len(), trans, depth, t.elapsed().as_secs_f64(), acks, answers);
    ("holds".into(), seen.len())
}

// ---------------------------------------------------------------------------
// Part two: what the code does on top of part one.
//
// Commits built on a cached manifest whose proof is young (no LIST before, none
// after), the confirm that is judged by the age of a proof, opening by HINT
// without a LIST, flush chains, freezes that use a LIST of which the process
// knew the manifest before, attempts of a commit with ids of their own, looks
// at the whole log, and a collector that keeps manifests for an hour.  What is
// left out: data files (a manifest holds the set of settled segments instead),
// merges, DELETE: as in part one.
//
// Time.  A transition TICK says "an hour passes": every manifest there is
// becomes old (deletable), every proof that any process holds becomes stale,
// and so does its last look at the log; every operation in progress goes on
// afterwards.  A process whose bit is in cfg.fool does not notice TICKs by its
// own clocks (both stood still); bit 32: the collector's clock is fast by as
// much.  With var.dated (R and M) ages are by the dates of the store's answers,
// as they were when the answer was given, and the collector goes by the dates
// of its LIST: then cfg.fool changes nothing but what var.dated leaves to it.
//
// HINT.  An opener may read any manifest of the history from it: it is
// overwritten best effort and late, so nothing is assumed about it at all.
//
// Holes.  A manifest number whose object was deleted can be created again:
// by a committer that slept ("stray": another commit id, parent = the manifest
// before), by nobody in particular (cfg.strays), or by a repetition of the very
// request that had created it ("ghost": the same bytes, the same commit id;
// cfg.ghosts), however late.  An attempt of a commit whose answer is lost
// (cfg.late) may land at any later time, or never: its committer looks in a
// LIST for what became of it, and sends another one with another id.
mod two {
use std::collections::HashSet;
use std::env;
use std::hash::BuildHasherDefault;
use std::time::Instant;
use super::{bit, sget, sset, Ident};

const V: usize = 16;
const NS: usize = 6;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, PartialOrd, Ord)]
#[repr(C)]
struct K { st: u8, op: u8, f: u8, e: u8, s: u8, jb: u8, base: u8, bf: u8, nf: u8, made: u8, dec: u8, dbt: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
struct W { pc: u8, mv: u8, fr: u8, seg: u8, wi: u8, tmo: u8, h: u8, x: u8, y: u8, df: u8, k: K }
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, PartialOrd, Ord)]
#[repr(C)]
struct C { pc: u8, jobs: u8, mv: u8, fr: u8, l: u8, tries: u8, here: u8, k: K }
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
struct G { pc: u8, passes: u8, view: u8, mv: u8, fr: u8, doom: [u8; 2], k: K }
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
struct R { pc: u8, reads: u8, tries: u8, mv: u8, fr: u8, l: u8, m: u8, res: u8, acked0: u8, prev: u8, x: u8, k: K }
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct St {
    epoch: [u8; V], floor: [u8; V], frz: [u8; V], frzok: [u8; V], cons: [u8; V], gcf: [u8; V],
    slot: [u8; 2], ghost: [u8; 2], stray: [u8; 2], old: [u8; 2], gone: [u8; 2],
    max: u8, ticks: u8, strays: u8, ghosts: u8, late: u8,
    lt: K, lw: u8, // an attempt on its way, and the version it became
    sepoch: [u8; NS], wal: u8, infl: u8,
    acked: u8, aepoch: [u8; 4], after: [u8; 4],
    w: [W; 2], c: [C; 2], g: G, r: R,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Var {
    no_age: bool, judge_first_commit: bool, judge_first_write: bool, never_c4: bool, no_second_get: bool, second_get_first: bool,
    follow_no_last_get: bool, follow_last_only: bool, follow_get_first: bool, no_parent: bool, descending: bool, list_of_seal: bool,
    commit_anything_cached: bool, c4_by_get: bool, no_probe: bool,
    tomb: bool, tomb_late: bool, always_second: bool, no_ghost_trust: bool, list_when_stale: bool,
    look: bool, dated: bool, question: bool, forget: bool, own_first: bool, no_find: bool, first_look: bool,
}
#[derive(Clone, Copy, Debug)]
pub struct Cfg {
    writes: [u8; 2], copies: u8, tmo: [u8; 2], open: [bool; 2], define: [bool; 2], jobs: [u8; 2], tries: u8, passes: u8, collect: bool, keep: u8,
    ticks: u8, strays: u8, ghosts: u8, late: u8, fool: u8, reads: u8, rtries: u8, ropen: bool, fine: bool, mfirst: bool,
}

fn blk(v: u8) -> u8 { v >> 1 } // a block of the tombstone fix has two numbers

enum Did { Going, Ok(u8), Void }

pub struct M { cfg: Cfg, var: Var, nw: u8 }

type Out = Vec<(St, u16)>;
type Bad = (u16, String);

impl M {
    fn write_of(&self, seg: u8) -> u8 { seg / self.cfg.copies }
    fn writes_of(&self, segs: u8) -> u8 { (0..NS as u8).filter(|s| segs & bit(*s) != 0).fold(0, |r, s| r | bit(self.write_of(s))) }
    fn first(&self, i: usize) -> u8 { if i == 0 { 0 } else { self.cfg.writes[0] } }
    fn there(&self, s: &St, v: u8) -> bool { sget(&s.slot, v) || sget(&s.ghost, v) || sget(&s.stray, v) }
    // what GET log/<v>.m shows of the commit that the history knows as v
    fn same(&self, s: &St, v: u8) -> bool { sget(&s.slot, v) || (sget(&s.ghost, v) && !self.var.no_ghost_trust) }
    fn range(&self, s: &St, segs: u8, lo: u8, hi: u8) -> u8 {
        (0..NS as u8).filter(|i| segs & bit(*i) != 0 && s.sepoch[*i as usize] >= lo && s.sepoch[*i as usize] < hi).fold(0, |r, i| r | bit(i))
    }
    fn init(&self) -> St {
        let mut s: St = unsafe { std::mem::zeroed() };
        s.max = 1;
        sset(&mut s.slot, 1, true);
        s.epoch[1] = 1; s.floor[1] = 1;
        s.ticks = self.cfg.ticks; s.strays = self.cfg.strays; s.ghosts = self.cfg.ghosts; s.late = self.cfg.late;
        for i in 0..2 { s.w[i] = W { mv: if self.cfg.open[i] { 0 } else { 1 }, fr: 1, tmo: self.cfg.tmo[i], df: self.cfg.define[i] as u8, ..Default::default() } }
        for i in 0..2 { s.c[i] = C { jobs: self.cfg.jobs[i], mv: 1, fr: 1, ..Default::default() } }
        s.g = G { passes: self.cfg.passes, mv: 1, fr: 1, ..Default::default() };
        s.r = R { reads: self.cfg.reads, mv: if self.cfg.ropen { 0 } else { 1 }, fr: 1, ..Default::default() };
        s
    }
    // database::apply: does the edit apply to manifest m?
    fn applies(&self, s: &St, k: &K, m: u8) -> bool {
        let m = m as usize;
        match k.op {
            1 => s.floor[m] == s.epoch[m],
            2 => s.frzok[m] == 0 && s.floor[m] == k.f && s.epoch[m] == k.e && k.f < k.e,
            3 => s.floor[m] == k.f && s.gcf[m] <= k.jb && s.frzok[m] == 1 && s.frz[m] == k.s,
            _ => true,
        }
    }
    fn write(&self, s: &mut St, k: &K) {
        let (b, n) = (k.base as usize, k.base as usize + 1);
        s.epoch[n] = s.epoch[b]; s.floor[n] = s.floor[b]; s.frz[n] = s.frz[b]; s.frzok[n] = s.frzok[b]; s.cons[n] = s.cons[b]; s.gcf[n] = s.gcf[b];
        match k.op {
            1 => s.epoch[n] = n as u8,
            2 => { s.frzok[n] = 1; s.frz[n] = k.s }
            3 => { s.cons[n] |= k.s; s.floor[n] = s.epoch[b]; s.frzok[n] = 0; s.frz[n] = 0 }
            5 => s.gcf[n] = b as u8,
            _ => {}
        }
        s.max = n as u8;
        sset(&mut s.slot, n as u8, true);
    }
    // one step of Ledger::commit.  get: where machine and cache live; the closure ends the step by what became of it
    fn kstep(&self, s0: &St, a: u16, get: &dyn Fn(&mut St) -> (&mut K, &mut u8, &mut u8), fin: &mut dyn FnMut(&mut St, Did, u16, &mut Out) -> Result<(), Bad>, out: &mut Out) -> Result<(), Bad> {
        let mut t = *s0;
        let (k, mv, fr) = { let (k, mv, fr) = get(&mut t); (*k, *mv, *fr) };
        match k.st {
            // C1: the cached manifest if it is proven; else, or after a lost turn (3), by LIST
            0 | 3 => {
                if k.st == 0 && mv != 0 && fr == 1 && (self.applies(s0, &k, mv) || self.var.commit_anything_cached) {
                    let mut s = *s0;
                    if !self.applies(s0, &k, mv) { return fin(&mut s, Did::Void, a + 38, out) }
                    { let (k, _, _) = get(&mut s); k.st = 1; k.base = mv; k.bf = 1; k.dec = 1; }
                    if self.fuse(&s) { self.kstep(&s, a, get, fin, out)? } else { fin(&mut s, Did::Going, a + 30, out)? }
                    if !self.cfg.fine { return Ok(()) }
                }
                let mut s = *s0;
                let max = s.max;
                { let (k, mv, fr) = get(&mut s); *mv = max; *fr = 1; k.base = max; k.bf = 1; k.dec = 1; k.st = 1; }
                if k.dbt != 0 && k.dbt <= max { // what has become of the attempt in doubt
                    if s.lw == k.dbt {
                        if self.var.no_find { return Err((a + 39, "I8 an attempt that took place was taken for lost".into())) }
                        { let (k, _, _) = get(&mut s); *k = K::default(); }
                        return fin(&mut s, Did::Ok(s0.lw), a + 39, out);
                    }
                    let (k, _, _) = get(&mut s); k.dbt = 0;
                }
                if !self.applies(s0, &k, max) { return fin(&mut s, Did::Void, a + 38, out) }
                if self.fuse(&s) { return self.kstep(&s, a, get, fin, out) }
                fin(&mut s, Did::Going, a + 31, out)
            }
            // C3
            1 => {
                let mut s = *s0;
                let n = k.base + 1;
                if s.late > 0 && (n as usize) < V { // the answer is lost; it lands when it likes
                    let mut s = *s0;
                    s.late -= 1;
                    s.lt = K { op: k.op, f: k.f, e: k.e, s: k.s, jb: k.jb, base: k.base, st: 1, ..K::default() };
                    { let (k, _, _) = get(&mut s); k.dbt = n; k.st = 3; k.base = 0; k.bf = 0; k.dec = 0; }
                    fin(&mut s, Did::Going, a + 46, out)?;
                }
                if k.base == s.max {
                    if n as usize >= V { return Ok(()) } // bound
                    self.write(&mut s, &k);
                    { let (k, _, _) = get(&mut s); k.made = n; k.nf = 1; k.st = 2; if self.var.dated && !self.var.question { k.dec = k.bf } }
                    if self.fuse(&s) && k.bf == 1 && !self.var.tomb && !self.var.c4_by_get { return self.kstep(&s, a, get, fin, out) }
                    return fin(&mut s, Did::Going, a + 32, out);
                }
                if self.there(s0, n) {
                    { let (k, _, _) = get(&mut s); k.st = 3; k.base = 0; k.bf = 0; k.dec = 0; }
                    return fin(&mut s, Did::Going, a + 33, out);
                }
                sset(&mut s.stray, n, true);
                sset(&mut s.old, n, false);
                { let (k, _, _) = get(&mut s); k.made = n | 0x80; k.nf = 1; k.st = 2; if self.var.dated && !self.var.question { k.dec = k.bf } }
                fin(&mut s, Did::Going, a + 34, out)
            }
            // C4, judged after the create
            2 => {
                let is_stray = k.made & 0x80 != 0;
                let n = k.made & 0x7f;
                let young = if self.var.judge_first_commit || self.var.dated { k.dec == 1 } else { k.bf == 1 };
                let sure = if self.var.tomb { !sget(&s0.gone, blk(n)) } else if self.var.c4_by_get { self.same(s0, n - 1) } else { young || self.var.never_c4 };
                if sure {
                    if is_stray { return Err((a + 35, "I8 a commit was reported as successful but is not part of the history".into())) }
                    let mut s = *s0;
                    { let (k, mv, fr) = get(&mut s); let nf = k.nf; *k = K::default(); if n > *mv { *mv = n; *fr = nf; } }
                    fin(&mut s, Did::Ok(n), a + 35, out)?;
                    if (!self.cfg.fine && k.bf == 1) || self.var.tomb || (!self.cfg.fine && !self.var.dated) { return Ok(()) }
                }
                if self.var.judge_first_commit || self.var.never_c4 { return Ok(()) }
                let mut s = *s0; // LIST after n
                if self.var.forget && s.max > n { // others followed, too many to be remembered: asks the neighbour
                    { let (k, _, _) = get(&mut s); k.st = if self.var.own_first { 6 } else { 5 }; }
                    return fin(&mut s, Did::Going, a + 47, out);
                }
                if is_stray {
                    { let (k, _, _) = get(&mut s); k.st = 3; k.made = 0; k.base = 0; k.bf = 0; k.nf = 0; k.dec = 0; }
                    fin(&mut s, Did::Going, a + 37, out)
                } else {
                    let max = s.max;
                    { let (k, mv, fr) = get(&mut s); let nf = k.nf; *k = K::default(); if max > n { *mv = max; *fr = 1 } else { *mv = n; *fr = nf } }
                    fin(&mut s, Did::Ok(n), a + 36, out)
                }
            }
            // GET the one after it: its parent tells; absent: GET it itself (broken: the other way round)
            5 | 6 => {
                let (is_stray, n) = (k.made & 0x80 != 0, k.made & 0x7f);
                let mut s = *s0;
                let again = |s: &mut St| { let (k, _, _) = get(s); let dbt = k.dbt; k.st = 3; k.made = 0; k.base = 0; k.bf = 0; k.nf = 0; k.dec = dbt & 0; };
                let unknown = |s: &mut St, fin: &mut dyn FnMut(&mut St, Did, u16, &mut Out) -> Result<(), Bad>, out: &mut Out| { { let (k, _, _) = get(s); *k = K::default(); } fin(s, Did::Void, a + 38, out) };
                let lost = || Err((a + 48, "I8 a commit that is in the history was taken for lost".to_string()));
                let next = self.there(s0, n + 1);
                let own = if is_stray { sget(&s0.stray, n) } else { self.same(s0, n) };
                let step = |s: &mut St, st: u8| { let (k, _, _) = get(s); k.st = st; };
                match (k.st, self.var.own_first) {
                    (5, _) if next && is_stray => { again(&mut s); fin(&mut s, Did::Going, a + 37, out) }
                    (5, _) if next => {
                        let max = s.max;
                        { let (k, mv, fr) = get(&mut s); *k = K::default(); *mv = max; *fr = 0 }
                        fin(&mut s, Did::Ok(n), a + 36, out)
                    }
                    (5, false) => { step(&mut s, 6); fin(&mut s, Did::Going, a + 49, out) }
                    (6, true) if own => { step(&mut s, 5); fin(&mut s, Did::Going, a + 48, out) }
                    (6, _) if !own => unknown(&mut s, fin, out),
                    _ if !is_stray => lost(),
                    _ => { again(&mut s); fin(&mut s, Did::Going, a + 37, out) }
                }
            }
            _ => unreachable!(),
        }
    }

    // once no time can pass any more, the steps of a commit are as good as one
    fn fuse(&self, s: &St) -> bool { s.ticks == 0 && !self.cfg.fine }
    // whether what lies at number v can be seen by anybody
    fn matters(&self, s: &St, v: u8, openers: bool) -> bool {
        let m = |x: u8| x != 0 && (x == v || x + 1 == v);
        let k = |k: &K| m(k.base) || m(k.made & 0x7f);
        openers || m(s.g.mv) || k(&s.g.k) || m(s.r.mv) || m(s.r.m) || k(&s.r.k) || s.w.iter().any(|w| m(w.mv) || k(&w.k)) || s.c.iter().any(|c| (c.pc != 0 || c.jobs > 0) && (m(c.mv) || k(&c.k)))
    }
    fn openers(&self, s: &St) -> bool { (0..2).any(|i| s.w[i].wi < self.cfg.writes[i] && (s.w[i].mv == 0 || s.w[i].pc >= 20)) }

    fn ack(&self, s: &mut St, i: usize, a: u16) -> Result<(), Bad> {
        let w = self.first(i) + s.w[i].wi;
        s.acked |= bit(w);
        s.aepoch[w as usize] = s.sepoch[s.w[i].seg as usize];
        for o in 0..4u8 {
            if s.after[w as usize] & bit(o) != 0 && s.aepoch[o as usize] > s.aepoch[w as usize] {
                return Err((a, format!("I4 write {} began after write {} was acknowledged but is ordered before it", w, o)));
            }
        }
        self.next(s, i);
        Ok(())
    }
    fn next(&self, s: &mut St, i: usize) { s.w[i].wi += 1; s.w[i].pc = 0; s.w[i].seg = 0; s.w[i].x = 0; s.w[i].y = 0; }

    fn check(&self, s: &St) -> Result<(), String> {
        let m = s.max as usize;
        let sealed = if s.frzok[m] == 1 { s.frz[m] } else { 0xff };
        let reach = s.cons[m] | self.range(s, s.wal, s.epoch[m], s.epoch[m] + 1) | (self.range(s, s.wal, s.floor[m], s.epoch[m]) & sealed);
        let lost = s.acked & !self.writes_of(reach);
        if lost != 0 { return Err(format!("I1 acknowledged write(s) {:#b} unreachable: LOST", lost)) }
        if !sget(&s.slot, s.max) { return Err("the newest manifest was deleted".into()) }
        Ok(())
    }

    // steps of Ledger::follow for an opener; pc0 is its first pc. h hint, x followed to, y: x is a stray (bit 0), seen hinted (bit 1)
    fn follow(&self, s0: &St, a: u16, pc0: u8, get: &dyn Fn(&mut St) -> (&mut u8, &mut u8, &mut u8, &mut u8, &mut u8, &mut u8), done: u8, out: &mut Out) {
        let mut t = *s0;
        let (pc, h, x, y) = { let (pc, h, x, y, _, _) = get(&mut t); (*pc, *h, *x, *y) };
        let list = |code: u16, out: &mut Out| {
            let mut s = *s0;
            let max = s.max;
            { let (pc, h, x, y, mv, fr) = get(&mut s); *pc = done; *h = 0; *x = 0; *y = 0; *mv = max; *fr = 1; }
            out.push((s, code));
        };
        match pc - pc0 {
            0 => for v in 1..=s0.max {
                let mut s = *s0;
                { let (pc, h, x, y, _, _) = get(&mut s); *h = v; *x = v; *y = 0; *pc = pc0 + if self.var.follow_get_first { 2 } else { 1 }; }
                out.push((s, a));
            },
            1 => { // GET the one after
                let n = x + 1;
                if self.there(s0, n) {
                    let stray = !(sget(&s0.slot, n) || sget(&s0.ghost, n));
                    // a stray's parent is the history's manifest before it; nothing that is there descends from a stray
                    if (y & 1 == 1 && !self.var.no_parent) || x - h >= 3 { return list(a + 2, out) }
                    let mut s = *s0;
                    { let (_, _, x, y, _, _) = get(&mut s); *x = n; if stray { *y |= 1 } }
                    out.push((s, a + 1));
                } else if self.var.follow_no_last_get || self.var.follow_get_first {
                    let mut s = *s0;
                    { let (pc, h, x, y, mv, fr) = get(&mut s); *mv = *x | if *y & 1 == 1 { 0x80 } else { 0 }; *fr = 1; *pc = done; *h = 0; *x = 0; *y = 0; }
                    out.push((s, a + 3));
                } else {
                    let mut s = *s0;
                    { let (pc, _, _, y, _, _) = get(&mut s); *pc = pc0 + 2; *y |= 2; }
                    out.push((s, a + 3));
                }
            }
            2 => { // GET the hinted one (or, with the fix, the tombstone of the block of the number after)
                let ok = if self.var.tomb { !sget(&s0.gone, blk(x + 1)) && !sget(&s0.gone, blk(x)) }
                    else if self.var.follow_last_only && x != h { self.there(s0, x) && (sget(&s0.stray, x) == (y & 1 == 1)) } else { self.same(s0, h) };
                if !ok { return list(a + 5, out) }
                let mut s = *s0;
                if self.var.follow_get_first { let (pc, ..) = get(&mut s); *pc = pc0 + 1; } else {
                    let (pc, h, x, y, mv, fr) = get(&mut s);
                    *mv = *x | if *y & 1 == 1 { 0x80 } else { 0 };
                    *fr = *y >> 1 & 1; *pc = done; *h = 0; *x = 0; *y = 0;
                }
                out.push((s, a + 4));
            }
            _ => unreachable!(),
        }
    }

    fn succ(&self, s0: &St, out: &mut Out) -> Result<(), Bad> {
        let (cfg, var) = (&self.cfg, &self.var);
        // ------------- environment
        for i in 0..NS as u8 { if s0.infl & bit(i) != 0 { let mut s = *s0; s.infl &= !bit(i); s.wal |= bit(i); out.push((s, 900 + i as u16)) } }
        if s0.ticks > 0 {
            let mut s = *s0;
            s.ticks -= 1;
            for v in 1..=s.max { if self.there(&s, v) { sset(&mut s.old, v, true) } }
            fn age(k: &mut K) { k.bf = 0; k.nf = 0 }
            let fool = if var.dated { 0 } else { cfg.fool };
            for i in 0..2 { if fool & bit(i as u8) == 0 { s.w[i].fr = 0; s.w[i].y &= !2; age(&mut s.w[i].k) } }
            for i in 0..2 { if fool & 4 == 0 { s.c[i].fr = 0; s.c[i].here &= 1; age(&mut s.c[i].k) } }
            if fool & 8 == 0 { s.g.fr = 0; age(&mut s.g.k) }
            if fool & 16 == 0 { s.r.fr = 0; if !(var.dated && s.r.pc == 7) { s.r.x = 0 } age(&mut s.r.k) }
            out.push((s, 910));
        }
        if s0.lt.st == 1 {
            let (mut s, n) = (*s0, s0.lt.base + 1);
            if s.lt.base == s.max {
                let k = s.lt;
                self.write(&mut s, &k);
                s.lw = n;
            } else if !self.there(s0, n) { sset(&mut s.stray, n, true); sset(&mut s.old, n, false) }
            s.lt = K::default();
            out.push((s, 911));
        }
        let openers = self.openers(s0);
        if s0.strays + s0.ghosts > 0 { for v in 1..s0.max {
            if self.there(s0, v) || !self.matters(s0, v, openers) { continue }
            if s0.strays > 0 && v > 1 { let mut s = *s0; s.strays -= 1; sset(&mut s.stray, v, true); sset(&mut s.old, v, false); out.push((s, 920 + v as u16)) }
            if s0.ghosts > 0 { let mut s = *s0; s.ghosts -= 1; sset(&mut s.ghost, v, true); sset(&mut s.old, v, false); out.push((s, 940 + v as u16)) }
        } }
        // ------------- writers
        for i in 0..2usize {
            let w = s0.w[i];
            if w.wi >= cfg.writes[i] { continue }
            let a = 100 * (i as u16 + 1);
            let cached = |s: &mut St| -> Result<(), Bad> { if s.w[i].mv & 0x80 != 0 { Err((a + 44, "a process opened a stray manifest as the newest".into())) } else { Ok(()) } };
            match w.pc {
                // opening by HINT: 20..22
                0 if w.mv == 0 => { let mut s = *s0; s.w[i].pc = 20; self.follow(&s, a + 40, 20, &move |s: &mut St| { let w = &mut s.w[i]; (&mut w.pc, &mut w.h, &mut w.x, &mut w.y, &mut w.mv, &mut w.fr) }, 0, out); }
                20..=22 => self.follow(s0, a + 40, 20, &move |s: &mut St| { let w = &mut s.w[i]; (&mut w.pc, &mut w.h, &mut w.x, &mut w.y, &mut w.mv, &mut w.fr) }, 0, out),
                0 | 10 if w.df == 1 => {
                    let mut s = *s0;
                    cached(&mut s)?;
                    if w.pc == 0 { s.w[i].k = K { op: 4, st: if var.first_look && cfg.open[i] { 3 } else { 0 }, ..K::default() }; s.w[i].pc = 10; let wr = self.first(i) + w.wi; s.after[wr as usize] = s.acked; }
                    self.kstep(&s, a, &move |s: &mut St| { let w = &mut s.w[i]; (&mut w.k, &mut w.mv, &mut w.fr) },
                        &mut |s, did, code, out| { if !matches!(did, Did::Going) { s.w[i].df = 0; s.w[i].pc = 0; s.w[i].k = K::default() } out.push((*s, code)); Ok(()) }, out)?;
                }
                0 | 1 => {
                    let mut s = *s0;
                    cached(&mut s)?;
                    if w.pc == 0 {
                        let wr = self.first(i) + w.wi;
                        s.after[wr as usize] |= s.acked;
                        s.w[i].seg = wr * cfg.copies;
                        s.sepoch[s.w[i].seg as usize] = s.epoch[w.mv as usize];
                    }
                    let seg = s.w[i].seg;
                    if cfg.fine && w.pc == 0 { s.w[i].pc = 1; out.push((s, a)); continue }
                    if var.first_look && cfg.open[i] && w.wi == 0 && w.y & 4 == 0 { // the first write LISTs beside its PUT
                        let mut t = s;
                        t.w[i].y |= 4; t.w[i].pc = 1;
                        if t.max != t.w[i].mv { t.w[i].y |= 8 } else { t.w[i].fr = 1 }
                        out.push((t, a + 15));
                        continue;
                    }
                    let mut t = s;
                    t.wal |= bit(seg); t.w[i].pc = if var.second_get_first { 7 } else { 2 }; t.w[i].x = t.w[i].fr;
                    out.push((t, a + 1));
                    if w.tmo > 0 { s.infl |= bit(seg); s.w[i].pc = 3; s.w[i].tmo -= 1; out.push((s, a + 2)) }
                }
                3 => {
                    let mut s = *s0; // the same key again: it lands now, or was there
                    s.wal |= bit(w.seg); s.w[i].pc = if var.second_get_first { 7 } else { 2 }; s.w[i].x = s.w[i].fr;
                    out.push((s, a + 3));
                    let mut s = *s0;
                    self.next(&mut s, i);
                    out.push((s, a + 4));
                }
                2 => { // W3: GET log/<mv+1>.m
                    let mut s = *s0;
                    if w.y & 8 != 0 { s.w[i].y = 4; s.w[i].pc = 4; out.push((s, a + 6)); continue }
                    if self.there(s0, w.mv + 1) { s.w[i].pc = 4; out.push((s, a + 6)); continue }
                    s.w[i].pc = 5;
                    s.w[i].y = 2 | (w.y & 4);
                    if var.dated && !var.question { s.w[i].x = w.fr }
                    if self.fuse(&s) && s.w[i].fr == 1 && !var.always_second && !var.second_get_first { self.ack(&mut s, i, a + 7)?; out.push((s, a + 7)); continue }
                    out.push((s, a + 8));
                }
                5 => { // judged afterwards
                    let young = if var.judge_first_write || var.dated { w.x == 1 } else { w.fr == 1 };
                    if (young && !var.always_second) || var.no_second_get || var.second_get_first {
                        let mut s = *s0;
                        self.ack(&mut s, i, a + 7)?;
                        out.push((s, a + 7));
                        if (!cfg.fine && (!var.dated || w.fr == 1)) || var.no_second_get || var.second_get_first { continue }
                    }
                    if var.judge_first_write && w.x == 1 { continue }
                    let mut s = *s0; // m itself (or the tombstone) must be there (not there)
                    if var.list_when_stale || (var.look && w.fr == 0) { s.w[i].pc = 4; out.push((s, a + 13)); continue }
                    let ok = if var.tomb { !sget(&s.gone, blk(w.mv + 1)) } else { self.same(&s, w.mv) };
                    if ok { if w.y & 2 != 0 { s.w[i].fr = 1 } self.ack(&mut s, i, a + 9)?; } else { s.w[i].pc = 4 }
                    out.push((s, a + 9));
                }
                7 => { // broken: m itself is looked for first
                    let mut s = *s0;
                    s.w[i].pc = if self.same(&s, w.mv) { 2 } else { 4 };
                    out.push((s, a + 14));
                }
                4 => { // reload by LIST
                    let mut s = *s0;
                    let m = s.max as usize;
                    s.w[i].mv = s.max; s.w[i].fr = 1;
                    if s.sepoch[w.seg as usize] == s.epoch[m] {
                        self.ack(&mut s, i, a + 10)?;
                        out.push((s, a + 10));
                    } else {
                        let wr = self.first(i) + w.wi;
                        if w.seg + 1 < (wr + 1) * cfg.copies {
                            s.w[i].seg += 1;
                            s.sepoch[s.w[i].seg as usize] = s.epoch[m];
                            s.w[i].pc = 1;
                            out.push((s, a + 11));
                        } else { self.next(&mut s, i); out.push((s, a + 12)) }
                    }
                }
                _ => unreachable!(),
            }
        }
        // ------------- flushers
        for i in 0..2usize {
            let c = s0.c[i];
            let a = 300 + 100 * i as u16;
            if i == 1 && s0.c[0] == s0.c[1] { continue }
            let done = |s: &mut St| { let c = &mut s.c[i]; c.pc = 0; c.l = 0; c.here = 0; c.k = K::default(); c.tries = 0 };
            let again = |s: &mut St| { if s.c[i].tries > 0 { s.c[i].tries -= 1; s.c[i].pc = 1; s.c[i].l = 0; s.c[i].k = K::default() } else { done(s) } };
            match c.pc {
                0 if c.jobs == 0 => {}
                0 | 1 => {
                    let mut s = *s0;
                    if c.pc == 0 { s.c[i].jobs -= 1; s.c[i].tries = cfg.tries; }
                    s.c[i].l = s.wal; s.c[i].pc = 2; s.c[i].here |= 2; // LIST, WAL keys
                    if cfg.fine { out.push((s, a + 1)) } else { self.looked(&s, a, i, out) }
                }
                2 => self.looked(s0, a, i, out),
                3 => {
                    let mut s = *s0;
                    s.c[i].k.s = self.range(&s, s.wal, c.k.f, c.k.e);
                    s.c[i].pc = 4;
                    out.push((s, a + 3));
                }
                4 => self.kstep(s0, a, &|s: &mut St| { let c = &mut s.c[i]; (&mut c.k, &mut c.mv, &mut c.fr) }, &mut |s, did, code, out| {
                    match did { Did::Going => {}, Did::Ok(n) => { let set = s.frz[n as usize]; s.c[i].pc = 6; s.c[i].l = 0; s.c[i].k = K { op: 3, f: s.floor[n as usize], s: set, jb: n, ..K::default() } } Did::Void => again(s) }
                    out.push((*s, code)); Ok(()) }, out)?,
                5 => self.kstep(s0, a, &|s: &mut St| { let c = &mut s.c[i]; (&mut c.k, &mut c.mv, &mut c.fr) }, &mut |s, did, code, out| {
                    match did { Did::Going => {}, Did::Ok(_) => { s.c[i].here = 1; s.c[i].pc = 1; s.c[i].l = 0; s.c[i].k = K::default() } Did::Void => again(s) }
                    out.push((*s, code)); Ok(()) }, out)?,
                6 => {
                    let mut s = *s0; // read the segments, write Parquet
                    if c.k.s & !s.wal != 0 { again(&mut s); out.push((s, a + 6)); continue }
                    s.c[i].pc = 7;
                    if cfg.fine { out.push((s, a + 6)); continue }
                    self.kstep(&s, a, &|s: &mut St| { let c = &mut s.c[i]; (&mut c.k, &mut c.mv, &mut c.fr) }, &mut |s, did, code, out| {
                        match did { Did::Going => {}, Did::Ok(_) => done(s), Did::Void => again(s) }
                        out.push((*s, code)); Ok(()) }, out)?
                }
                7 => self.kstep(s0, a, &|s: &mut St| { let c = &mut s.c[i]; (&mut c.k, &mut c.mv, &mut c.fr) }, &mut |s, did, code, out| {
                    match did { Did::Going => {}, Did::Ok(_) => done(s), Did::Void => again(s) }
                    out.push((*s, code)); Ok(()) }, out)?,
                _ => unreachable!(),
            }
        }
        // ------------- collector
        let g = s0.g;
        match g.pc {
            0 if g.passes > 0 => {
                let mut s = *s0;
                s.g.passes -= 1; s.g.view = s.max; s.g.mv = s.max; s.g.fr = 1;
                let listed: Vec<u8> = (1..=s.max).filter(|v| self.there(&s, *v)).collect();
                let spare = listed.len().saturating_sub(cfg.keep as usize);
                for v in listed.iter().take(spare) {
                    if *v >= s.max || !(sget(&s.old, *v) || var.no_age || (cfg.fool & 32 != 0 && !var.dated)) { break }
                    sset(&mut s.g.doom, *v, true);
                }
                s.g.pc = 2;
                out.push((s, 501));
                if cfg.collect { s.g.pc = 1; s.g.k = K { op: 5, ..K::default() }; out.push((s, 500)) }
            }
            1 => self.kstep(s0, 500, &|s: &mut St| { let g = &mut s.g; (&mut g.k, &mut g.mv, &mut g.fr) }, &mut |s, did, code, out| {
                if !matches!(did, Did::Going) { s.g.pc = 2; s.g.k = K::default() } out.push((*s, code)); Ok(()) }, out)?,
            2 => {
                if cfg.reads > 0 || cfg.fine { for i in 0..NS as u8 { if s0.wal & bit(i) != 0 && s0.sepoch[i as usize] < s0.floor[g.view as usize] { let mut s = *s0; s.wal &= !bit(i); out.push((s, 510 + i as u16)) } } }
                let doomed: Vec<u8> = (1..g.view).filter(|v| sget(&g.doom, *v)).collect();
                let pick = if var.descending { doomed.last() } else { doomed.first() };
                if let Some(v) = pick {
                    let mut s = *s0;
                    if var.tomb && !var.tomb_late && !sget(&s.gone, blk(*v)) { sset(&mut s.gone, blk(*v), true); out.push((s, 560 + *v as u16)) } else {
                        sset(&mut s.slot, *v, false); sset(&mut s.ghost, *v, false); sset(&mut s.stray, *v, false);
                        sset(&mut s.old, *v, false); sset(&mut s.g.doom, *v, false);
                        if var.tomb_late { sset(&mut s.gone, blk(*v), doomed.len() == 1) }
                        out.push((s, 540 + *v as u16));
                    }
                }
                let mut s = *s0;
                s.g.pc = 0; s.g.view = 0; s.g.doom = [0; 2];
                out.push((s, 503));
            }
            _ => {}
        }
        // ------------- reader
        let r = s0.r;
        let restart = |s: &mut St| {
            let r = &mut s.r;
            if r.tries > 0 { r.tries -= 1; r.pc = 1; r.l = 0; r.m = 0; r.res = 0; r.x = 0; r.k = K::default() }
            else { *r = R { prev: r.prev, reads: r.reads, mv: r.mv, fr: r.fr, ..Default::default() } }
        };
        match r.pc {
            0 if r.reads == 0 => {}
            0 => {
                let mut s = *s0;
                s.r.reads -= 1; s.r.tries = cfg.rtries; s.r.acked0 = s.acked; s.r.pc = 1;
                if cfg.fine || r.mv == 0 { if r.mv == 0 { s.r.mv = s.max; s.r.fr = 1 } out.push((s, 600)) } else { self.rlist(&s, out) }
            }
            1 => self.rlist(s0, out),
            2 => self.rlist2(s0, out),
            3 => { let mut s = *s0; s.r.k.s = self.range(&s, s.wal, s.r.k.f, s.r.k.e); s.r.pc = 4; out.push((s, 603)) }
            4 => self.kstep(s0, 600, &|s: &mut St| { let r = &mut s.r; (&mut r.k, &mut r.mv, &mut r.fr) }, &mut |s, did, code, out| {
                if !matches!(did, Did::Going) { restart(s) } out.push((*s, code)); Ok(()) }, out)?,
            5 => { // fetch
                let mut s = *s0;
                let m = r.m as usize;
                let sealed = if s.floor[m] < s.epoch[m] { s.frz[m] } else { 0 };
                let see = sealed | self.range(&s, r.l, s.epoch[m], s.epoch[m] + 1);
                if see & !s.wal != 0 { restart(&mut s); out.push((s, 605)); return Ok(()) }
                s.r.res = self.writes_of(see | s.cons[m]); s.r.pc = 6; s.r.l = 0;
                out.push((s, 606));
            }
            6 => { // Q5: is the manifest still the newest? judged as W3
                let mut s = *s0;
                if self.there(s0, r.m + 1) && !var.no_probe { restart(&mut s); out.push((s, 607)); return Ok(()) }
                s.r.pc = 7;
                s.r.x = (r.mv == r.m && r.fr == 1) as u8;
                out.push((s, 608));
            }
            7 => {
                let answer = |s: &mut St| -> Result<(), Bad> {
                    let miss = s.r.acked0 & !s.r.res;
                    if miss != 0 { return Err((609, format!("I1 a query misses acknowledged write(s) {:#b}", miss))) }
                    let miss = s.r.prev & !s.r.res;
                    if miss != 0 { return Err((609, format!("I3 a later query misses write(s) {:#b} that an earlier one returned", miss))) }
                    s.r = R { prev: s.r.res, reads: s.r.reads, mv: s.r.mv, fr: s.r.fr, ..Default::default() };
                    Ok(())
                };
                let now = r.mv == r.m && r.fr == 1;
                let young = if var.dated { r.x == 1 } else { now };
                let mut s = *s0;
                if young || var.no_probe { answer(&mut s)?; out.push((s, 609)); if !cfg.fine && (!var.dated || now) { return Ok(()) } }
                let mut s = *s0;
                if var.look && !now { restart(&mut s); out.push((s, 607)); return Ok(()) }
                if self.same(&s, r.m) { answer(&mut s)?; out.push((s, 609)) } else { restart(&mut s); out.push((s, 607)) }
            }
            _ => unreachable!(),
        }
        Ok(())
    }
    fn rlist(&self, s0: &St, out: &mut Out) {
        let mut s = *s0;
        if self.cfg.mfirst { s.r.m = s.max } else { s.r.l = s.wal }
        s.r.pc = 2; s.r.x = 1;
        out.push((s, 601));
    }
    fn rlist2(&self, s0: &St, out: &mut Out) {
        let mut s = *s0;
        if self.cfg.mfirst { s.r.l = s.wal } else { s.r.m = s.max }
        let m = s.r.m as usize;
        let later = s.r.mv == s.r.m;
        if s.r.m > s.r.mv { s.r.mv = s.r.m; s.r.fr = s.r.x } else if later { s.r.fr |= s.r.x }
        s.r.x = 0;
        if s.floor[m] < s.epoch[m] && s.frzok[m] == 0 {
            s.r.k = K { op: 2, f: s.floor[m], e: s.epoch[m], s: 0, ..K::default() };
            if later || self.var.list_of_seal { s.r.k.s = self.range(&s, s.r.l, s.floor[m], s.epoch[m]); s.r.pc = 4 } else { s.r.pc = 3 }
            s.r.l = 0;
        } else { s.r.pc = 5 }
        out.push((s, 602));
    }
    // the flusher's LIST shows the newest manifest: what next
    fn looked(&self, s0: &St, a: u16, i: usize, out: &mut Out) {
        let mut s = *s0;
        let m = s.max as usize;
        let later = s.c[i].mv == s.max;
        let young = s.c[i].here >> 1;
        s.c[i].fr = if later { s.c[i].fr | young } else { young };
        s.c[i].here &= 1;
        s.c[i].mv = s.max;
        let l = s.c[i].l;
        let (f, e) = (s.floor[m], s.epoch[m]);
        s.c[i].k = K::default();
        if s.frzok[m] == 1 { s.c[i].l = 0; s.c[i].pc = 6; s.c[i].k = K { op: 3, f, s: s.frz[m], jb: s.max, ..K::default() } }
        else if f < e {
            s.c[i].k = K { op: 2, f, e, ..K::default() };
            s.c[i].l = 0;
            if later || self.var.list_of_seal { s.c[i].k.s = self.range(&s, l, f, e); s.c[i].pc = 4 } else { s.c[i].pc = 3 }
        } else if s.c[i].here == 0 && self.range(&s, l, e, e + 1) != 0 { s.c[i].l = 0; s.c[i].k = K { op: 1, ..K::default() }; s.c[i].pc = 5 }
        else { let c = &mut s.c[i]; c.pc = 0; c.l = 0; c.here = 0; c.tries = 0 }
        out.push((s, a + 2));
    }

    // Sound reduction: forget what no actor can observe any more.
    fn canon(&self, s: &mut St) {
        let max = s.max;
        for i in 0..2 { if s.w[i].wi >= self.cfg.writes[i] { s.w[i] = W { wi: s.w[i].wi, ..Default::default() } } }
        let openers = self.openers(s);
        for i in 0..2 { if s.c[i].pc == 0 && s.c[i].jobs == 0 { s.c[i] = C::default() } else if s.c[i].pc == 0 { s.c[i].k = K::default(); } }
        if s.r.pc == 0 && s.r.reads == 0 { s.r = R::default() }
        if s.g.pc == 0 && s.g.passes == 0 { s.g = G::default() }
        if s.g.passes == 0 && s.g.pc != 1 { s.g.mv = 0; s.g.fr = 0 }
        if !openers {
            let mut need = [0u8; 2];
            let mut hold = |v: u8| if v & 0x7f != 0 { sset(&mut need, v & 0x7f, true) };
            hold(max); hold(s.lt.base);
            for w in &s.w { hold(w.mv); hold(w.k.base); hold(w.k.made) }
            for c in &s.c { hold(c.mv); hold(c.k.base); hold(c.k.made) }
            hold(s.g.view); hold(s.g.mv); hold(s.g.k.base); hold(s.g.k.made); hold(s.r.mv); hold(s.r.m); hold(s.r.k.base); hold(s.r.k.made);
            for v in 1..max { if !sget(&need, v) { let v = v as usize; s.epoch[v] = 0; s.floor[v] = 0; s.frz[v] = 0; s.frzok[v] = 0; s.cons[v] = 0; s.gcf[v] = 0 } }
        }
        // segments below every floor that anybody looks at
        let mut keep = 0u8;
        for c in &s.c { keep |= c.l | c.k.s }
        keep |= s.r.l | s.r.k.s | s.lt.s;
        if !(s.w.iter().any(|w| w.k.dbt != 0) || s.c.iter().any(|c| c.k.dbt != 0) || s.g.k.dbt != 0 || s.r.k.dbt != 0) { s.lw = 0 }
        if s.r.m != 0 { keep |= s.frz[s.r.m as usize] }
        for w in &s.w { if w.pc != 0 && w.pc < 20 { keep |= bit(w.seg) } }
        let mut flo = s.floor[max as usize];
        if s.r.m != 0 { flo = flo.min(s.floor[s.r.m as usize]) }
        for c in &s.c { if c.k.op == 2 { flo = flo.min(c.k.f) } }
        if s.r.k.op == 2 { flo = flo.min(s.r.k.f) }
        if s.lt.op == 2 { flo = flo.min(s.lt.f) }
        for i in 0..NS as u8 {
            if s.sepoch[i as usize] < flo && keep & bit(i) == 0 { s.wal &= !bit(i); s.infl &= !bit(i) }
            if (s.wal | s.infl | keep) & bit(i) == 0 { s.sepoch[i as usize] = 0 }
        }
        if !(0..2).any(|i| s.w[i].wi < self.cfg.writes[i]) { s.aepoch = [0; 4]; s.after = [0; 4] }
        let cleared = |s: &mut St, v: u8| { for b in [&mut s.ghost, &mut s.stray, &mut s.old, &mut s.slot] { sset(b, v, false) } };
        if s.g.passes == 0 {
            s.old = [0; 2];
            if !openers { for v in 1..max { if !self.matters(s, v, false) && !sget(&s.g.doom, v) { cleared(s, v) } } }
        }
        if s.g.passes == 0 && s.ticks > 0 && !(s.c.iter().any(|c| c.pc != 0 || c.jobs > 0) || openers || (0..2).any(|i| s.w[i].wi < self.cfg.writes[i]) || s.r.reads > 0 || s.r.pc != 0) { s.ticks = 0 }
        if s.c[0] > s.c[1] { s.c.swap(0, 1) }
    }
}

fn fp(s: &St) -> u128 {
    let p = unsafe { std::slice::from_raw_parts(s as *const St as *const u8, std::mem::size_of::<St>()) };
    let (mut a, mut b) = (0x9E3779B97F4A7C15u64, 0xC2B2AE3D27D4EB4Fu64);
    for ch in p.chunks(8) {
        let mut x = [0u8; 8];
        x[..ch.len()].copy_from_slice(ch);
        let x = u64::from_le_bytes(x);
        let m = (a ^ x) as u128 * 0xD6E8FEB86659FD93u128;
        a = (m as u64) ^ ((m >> 64) as u64);
        let m = (b.rotate_left(23) ^ x) as u128 * 0xA0761D6478BD642Fu128;
        b = (m as u64) ^ ((m >> 64) as u64) ^ b.rotate_left(7);
    }
    ((a as u128) << 64) | b as u128
}

fn label(a: u16) -> String {
    let k = |k: u16| match k {
        30 => Some("commit: builds on its cached, proven manifest"), 31 => Some("commit: LIST, builds on the newest"), 32 => Some("commit: create lands, it is the newest"),
        33 => Some("commit: the number is taken"), 34 => Some("commit: create lands IN A HOLE"), 35 => Some("commit: judged by the proof (or the fix): believed"),
        36 => Some("commit: C4 LIST: in the history"), 37 => Some("commit: C4 LIST: not in the history"), 38 => Some("commit: nothing to do any more"),
        39 => Some("commit: LIST: the attempt in doubt is in the history"), 46 => Some("commit: create sent, its answer is lost"), 47 => Some("commit: C4 LIST: others followed, too many to be remembered"),
        48 => Some("commit: GET of its own manifest"), 49 => Some("commit: GET of the next manifest: 404"), _ => None };
    let w = |n: u16| k(n).unwrap_or(match n {
        0 => "names a segment in the epoch of its cached manifest", 1 => "names a segment by its cached manifest (or the next copy); PUT lands, 200", 2 => "PUT times out (still in flight)", 3 => "repeats the same key: 200",
        4 => "gives up", 6 => "confirm: the next manifest is there, reload", 7 => "confirm: the proof is young (judged after the GET) -> ACK", 8 => "confirm: GET of the next manifest: 404",
        9 => "confirm: proof is old; second GET (own manifest, or tombstone) -> ACK or reload", 10 => "reload: epoch still open -> ACK", 11 => "reload: epoch sealed -> next copy", 12 => "no copies left: error", 13 => "confirm: proof is old -> reload by LIST", 15 => "first write: LIST beside the PUT",14 => "GET of its own manifest (first)",
        40 => "opens: GET HINT", 41 => "opens: the next one is there, its parent fits", 42 => "opens: next one does not fit, or too many: LIST", 43 => "opens: GET of the next one: 404", 44 => "opens: the hinted one is there: BELIEVED the newest", 45 => "opens: the hinted one is not there: LIST", _ => "?" });
    let c = |n: u16| k(n).unwrap_or(match n { 1 => "flush: LIST (WAL keys)", 2 => "flush: LIST: sees the newest manifest", 3 => "flush: lists the sealed epochs again", 6 => "flush: reads the segments, writes Parquet", _ => "?" });
    let r = |n: u16| k(n).unwrap_or(match n { 0 => "query begins", 1 => "LIST, first part", 2 => "LIST, second part: manifest known", 3 => "lists the sealed epochs again", 5 => "a segment is gone: starts over", 6 => "fetches", 7 => "not the newest any more: starts over", 8 => "probe: next manifest: 404", 9 => "answers", _ => "?" });
    match a {
        100..=199 => format!("writer 0: {}", w(a - 100)), 200..=299 => format!("writer 1: {}", w(a - 200)),
        300..=399 => format!("flusher: {}", c(a - 300)), 400..=499 => format!("flusher': {}", c(a - 400)),
        500 => "collector: LIST; will raise the fence".into(), 501 => "collector: LIST; deletes only log garbage".into(), 503 => "collector: ends the pass".into(),
        510..=519 => format!("collector: deletes segment {}", a - 510),
        530..=538 => format!("collector: {}", k(a - 500).unwrap_or("?")),
        540..=559 => format!("collector: deletes manifest {}", a - 540), 560..=579 => format!("collector: writes the tombstone of the block of manifest {}", a - 560),
        600..=699 => format!("reader: {}", r(a - 600)),
        900..=905 => format!("network: delayed PUT of segment {} lands", a - 900), 910 => "TICK: an hour passes".into(), 911 => "network: the create of an attempt whose answer was lost lands, or fails".into(),
        920..=939 => format!("network: a stray (another commit) lands at the freed number {}", a - 920),
        940..=959 => format!("network: the create of manifest {} is repeated, or lands again, in the hole: same bytes", a - 940),
        _ => format!("{a}"),
    }
}

fn run(name: &str, cfg: Cfg, var: Var, cap: usize, expect: &str) {
    let t = Instant::now();
    let m = M { cfg, var, nw: cfg.writes[0] + cfg.writes[1] };
    assert!(m.nw * cfg.copies <= NS as u8);
    let s0 = m.init();
    let mut seen: HashSet<u128, BuildHasherDefault<Ident>> = HashSet::default();
    seen.insert(fp(&s0));
    let mut parent: Vec<(u32, u16)> = vec![(0, 0)];
    let mut front: Vec<(St, u32)> = vec![(s0, 0)];
    let (mut trans, mut depth, mut acks, mut answers, mut holes, mut opens, mut hi) = (0u64, 0, 0u64, 0u64, 0u64, 0u64, 0u8);
    let mut out = Vec::new();
    let trace = |parent: &Vec<(u32, u16)>, mut id: u32, last: u16| {
        let mut v = vec![last];
        while id != 0 { v.push(parent[id as usize].1); id = parent[id as usize].0 }
        v.reverse();
        v
    };
    let fail = |msg: &str, tr: Vec<u16>, n: usize, trans: u64, t: &Instant| {
        println!("{:<58} CAUGHT  {}{}", name, msg, if expect == "caught" { "" } else { "   <-- NOT EXPECTED" });
        println!("    {} states, {} transitions, {:.1} s, shortest trace {} steps", n, trans, t.elapsed().as_secs_f64(), tr.len());
        for (i, a) in tr.iter().enumerate() { println!("    {:>3} {}", i + 1, label(*a)) }
    };
    while !front.is_empty() {
        let mut next = Vec::new();
        for (s, id) in &front {
            out.clear();
            if let Err((a, msg)) = m.succ(s, &mut out) { return fail(&msg, trace(&parent, *id, a), seen.len(), trans, &t) }
            for (n, a) in out.drain(..) {
                trans += 1;
                if n.acked.count_ones() > s.acked.count_ones() { acks += 1 }
                if a == 609 { answers += 1 }
                if a % 100 == 34 { holes += 1 }
                if a % 100 == 44 && a < 300 { opens += 1 }
                hi = hi.max(n.max);
                if let Err(msg) = m.check(&n) { return fail(&msg, trace(&parent, *id, a), seen.len(), trans, &t) }
                let mut n = n;
                m.canon(&mut n);
                if seen.insert(fp(&n)) { parent.push((*id, a)); next.push((n, parent.len() as u32 - 1)) }
            }
        }
        if seen.len() > cap {
            println!("{:<58} BOUND   no violation in {} states (depth {}), {} transitions, {:.1} s: not exhausted", name, seen.len(), depth, trans, t.elapsed().as_secs_f64());
            return;
        }
        front = next;
        depth += 1;
        if env::var("PROGRESS").is_ok() { eprintln!("  depth {} states {} front {} {:.0}s", depth, seen.len(), front.len(), t.elapsed().as_secs_f64()) }
    }
    println!("{:<58} HOLDS   {} states, {} transitions, depth {}, {:.1} s (acks {}, answers {}, creates in holes {}, opened by hint {}, newest manifest {}){}", name, seen.len(), trans, depth, t.elapsed().as_secs_f64(), acks, answers, holes, opens, hi, if expect == "caught" { "   <-- SHOULD HAVE BEEN CAUGHT" } else { "" });
}

pub fn main(what: &str, cap: usize) {
    println!("part two: state {} bytes", std::mem::size_of::<St>());
    let v = Var::default();
    let new = Var { look: true, dated: true, first_look: true, ..v };
    let b = Cfg { writes: [1, 1], copies: 2, tmo: [0, 0], open: [false; 2], define: [false; 2], jobs: [1, 1], tries: 0, passes: 1, collect: false, keep: 1, ticks: 1, strays: 0, ghosts: 0, late: 0, fool: 0, reads: 0, rtries: 0, ropen: false, fine: false, mfirst: false };
    let idle = Cfg { jobs: [1, 0], ..b }; // one flush chain: manifests 2 (seal), 3 (freeze), 4 (flush)
    let all: Vec<(&str, &str, Cfg, Var)> = vec![
        // ---- as implemented
        ("R1 2 writers, 2 flush chains, a stray, all clocks wrong", "holds", Cfg { strays: 1, fool: 63, ..b }, new),
        ("R2 new process opens by any hint and writes", "holds", Cfg { open: [false, true], strays: 1, fool: 63, ..idle }, new),
        ("R3 new process opens by any hint, commits, writes", "holds", Cfg { open: [false, true], define: [false, true], strays: 1, fool: 63, ..idle }, new),
        ("R4 an attempt lands late: writers commit, fence", "holds", Cfg { define: [true, false], collect: true, late: 1, fool: 63, ..idle }, new),
        ("R5 an attempt lands late: 2 flush chains", "holds", Cfg { writes: [1, 0], late: 1, strays: 1, fool: 63, ..b }, new),
        ("R6 an attempt lands late: opener commits", "holds", Cfg { open: [false, true], define: [false, true], late: 1, fool: 63, ..idle }, new),
        ("R7 query that helps to freeze, all clocks wrong", "holds", Cfg { writes: [1, 0], reads: 1, rtries: 1, fool: 63, ..idle }, new),
        ("R8 twice an hour, two passes, a stray", "holds", Cfg { ticks: 2, passes: 2, strays: 1, writes: [1, 0], tmo: [1, 0], jobs: [1, 1], fool: 63, ..b }, new),
        ("R9 every step apart, flushers that start over, fence", "holds", Cfg { fine: true, collect: true, writes: [1, 0], jobs: [1, 1], tries: 1, fool: 63, ..b }, new),
        ("RA manifests remember nothing, two flush chains, a stray", "holds", Cfg { strays: 1, writes: [1, 0], fool: 63, ..b }, Var { forget: true, ..new }),
        ("RB manifests remember nothing, opener commits, late attempt", "holds", Cfg { open: [false, true], define: [false, true], late: 1, fool: 63, ..idle }, Var { forget: true, ..new }),
        ("RC GHOST: writers that are not new", "holds", Cfg { ghosts: 1, strays: 1, fool: 63, ..idle }, new),
        ("RD GHOST: new process opens by any hint and writes", "holds", Cfg { ghosts: 1, open: [false, true], fool: 63, ..idle }, new),
        ("RE GHOST: new process opens by any hint, commits, writes", "holds", Cfg { ghosts: 1, open: [false, true], define: [false, true], fool: 63, ..idle }, new),
        // ---- the same, broken on purpose
        ("M1 all clocks wrong, and nobody reads the store's dates", "caught", Cfg { fool: 31, ..b }, Var { dated: false, ..new }),
        ("M2 collector goes by its own clock, which is fast", "caught", Cfg { fool: 32, ..b }, Var { dated: false, ..new }),
        ("M3 dates of the question instead of the answer", "caught", Cfg { ..idle }, Var { question: true, ..new }),
        ("M4 no look at the log: ghost", "caught", Cfg { ghosts: 1, ..idle }, Var { look: false, ..new }),
        ("M5 first write without a LIST: ghost, any hint", "caught", Cfg { ghosts: 1, open: [false, true], ..idle }, Var { first_look: false, ..new }),
        ("M8 first commit on what the hint led to: ghost", "caught", Cfg { ghosts: 1, open: [false, true], define: [false, true], ..idle }, Var { first_look: false, ..new }),
        ("M6 own manifest looked for first, then the next", "caught", Cfg { writes: [1, 0], ..b }, Var { forget: true, own_first: true, ..new }),
        ("M7 an attempt in doubt is not looked for", "caught", Cfg { late: 1, ..idle }, Var { no_find: true, ..new }),
        // ---- as implemented until 2026-11-28: ages by the processes' clocks
        ("Q1 2 writers, 2 flush chains, collector, 5 min, a stray", "holds", Cfg { strays: 1, ..b }, v),
        ("Q2 new process opens by any hint and writes", "holds", Cfg { open: [false, true], strays: 1, ..idle }, v),
        ("Q3 new process opens by any hint, commits, writes", "holds", Cfg { open: [false, true], define: [false, true], strays: 1, ..idle }, v),
        ("Q4 writers commit on cached manifests first, fence", "holds", Cfg { define: [true, true], collect: true, ..idle }, v),
        ("Q5 query that helps to freeze, WAL keys first", "holds", Cfg { reads: 1, rtries: 1, ..idle }, v),
        ("Q6 the same, manifests first, then the probe", "holds", Cfg { reads: 1, rtries: 1, mfirst: true, ..idle }, v),
        ("Q7 twice five minutes, two passes, a stray", "holds", Cfg { ticks: 2, passes: 2, strays: 1, writes: [1, 0], tmo: [1, 0], jobs: [1, 1], ..b }, v),
        ("Q8 every step apart, flushers that start over, fence", "holds", Cfg { fine: true, collect: true, writes: [1, 0], jobs: [1, 1], tries: 1, ..b }, v),
        ("Q9 two queries in a row, writer times out", "holds", Cfg { reads: 2, rtries: 1, writes: [1, 0], tmo: [1, 0], jobs: [1, 1], passes: 0, ticks: 0, ..b }, v),
        ("QA two flushers start over, LIST in two parts", "holds", Cfg { fine: true, tries: 2, passes: 0, ticks: 0, writes: [1, 1], ..b }, v),
        ("QB opener, two flush chains", "holds", Cfg { open: [false, true], ..b }, v),
        ("QC opener commits, two flush chains", "holds", Cfg { open: [false, true], define: [false, true], ..b }, v),
        ("QD opener, PUTs time out, twice five minutes, two passes", "holds", Cfg { open: [false, true], tmo: [1, 1], ticks: 2, passes: 2, strays: 1, ..idle }, v),
        ("QE opener commits, two flush chains, fence, a stray", "holds", Cfg { open: [false, true], define: [false, true], collect: true, strays: 1, ..b }, v),
        // ---- broken on purpose
        ("N01 collector keeps no manifest for five minutes", "caught", Cfg { ..idle }, Var { no_age: true, ..v }),
        ("N02 age of the base judged before the create", "caught", Cfg { ..b }, Var { judge_first_commit: true, ..v }),
        ("N03 age of the proof judged before the confirm", "caught", Cfg { ..idle }, Var { judge_first_write: true, ..v }),
        ("N04 no C4 at all", "caught", Cfg { ..b }, Var { never_c4: true, ..v }),
        ("N05 an old proof confirmed by one GET", "caught", Cfg { ..idle }, Var { no_second_get: true, ..v }),
        ("N06 own manifest looked for first, then the next", "caught", Cfg { ..idle }, Var { second_get_first: true, ..v }),
        ("N07 hint followed without the last GET", "caught", Cfg { open: [false, true], ..idle }, Var { follow_no_last_get: true, ..v }),
        ("N08 hint followed, last GET of the end of the chain", "caught", Cfg { open: [false, true], strays: 1, ..idle }, Var { follow_last_only: true, ..v }),
        ("N09 hint followed, hinted one looked for first", "caught", Cfg { open: [false, true], ..idle }, Var { follow_get_first: true, ..v }),
        ("N10 collector deletes the newest manifests first", "caught", Cfg { ..idle }, Var { descending: true, ..v }),
        ("N11 freeze with the LIST that showed the seal", "caught", Cfg { fine: true, passes: 0, ticks: 0, jobs: [1, 1], ..b }, Var { list_of_seal: true, ..v }),
        ("N12 manifests first in a LIST, no probe", "caught", Cfg { reads: 1, mfirst: true, ticks: 0, ..idle }, Var { no_probe: true, ..v }),
        // ---- what the code allows under the stated condition
        ("F1 GHOST: idle writer, proof old, second GET", "caught", Cfg { ghosts: 1, ..idle }, v),
        ("F2 GHOST: late hint, new process writes", "caught", Cfg { ghosts: 1, open: [false, true], ..idle }, v),
        ("F3 GHOST: late hint, new process commits", "caught", Cfg { ghosts: 1, open: [false, true], define: [false, true], ..idle }, v),
        ("F4 CLOCKS of a committer both stand still 5 min", "caught", Cfg { fool: 4, ..b }, v),
        ("F5 CLOCKS of a writer both stand still 5 min", "caught", Cfg { fool: 3, ..idle }, v),
        ("F6 CLOCK of the collector 5 min fast, grace 0", "caught", Cfg { fool: 32, ..b }, v),
        // ---- candidates for a fix
        ("X1 TOMBSTONES: ghosts, writers", "holds", Cfg { ghosts: 1, strays: 1, ..idle }, Var { tomb: true, ..v }),
        ("X2 TOMBSTONES: ghosts, any hint, new process commits, writes", "holds", Cfg { ghosts: 1, open: [false, true], define: [false, true], ..idle }, Var { tomb: true, ..v }),
        ("X3 TOMBSTONES, no age, no clock: ghosts, all clocks wrong", "holds", Cfg { ghosts: 1, fool: 63, open: [false, true], define: [true, false], ..idle }, Var { tomb: true, no_age: true, always_second: true, ..v }),
        ("X4 TOMBSTONES, no age: two flush chains, clocks wrong", "holds", Cfg { ghosts: 1, fool: 63, writes: [1, 0], ..b }, Var { tomb: true, no_age: true, always_second: true, ..v }),
        ("X5 tombstone written after the deletes", "caught", Cfg { ..idle }, Var { tomb: true, tomb_late: true, ..v }),
        ("X6 GHOSTS TOLD BY THEIR DATE: ghosts, any hint, commits", "holds", Cfg { ghosts: 1, open: [false, true], define: [false, true], ..idle }, Var { no_ghost_trust: true, ..v }),
        ("X7 GHOSTS TOLD BY THEIR DATE: ghosts, writers", "holds", Cfg { ghosts: 1, strays: 1, ..idle }, Var { no_ghost_trust: true, ..v }),
        ("X8 C4 by a GET of the base: clocks of committers wrong", "holds", Cfg { fool: 4, ..b }, Var { c4_by_get: true, ..v }),
        ("X9 C4 by a GET of the base, but ghosts", "caught", Cfg { ghosts: 1, fool: 4, ..b }, Var { c4_by_get: true, list_when_stale: true, ..v }),
        ("XA old proof confirmed by LIST: ghosts, writers", "holds", Cfg { ghosts: 1, strays: 1, ..idle }, Var { list_when_stale: true, ..v }),
        ("XC EACH ATTEMPT ITS OWN COMMIT ID: late copies, any hint, commits", "holds", Cfg { strays: 3, open: [false, true], define: [false, true], ..idle }, v),
        ("XD EACH ATTEMPT ITS OWN COMMIT ID: late copies, writers", "holds", Cfg { strays: 3, ..idle }, v),
        ("XB hint followed without the parents' ids", "holds", Cfg { open: [false, true], strays: 1, ..idle }, Var { no_parent: true, ..v }),
    ];
    for (n, e, c, x) in &all {
        let id = n.split(' ').next().unwrap_or("");
        if what == id || what == "new" || what.strip_prefix("new") == Some(&id[..1]) { run(n, *c, *x, cap, e) }
    }
}
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let what = args.get(1).map(|s| s.as_str()).unwrap_or("all");
    let cap: usize = args.get(2).and_then(|s| s.parse().ok()).unwrap_or(150_000_000);
    if what.starts_with(['Q', 'N', 'F', 'X', 'R', 'M']) || what.starts_with("new") { return two::main(what, cap) }
    println!("state {} bytes", std::mem::size_of::<St>());
    let base = Cfg { writes: [1, 1], copies: 2, tmo: [1, 0], jobs: 1, tries: 0, merge: false, passes: 1, gc_manifests: false, zombies: 0, reads: 2, rtries: 0, pre: false, flush: true, fine: false, del: false, delnop: false };
    let v = Variant::default();
    let want = |n: &str| what == "all" || what == n || (what == "good" && n.starts_with('P')) || (what == "bad" && n.starts_with('B'));
    let small = Cfg { tmo: [0, 0], reads: 1, ..base };
    let cfgs: Vec<(&str, Cfg)> = vec![
        ("P1 2 writers, 2 flushers, 2 queries", Cfg { passes: 0, ..base }),
        ("P2 2 writers, 2 flushers, GC, query", Cfg { ..small }),
        ("P3 flush or merge, GC, old files", Cfg { writes: [1, 0], merge: true, pre: true, reads: 1, ..base }),
        ("P4 manifests deleted, zombie creates", Cfg { gc_manifests: true, zombies: 1, reads: 0, ..small }),
        ("P5 three writes, order of the acks", Cfg { writes: [2, 1], reads: 0, passes: 0, ..small }),
        ("P6 crash and restart, 2 jobs each", Cfg { writes: [1, 0], copies: 3, jobs: 2, ..small }),
        ("P7 both writers time out, 3 copies", Cfg { copies: 3, tmo: [1, 1], reads: 0, ..base }),
        ("P8 every step separate", Cfg { fine: true, tries: 1, writes: [1, 0], gc_manifests: true, zombies: 1, ..small }),
        ("P9 DELETE, merge, flush, old files", Cfg { del: true, merge: true, pre: true, passes: 0, writes: [1, 0], jobs: 2, ..small }),
        ("PA DELETE, 2 writers, 2 flushers", Cfg { del: true, passes: 0, ..small }),
        ("PB seal-only commit (other table)", Cfg { del: true, delnop: true, passes: 0, ..small }),
    ];
    let pc = Cfg { ..small };
    if want("PC") { run("PC unordered LIST, then probe", pc, Variant { manifest_first: true, probe_after: true, ..v }, cap); }
    for (n, c) in &cfgs { if want(&n[..2]) || want("good") && what == "good" { run(n, *c, v, cap); } }
    let full = Cfg { fine: true, tries: 1, rtries: 1, tmo: [1, 1], copies: 3, ..base };
    let bad: Vec<(&str, Cfg, Variant)> = vec![
        ("B01 ack without confirmation", full, Variant { no_confirm: true, ..v }),
        ("B02 low-watermark, no set/seal", full, Variant { watermark: true, ..v }),
        ("B03 manifest read before WAL list", Cfg { fine: false, tmo: [0, 0], reads: 1, ..full }, Variant { manifest_first: true, ..v }),
        ("B04 GC without fence or grace", full, Variant { no_fence: true, ..v }),
        ("B05 GC trusts a stale pointer", Cfg { merge: true, pre: true, writes: [1, 0], ..full }, Variant { stale_gc: true, ..v }),
        ("B06 list before the seal commit", full, Variant { list_before_seal: true, ..v }),
        ("B07 no freeze of the sealed set", Cfg { fine: false, tmo: [0, 0], ..full }, Variant { no_freeze: true, ..v }),
        ("B08 confirm by probe only, old manifests deleted", Cfg { gc_manifests: true, copies: 2, ..full }, Variant { probe_only: true, ..v }),
        ("B09 stale create in a hole believed", Cfg { gc_manifests: true, ..full }, Variant { no_zombie_check: true, ..v }),
        ("B10 flush commit without floor check", full, Variant { no_floor_check: true, ..v }),
        ("B11 merge commit without input check", Cfg { merge: true, pre: true, flush: false, writes: [0, 0], ..full }, Variant { no_input_check: true, ..v }),
        ("B12 AlreadyExists taken as success", full, Variant { exists_is_success: true, ..v }),
        ("B13 missing objects skipped silently", Cfg { fine: false, reads: 1, tmo: [0, 0], ..full }, Variant { skip_missing: true, ..v }),
        ("B16 DELETE does not seal the epoch", Cfg { del: true, fine: false, tmo: [0, 0], passes: 0, reads: 1, ..full }, Variant { delete_no_seal: true, ..v }),
        ("B17 merge ignores the tombstone", Cfg { del: true, merge: true, pre: true, writes: [1, 0], jobs: 2, copies: 2, fine: false, tmo: [0, 0], passes: 0, reads: 1, ..full }, Variant { merge_ignores_tomb: true, ..v }),
        ("B18 freeze of a range that grew", Cfg { del: true, delnop: true, fine: false, tmo: [0, 0], passes: 0, reads: 0, ..full }, Variant { freeze_any: true, ..v }),
        ("B14 ack before the PUT", full, Variant { ack_before_put: true, ..v }),
        ("B15 ack because frozen set has the segment", full, Variant { ack_if_frozen: true, ..v }),
    ];
    for (n, c, x) in &bad { if want(&n[..3]) || what == "bad" { run(n, *c, *x, cap); } }
}
