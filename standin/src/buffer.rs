//! Bytes with a count of who has them.

use crate::exports::broken;
use crate::state::Place;
use lighttpd2::sys;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicI32, Ordering::AcqRel};

/// One with room for `max_size` bytes, and one reference.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_buffer_new_slice(max_size: sys::gsize) -> *mut sys::liBuffer {
    let room = Box::into_raw(vec![0; max_size as usize].into_boxed_slice());
    let buffer = sys::liBuffer {
        addr: room.cast(),
        alloc_size: max_size,
        used: 0,
        opaque_refcount: 1,
        opaque_mptr: [ptr::null_mut(); 2],
    };
    Box::into_raw(Box::new(buffer))
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_buffer_acquire(buf: *mut sys::liBuffer) {
    // SAFETY: the caller promises a buffer that it has.
    unsafe { count(buf) }.fetch_add(1, AcqRel);
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_buffer_release(buf: *mut sys::liBuffer) {
    // SAFETY: the caller promises a buffer that it has, and has no more; `li_buffer_new_slice` has made both boxes.
    unsafe {
        match count(buf).fetch_sub(1, AcqRel) {
            1 => {
                let buffer = Box::from_raw(buf);
                drop(Box::from_raw(ptr::slice_from_raw_parts_mut(
                    buffer.addr.cast::<u8>(),
                    buffer.alloc_size as usize,
                )));
            }
            before if before < 1 => broken("a buffer is released once too often"),
            _ => {}
        }
    }
}

/// Takes the reference over; the bytes are copied here.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_chunkqueue_append_buffer(cq: *mut sys::liChunkQueue, buffer: *mut sys::liBuffer) {
    // SAFETY: the caller promises a queue, and a buffer that it has.
    unsafe {
        let sys::liBuffer { addr, used, alloc_size, .. } = *buffer;
        if used > alloc_size {
            broken("more is used of a buffer than there is");
        }
        Place::append(cq, slice::from_raw_parts(addr.cast(), used as usize));
        li_buffer_release(buffer);
    }
}

/// # Safety
/// It is a buffer during `'a`.
unsafe fn count<'a>(buffer: *mut sys::liBuffer) -> &'a AtomicI32 {
    // SAFETY: the caller promises it; only this changes the word.
    unsafe { AtomicI32::from_ptr(&raw mut (*buffer).opaque_refcount) }
}
