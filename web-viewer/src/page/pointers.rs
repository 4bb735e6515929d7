//! The fingers on a slice.

use web_sys::PointerEvent;

/// The pointers that are down, with their last positions on the canvas.
#[derive(Debug, Default)]
pub struct Pointers(Vec<(i32, [f64; 2])>);

/// The position of two pointers.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The point between them.
    pub middle: [f64; 2],
    /// Their distance.
    pub distance: f64,
}

impl Pointers {
    /// Notes where a pressed pointer is. One that only hovers is not noted.
    pub fn set(&mut self, event: &PointerEvent) {
        let (id, point) = (event.pointer_id(), [event.offset_x(), event.offset_y()].map(f64::from));
        if event.buttons() == 0 {
            return self.remove(event);
        }
        match self.0.iter_mut().find(|(other, _)| *other == id) {
            Some((_, at)) => *at = point,
            None => self.0.push((id, point)),
        }
    }

    /// Forgets a pointer that was lifted.
    pub fn remove(&mut self, event: &PointerEvent) {
        self.0.retain(|(id, _)| *id != event.pointer_id());
    }

    /// Returns whether two pointers are down.
    pub fn are_two(&self) -> bool {
        self.0.len() == 2
    }

    /// Returns how two pointers lie.
    pub fn spread(&self) -> Option<Spread> {
        let [(_, a), (_, b)] = self.0[..] else { return None };
        let middle = [0, 1].map(|n| (a[n] + b[n]) / 2.0);
        Some(Spread { middle, distance: (a[0] - b[0]).hypot(a[1] - b[1]) })
    }
}
