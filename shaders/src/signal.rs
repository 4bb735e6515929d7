//! A value that a GPU callback hands to a waiting future; the callbacks of wgpu know no futures.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
    is_dropped: bool,
}

/// The callback's end.
pub struct Sender<T>(Arc<Mutex<State<T>>>);

/// The future's end.
pub struct Receiver<T>(Arc<Mutex<State<T>>>);

/// Both ends.
pub fn signal<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { value: None, waker: None, is_dropped: false };
    let state = Arc::new(Mutex::new(state));
    (Sender(state.clone()), Receiver(state))
}

impl<T> Sender<T> {
    /// Wakes the receiver with a value.
    pub fn send(self, value: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).value = Some(value);
        // Dropping `self` wakes the receiver.
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_dropped = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The value, or nothing when the callback was dropped without being called.
    pub async fn receive(self) -> Option<T> {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.is_dropped {
                return Poll::Ready(state.value.take());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_and_its_absence_both_arrive() {
        let (sender, receiver) = signal();
        std::thread::spawn(move || sender.send(7));
        assert_eq!(pollster::block_on(receiver.receive()), Some(7));
        let (sender, receiver) = signal::<u8>();
        drop(sender);
        assert_eq!(pollster::block_on(receiver.receive()), None);
    }
}
