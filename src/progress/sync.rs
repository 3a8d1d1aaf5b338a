//! Locks and numbers that threads share: those of the system, or with the feature `loom` those of a model checker, which tries all orders in
//! which threads can come to them.

#[cfg(feature = "loom")]
pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(feature = "loom"))]
pub use parking_lot::Mutex;
#[cfg(not(feature = "loom"))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The model checker's lock, in the form of `parking_lot`'s.
#[cfg(feature = "loom")]
pub struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(feature = "loom")]
impl<T> Mutex<T> {
    pub fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("nothing panics under a lock")
    }
}

#[cfg(feature = "loom")]
impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self(loom::sync::Mutex::new(T::default()))
    }
}
