//! Headers of a request or of its response, as lighttpd2 keeps them.

use crate::exports::broken;
use crate::memory::{Heap, Object};
use crate::state::State;
use crate::value::Text;
use lighttpd2::sys;
use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;

/// What tells headers from other memory.
const MARK: u64 = 0x6865_6164_6c69_6e65;

/// Header lines, in their order.
pub(crate) struct Headers {
    heap: Arc<Heap>,
    place: Object<Place>,
    lines: RefCell<Vec<Line>>,
}

/// What the module knows headers by.
#[derive(Clone, Copy)]
#[repr(C)]
struct Place {
    mark: u64,
    state: *const State,
    headers: *const Headers,
}

/// A line that the module can look at until the request is reset.
struct Line {
    abi: Object<sys::liHttpHeader>,
    text: Text,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Headers {
    /// No lines.
    pub fn new(heap: &Arc<Heap>) -> Self {
        let nowhere = Place { mark: 0, state: ptr::null(), headers: ptr::null() };
        Self { heap: Arc::clone(heap), place: Object::copy_of(heap, &[nowhere]), lines: RefCell::default() }
    }

    /// Makes them those of a request. They are not moved from now on.
    pub fn belong_to(&self, state: *const State) {
        // SAFETY: nobody else knows the place yet.
        unsafe { *self.place.as_ptr() = Place { mark: MARK, state, headers: self } };
    }

    /// What the module knows them by.
    pub fn as_ptr(&self) -> *mut sys::liHttpHeaders {
        self.place.as_ptr().cast()
    }

    /// Those that the module knows by this. Ends the program where it may not use them.
    ///
    /// # Safety
    /// `headers` is NULL, or points at memory that can be read; if it is of a request, that lives during `'a`.
    pub unsafe fn from_abi<'a>(headers: *mut sys::liHttpHeaders) -> &'a Self {
        if headers.is_null() {
            broken("headers that are NULL");
        }
        // SAFETY: the caller promises memory; only with the mark is there what `belong_to` has left.
        unsafe {
            let place = headers.cast_const().cast::<Place>().read_unaligned();
            if place.mark != MARK {
                broken("headers that are of no request");
            }
            State::checked(place.state);
            &*place.headers
        }
    }

    /// Forgets all lines.
    pub fn clear(&self) {
        self.lines.take();
    }

    /// Names and values.
    pub fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.lines.borrow().iter().map(|line| (line.name.clone(), line.value.clone())).collect()
    }

    /// The values of all lines of that name.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let values: Vec<_> =
            self.lines.borrow().iter().filter(|line| line.is(name)).map(|line| line.value.clone()).collect();
        values.into_iter()
    }

    /// The last line of that name; NULL where there is none.
    pub fn lookup(&self, name: &[u8]) -> *mut sys::liHttpHeader {
        self.lines.borrow().iter().rfind(|line| line.is(name)).map_or(ptr::null_mut(), |line| line.abi.as_ptr())
    }

    /// Adds a line. A value on several lines becomes one.
    pub fn insert(&self, name: &[u8], value: &[u8]) {
        self.lines.borrow_mut().push(Line::new(&self.heap, name, &unfolded(value)));
    }

    /// Changes the last line of that name, or adds one.
    pub fn overwrite(&self, name: &[u8], value: &[u8]) {
        self.change(name, value, |_| value.to_vec());
    }

    /// Adds to the list of values in the last line of that name, or adds a line.
    pub fn append(&self, name: &[u8], value: &[u8]) {
        self.change(name, value, |former| [former, b", ", value].concat());
    }

    fn change(&self, name: &[u8], value: &[u8], change: impl FnOnce(&[u8]) -> Vec<u8>) {
        let mut lines = self.lines.borrow_mut();
        match lines.iter_mut().rfind(|line| line.is(name)) {
            Some(line) => {
                line.value = change(&line.value);
                line.text.replace(&self.heap, &line.whole());
            }
            None => {
                drop(lines);
                self.insert(name, value);
            }
        }
    }
}

impl Line {
    fn new(heap: &Arc<Heap>, name: &[u8], value: &[u8]) -> Self {
        let text = Text::new(heap, Some(&[name, b": ", value].concat()));
        let abi = Object::<sys::liHttpHeader>::unset(heap);
        // SAFETY: nobody else knows the object yet.
        unsafe {
            (*abi.as_ptr()).keylen = name.len() as sys::guint;
            (*abi.as_ptr()).data = text.as_ptr();
        }
        Self { abi, text, name: name.to_vec(), value: value.to_vec() }
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn whole(&self) -> Vec<u8> {
        [self.name.as_slice(), b": ", &self.value].concat()
    }
}

/// `value` on one line.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let mut is_at_start = false;
    let mut line = Vec::new();
    for &byte in value {
        match byte {
            b'\r' | b'\n' => is_at_start = true,
            b' ' | b'\t' if is_at_start => {}
            _ => {
                if is_at_start {
                    line.push(b' ');
                }
                is_at_start = false;
                line.push(byte);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn changes_the_last_line_of_a_name() {
        let headers = Headers::new(&Heap::new(Memory::Guarded));
        for (name, value) in [("A", "1"), ("B", "2"), ("a", "3")] {
            headers.insert(name.as_bytes(), value.as_bytes());
        }
        let line = headers.lookup(b"A");
        assert!(!line.is_null() && headers.lookup(b"C").is_null());
        headers.append(b"A", b"4");
        headers.overwrite(b"b", b"5");
        headers.append(b"C", b"6");
        let texts = headers.all().into_iter().map(|(name, value)| [name, b"=".to_vec(), value].concat());
        assert_eq!(texts.collect::<Vec<_>>(), [b"A=1".as_slice(), b"B=5", b"a=3, 4", b"C=6"]);
        assert_eq!(headers.lookup(b"a"), line, "it stays where it is");
        // SAFETY: it is a line of these headers.
        unsafe {
            let text = (*line).data;
            let bytes = std::slice::from_raw_parts((*text).str_.cast::<u8>(), (*text).len as usize + 1);
            assert_eq!(((*line).keylen, bytes), (1, b"a: 3, 4\0".as_slice()));
        }
    }

    #[test]
    fn a_value_on_several_lines_becomes_one() {
        for (value, line) in [("", ""), ("a b", "a b"), ("a\r\n b\n\t\tc", "a b c"), ("\na", " a"), ("a\r\n ", "a")] {
            assert_eq!(unfolded(value.as_bytes()), line.as_bytes(), "{value:?}");
        }
    }
}
