//! Assigns buffers to feature maps. A slab holds a buffer from the first write of a value that is
//! still to be read until its last reading; then another slab may use the buffer.

use std::collections::HashMap;

use super::builder::PlanBuilder;
use super::unit::BufferAccess;

/// The lifetime of a slab in a buffer, in units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    pub map: usize,
    pub slab: usize,
    pub from: usize,
    pub until: usize,
    pub bytes: u64,
    pub buffer: usize,
}

/// Returns the buffer of a slab while a unit runs. A unit only accesses live slabs.
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
    reads: Vec<std::ops::Range<usize>>,
    writes: Vec<std::ops::Range<usize>>,
}

/// Returns the lifetimes of all slabs and the bytes of the buffers.
pub fn assign(draft: &PlanBuilder) -> (Vec<Interval>, Vec<u64>) {
    let mut events: HashMap<(usize, usize), Vec<(usize, Event)>> = HashMap::new();
    let mut note = |unit: usize, touch: &BufferAccess, is_write: bool| {
        let of_slab = events.entry((touch.map, touch.slab)).or_default();
        if of_slab.last().is_none_or(|(last, _)| *last != unit) {
            of_slab.push((unit, Event::default()));
        }
        let event = &mut of_slab.last_mut().expect("pushed").1;
        let list = if is_write { &mut event.writes } else { &mut event.reads };
        list.push(touch.channels.clone());
    };
    let whole = |view: &model_core::View| {
        let (map, channels) = (view.buffer, view.channels.clone());
        let slabs = 0..draft.level(map).num_slabs();
        slabs.map(move |slab| BufferAccess { map, slab, channels: channels.clone() })
    };
    for touch in whole(&draft.program.input) {
        note(0, &touch, true);
    }
    for (index, unit) in draft.units.iter().enumerate() {
        for touch in &unit.reads {
            note(index + 1, touch, false);
        }
        for touch in &unit.writes {
            note(index + 1, touch, true);
        }
    }
    for touch in whole(&draft.program.output) {
        note(draft.units.len() + 1, &touch, false);
    }
    let mut intervals: Vec<Interval> = events
        .into_iter()
        .flat_map(|((map, slab), events)| {
            let bytes = draft.slab_bytes(map, slab);
            let channels = draft.maps[map].channels;
            stays(&events, channels).into_iter().map(move |(from, until)| Interval {
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
    intervals.sort_by_key(|i| (i.map, i.slab, i.from));
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
        let mut set = |ranges: &[std::ops::Range<usize>], is_live: bool| {
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
    intervals.sort_by_key(|i| (std::cmp::Reverse(i.bytes), i.from, i.map, i.slab));
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

    fn event(
        unit: usize,
        reads: &[std::ops::Range<usize>],
        writes: &[std::ops::Range<usize>],
    ) -> (usize, Event) {
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
