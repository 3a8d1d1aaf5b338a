//! Memory for what the module may look at, kept so that a look after the end is noticed.

use rustix::mm::{self, MapFlags, MprotectFlags, ProtFlags};
use rustix::param::page_size;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};

/// What happens to an object's memory when lighttpd2 would free or reuse it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// It is filled with [`POISON`], and the next object of its size gets it.
    #[default]
    Poisoned,
    /// It lies at the end of pages of its own, between inaccessible ones, and becomes inaccessible itself.
    Guarded,
    /// It is freed, so that memcheck can tell.
    Freed,
}

/// What each byte of a released object is. As a number of eight such bytes it is 6510615555426900570.
pub const POISON: u8 = 0x5a;

/// What each byte of a new object is that nobody has set.
pub const UNSET: u8 = 0xc5;

/// How many regions of inaccessible pages are kept.
const QUARANTINE: usize = 16_384;

/// Where objects come from and go to.
pub struct Heap {
    kind: Memory,
    released: Mutex<Released>,
}

#[derive(Default)]
struct Released {
    poisoned: HashMap<Layout, Vec<Address>>,
    guarded: VecDeque<Pages>,
}

struct Address(NonNull<u8>);

// SAFETY: it is an address; what it points at belongs to whoever has taken it.
unsafe impl Send for Address {}

/// Pages of which the first and the last cannot be accessed.
struct Pages {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: as for `Address`.
unsafe impl Send for Pages {}

impl Heap {
    /// An empty heap that treats what is released as `kind` says.
    pub fn new(kind: Memory) -> Arc<Self> {
        Arc::new(Self { kind, released: Mutex::default() })
    }

    fn take(&self, layout: Layout) -> NonNull<u8> {
        match self.kind {
            Memory::Guarded => Pages::with_room_for(layout).inside(layout),
            Memory::Freed => allocate(layout),
            Memory::Poisoned => {
                let reused = self.released().poisoned.get_mut(&layout).and_then(Vec::pop);
                reused.map_or_else(|| allocate(layout), |Address(address)| address)
            }
        }
    }

    /// # Safety
    /// `address` is from `take` with the same `layout`, and is used no more by its owner.
    unsafe fn give_back(&self, address: NonNull<u8>, layout: Layout) {
        match self.kind {
            Memory::Guarded => {
                let pages = Pages::around(address, layout);
                pages.make_inaccessible();
                let mut released = self.released();
                released.guarded.push_back(pages);
                if released.guarded.len() > QUARANTINE {
                    drop(released.guarded.pop_front());
                }
            }
            // SAFETY: with this kind `take` allocated it, with this layout.
            Memory::Freed => unsafe { dealloc(address.as_ptr(), layout) },
            Memory::Poisoned => {
                // SAFETY: the caller has an object of this size there.
                unsafe { ptr::write_bytes(address.as_ptr(), POISON, layout.size()) };
                self.released().poisoned.entry(layout).or_default().push(Address(address));
            }
        }
    }

    fn released(&self) -> std::sync::MutexGuard<'_, Released> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for (layout, addresses) in self.released().poisoned.drain() {
            for Address(address) in addresses {
                // SAFETY: `take` allocated it with this layout, and it was given back.
                unsafe { dealloc(address.as_ptr(), layout) };
            }
        }
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: an object's layout is not empty.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Pages {
    fn with_room_for(layout: Layout) -> Self {
        let length = Self::length(layout);
        // SAFETY: the place is the system's to choose.
        let pages = Self { start: unsafe { Self::map(ptr::null_mut(), length, MapFlags::empty()) }, length };
        pages.protect(MprotectFlags::READ | MprotectFlags::WRITE);
        pages
    }

    /// Where an object lies in them: right before the last page.
    fn inside(self, layout: Layout) -> NonNull<u8> {
        let offset = (self.length - page_size() - layout.size()) & !(layout.align() - 1);
        // SAFETY: it lies inside the mapping.
        let address = unsafe { self.start.cast::<u8>().add(offset) };
        std::mem::forget(self);
        address
    }

    /// The pages that an object at `address` lies in.
    fn around(address: NonNull<u8>, layout: Layout) -> Self {
        let first = (address.addr().get() & !(page_size() - 1)) - page_size();
        let start = address.as_ptr().with_addr(first).cast();
        Self { start: NonNull::new(start).expect("memory is not at 0"), length: Self::length(layout) }
    }

    fn length(layout: Layout) -> usize {
        layout.size().next_multiple_of(page_size()) + 2 * page_size()
    }

    /// Gives the memory back to the system and keeps the addresses.
    fn make_inaccessible(&self) {
        // SAFETY: nobody may look at the memory of a released object, and its contents are not needed any more. Pages that
        // were never written are one mapping with their neighbours; there can only be so many mappings.
        unsafe { Self::map(self.start.as_ptr(), self.length, MapFlags::FIXED) };
    }

    /// # Safety
    /// With [`MapFlags::FIXED`], what is at `address` is not needed any more.
    unsafe fn map(address: *mut c_void, length: usize, flags: MapFlags) -> NonNull<c_void> {
        // SAFETY: without that flag it takes no memory that is in use, otherwise the caller vouches for it.
        let start = unsafe { mm::mmap_anonymous(address, length, ProtFlags::empty(), MapFlags::PRIVATE | flags) };
        NonNull::new(start.expect("there is memory")).expect("memory is not at 0")
    }

    fn protect(&self, flags: MprotectFlags) {
        // SAFETY: there are at least three pages; those between the first and the last hold one object, whose owner is
        // being made.
        unsafe { mm::mprotect(self.start.as_ptr().byte_add(page_size()), self.length - 2 * page_size(), flags) }
            .expect("they are ours");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: they are a mapping of our own, and no object in it is in use.
        unsafe { mm::munmap(self.start.as_ptr(), self.length) }.expect("they are ours");
    }
}

/// One `T`, or several side by side, at a place that does not change. Nothing but [`UNSET`] or zero bytes is in it at
/// first, and none of it is dropped. It goes back to its heap when it is dropped.
pub struct Object<T> {
    start: NonNull<T>,
    layout: Layout,
    heap: Arc<Heap>,
}

// SAFETY: it is an address and a size. Using what is there takes unsafe code, which has to say why it may.
unsafe impl<T> Send for Object<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Object<T> {}

impl<T> Object<T> {
    /// Room for one, of [`UNSET`] bytes.
    pub fn unset(heap: &Arc<Heap>) -> Self {
        Self::several(heap, 1, UNSET)
    }

    /// Room for one, of zero bytes.
    pub fn zeroed(heap: &Arc<Heap>) -> Self {
        Self::several(heap, 1, 0)
    }

    /// A copy of `values`. At least one byte is taken, also where there is no value.
    pub fn copy_of(heap: &Arc<Heap>, values: &[T]) -> Self
    where
        T: Copy,
    {
        let object = Self::several(heap, values.len(), UNSET);
        // SAFETY: there is room for just as many.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), object.as_ptr(), values.len()) };
        object
    }

    /// Its first one.
    pub fn as_ptr(&self) -> *mut T {
        self.start.as_ptr()
    }

    fn several(heap: &Arc<Heap>, count: usize, fill: u8) -> Self {
        let layout = Layout::array::<T>(count).expect("it is not that large");
        let layout = Layout::from_size_align(layout.size().max(1), layout.align()).expect("a byte is not too large");
        let start = heap.take(layout);
        // SAFETY: there is room for as many bytes.
        unsafe { ptr::write_bytes(start.as_ptr(), fill, layout.size()) };
        Self { start: start.cast(), layout, heap: Arc::clone(heap) }
    }
}

impl<T> Drop for Object<T> {
    fn drop(&mut self) {
        // SAFETY: `several` took it with this layout.
        unsafe { self.heap.give_back(self.start.cast(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn bytes(address: *const u64) -> [u8; 8] {
        // SAFETY: only called for memory that a heap holds.
        unsafe { address.cast::<[u8; 8]>().read() }
    }

    #[test]
    fn what_was_released_is_poisoned_and_used_again() {
        let heap = Heap::new(Memory::Poisoned);
        let first = Object::copy_of(&heap, &[1_u64]);
        let address = first.as_ptr();
        drop(first);
        assert_eq!(bytes(address), [POISON; 8]);
        let second = Object::<u64>::unset(&heap);
        assert_eq!(second.as_ptr(), address);
        assert_eq!(bytes(address), [UNSET; 8]);
    }

    #[test]
    fn a_guarded_object_ends_where_the_inaccessible_page_begins() {
        let heap = Heap::new(Memory::Guarded);
        for count in [1, 511, 512, 513] {
            let values = vec![7_u64; count];
            let object = Object::copy_of(&heap, &values);
            // SAFETY: one past the end of the object.
            let end = unsafe { object.as_ptr().add(count) };
            assert_eq!(end.addr() % page_size(), 0, "{count}");
            assert_eq!(bytes(object.as_ptr()), 7_u64.to_ne_bytes());
        }
    }

    /// Whether the system can read what is there.
    fn is_readable(address: *const u64) -> bool {
        let (_reader, writer) = UnixStream::pair().unwrap();
        // SAFETY: the system says so where it cannot read as many bytes.
        unsafe { libc::write(writer.as_raw_fd(), address.cast(), size_of::<u64>()) > 0 }
    }

    #[test]
    fn a_guarded_object_cannot_be_read_after_its_end() {
        let heap = Heap::new(Memory::Guarded);
        let first = Object::copy_of(&heap, &[1_u64, 2]);
        let address = first.as_ptr();
        assert!(is_readable(address));
        // SAFETY: only the address of what follows is taken.
        assert!(!is_readable(unsafe { address.add(2) }));
        drop(first);
        assert!(!is_readable(address));
        assert_ne!(Object::copy_of(&heap, &[1_u64, 2]).as_ptr(), address);
    }
}
