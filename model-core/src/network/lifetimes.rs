//! Assigns buffers to feature maps. A slab holds a buffer from the first write of a value that is
//! still to be read until its last reading; then another slab may use the buffer.

use std::collections::HashMap;
use std::ops::Range;

use super::program::Buffer;

/// A range of channels of a map's slab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferAccess {
    /// Index of the map.
    pub map: usize,
    /// Index of the slab.
    pub slab: usize,
    /// Channels of the map.
    pub channels: Range<usize>,
}

/// The lifetime of a slab in a buffer, in units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Index of the map.
    pub map: usize,
    /// Index of the slab.
    pub slab: usize,
    /// The first unit.
    pub from: usize,
    /// The last unit.
    pub until: usize,
    /// Bytes of the slab.
    pub bytes: u64,
    /// Index of its buffer.
    pub buffer: usize,
}

/// Returns the buffer of a slab while a unit runs.
///
/// # Panics
/// Panics if the slab is not alive in that unit.
pub fn buffer(intervals: &[Interval], map: usize, slab: usize, unit: usize) -> usize {
    // Intervals are sorted by map, slab and time.
    let after = intervals.partition_point(|i| (i.map, i.slab, i.from) <= (map, slab, unit));
    let found = after.checked_sub(1).map(|at| &intervals[at]);
    let is_it = |i: &&Interval| (i.map, i.slab) == (map, slab) && unit <= i.until;
    found.filter(is_it).expect("what is touched has a buffer").buffer
}

/// Accesses to a slab in a unit.
#[derive(Default)]
struct Event {
    reads: Vec<Range<usize>>,
    writes: Vec<Range<usize>>,
}

/// Returns the lifetimes of all slabs, sorted by map, slab and time, and the bytes of the buffers.
///
/// `units` are what each unit reads and what it writes, in order; the first uploads the input, the
/// last reads the output. `bytes` returns the bytes of a slab.
pub fn assign<'a>(
    units: impl IntoIterator<Item = [&'a [BufferAccess]; 2]>,
    maps: &[Buffer],
    bytes: impl Fn(usize, usize) -> u64,
) -> (Vec<Interval>, Vec<u64>) {
    let mut events: HashMap<(usize, usize), Vec<(usize, Event)>> = HashMap::new();
    for (unit, [reads, writes]) in units.into_iter().enumerate() {
        let reads = reads.iter().map(|access| (access, false));
        for (access, is_write) in reads.chain(writes.iter().map(|access| (access, true))) {
            let of_slab = events.entry((access.map, access.slab)).or_default();
            if of_slab.last().is_none_or(|(last, _)| *last != unit) {
                of_slab.push((unit, Event::default()));
            }
            let event = &mut of_slab.last_mut().expect("pushed").1;
            let list = if is_write { &mut event.writes } else { &mut event.reads };
            list.push(access.channels.clone());
        }
    }
    let mut intervals: Vec<Interval> = events
        .into_iter()
        .flat_map(|((map, slab), events)| {
            let bytes = bytes(map, slab);
            stays(&events, maps[map].channels).into_iter().map(move |(from, until)| Interval {
                map,
                slab,
                from,
                until,
                bytes,
                buffer: 0,
            })
        })
        .collect();
    let buffers = pack(&mut intervals);
    intervals.sort_unstable_by_key(|i| (i.map, i.slab, i.from));
    (intervals, buffers)
}

/// Returns the ranges of units in which some value of a slab must be kept.
fn stays(events: &[(usize, Event)], channels: usize) -> Vec<(usize, usize)> {
    let mut live = vec![false; channels];
    let mut num_live = 0;
    let mut list: Vec<(usize, usize)> = Vec::new();
    for (unit, event) in events.iter().rev() {
        match list.last_mut() {
            // Still needed after this unit: the range continues.
            Some(stay) if num_live > 0 => stay.0 = *unit,
            _ => list.push((*unit, *unit)),
        }
        let mut set = |ranges: &[Range<usize>], is_live: bool| {
            for channel in ranges.iter().cloned().flatten() {
                if live[channel] != is_live {
                    live[channel] = is_live;
                    if is_live { num_live += 1 } else { num_live -= 1 }
                }
            }
        };
        set(&event.writes, false);
        set(&event.reads, true);
    }
    list
}

/// Assigns a buffer to every lifetime, the largest first, to the first buffer that is free for all
/// of it. So no buffer grows after its first use.
fn pack(intervals: &mut [Interval]) -> Vec<u64> {
    intervals.sort_unstable_by_key(|i| (std::cmp::Reverse(i.bytes), i.from, i.map, i.slab));
    let mut buffers: Vec<(u64, Vec<(usize, usize)>)> = Vec::new();
    for interval in intervals {
        let stay = (interval.from, interval.until);
        let is_free = |stays: &[(usize, usize)]| {
            stays.iter().all(|&(from, until)| stay.1 < from || until < stay.0)
        };
        interval.buffer = match buffers.iter().rposition(|(_, stays)| is_free(stays)) {
            Some(buffer) => buffer,
            None => {
                buffers.push((interval.bytes, Vec::new()));
                buffers.len() - 1
            }
        };
        buffers[interval.buffer].1.push(stay);
    }
    buffers.into_iter().map(|(bytes, _)| bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(unit: usize, reads: &[Range<usize>], writes: &[Range<usize>]) -> (usize, Event) {
        (unit, Event { reads: reads.to_vec(), writes: writes.to_vec() })
    }

    /// Written at 1, changed in place at 3, read at 4; overwritten at 6 without being read, read at
    /// 8.
    #[test]
    fn a_slab_stays_from_its_first_write_to_its_last_reading() {
        let all = 0..2;
        let all = std::slice::from_ref(&all);
        let events = [
            event(1, &[], all),
            event(3, all, all),
            event(4, all, &[]),
            event(6, &[], all),
            event(8, &[], std::slice::from_ref(&(0..1))),
            event(9, all, &[]),
        ];
        assert_eq!(stays(&events, 2), [(6, 9), (1, 4)]);
    }

    #[test]
    fn stays_that_meet_have_buffers_of_their_own() {
        let stay = |from, until, bytes| Interval { map: 0, slab: 0, from, until, bytes, buffer: 0 };
        let mut intervals =
            [stay(0, 3, 10), stay(3, 5, 20), stay(4, 9, 10), stay(6, 7, 5), stay(8, 9, 20)];
        let buffers = pack(&mut intervals);
        assert_eq!(buffers, [20, 10]);
        for (n, a) in intervals.iter().enumerate() {
            for b in &intervals[n + 1..] {
                let meet = a.from <= b.until && b.from <= a.until;
                assert!(!meet || a.buffer != b.buffer, "{a:?} {b:?}");
                assert!(buffers[a.buffer] >= a.bytes);
            }
        }
    }
}
