//! Values of the configuration.

use crate::sys;
use std::ffi::CStr;
use std::slice;

/// The types of values that the configuration can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whatever is given.
    Any,
    /// A number.
    Number,
    /// A string.
    String,
    /// A list; lighttpd2 makes one of a single value.
    List,
}

impl Type {
    /// What lighttpd2 calls it.
    pub(super) fn in_abi(self) -> sys::liValueType {
        match self {
            Self::Any => sys::LI_VALUE_NONE,
            Self::Number => sys::LI_VALUE_NUMBER,
            Self::String => sys::LI_VALUE_STRING,
            Self::List => sys::LI_VALUE_LIST,
        }
    }
}

/// A value that a setup, an option or an action was given, or its absence.
#[derive(Clone, Copy)]
pub struct Value<'a>(Option<&'a sys::liValue>);

impl<'a> Value<'a> {
    /// # Safety
    /// `value` is NULL or a value of lighttpd2's that nobody changes during `'a`.
    pub unsafe fn new(value: *const sys::liValue) -> Self {
        // SAFETY: the caller promises it.
        Self(unsafe { value.as_ref() })
    }

    /// Whether there is no value, or an empty one.
    pub fn is_missing(self) -> bool {
        self.0.is_none_or(|value| value.type_ == sys::LI_VALUE_NONE)
    }

    /// Whether nothing was given: no value, an empty one or an empty list.
    pub fn is_nothing(self) -> bool {
        self.is_missing() || self.items().is_some_and(|items| items.len() == 0)
    }

    /// The only item of a list, or else the value itself.
    pub fn single(self) -> Self {
        match self.items() {
            Some(mut items) if items.len() == 1 => items.next().unwrap_or(self),
            _ => self,
        }
    }

    /// The number that it is.
    pub fn number(self) -> Option<i64> {
        let value = self.0.filter(|value| value.type_ == sys::LI_VALUE_NUMBER)?;
        // SAFETY: the type says which member of the union is set.
        Some(unsafe { value.data.number })
    }

    /// The bytes of the string that it is.
    pub fn string(self) -> Option<&'a [u8]> {
        let value = self.0.filter(|value| value.type_ == sys::LI_VALUE_STRING)?;
        // SAFETY: the type says which member of the union is set. A string belongs to its value, which nobody changes.
        unsafe { bytes(value.data.string) }
    }

    /// The items of the list that it is.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Self>> {
        let value = self.0.filter(|value| value.type_ == sys::LI_VALUE_LIST)?;
        // SAFETY: the type says which member of the union is set. A list belongs to its value, which nobody changes, and
        // holds `len` pointers to values, if any.
        let items = unsafe {
            match value.data.list.as_ref() {
                Some(list) if !list.pdata.is_null() => slice::from_raw_parts(list.pdata, list.len as usize),
                _ => &[],
            }
        };
        // SAFETY: items of a list are values, or NULL, and belong to it.
        Some(items.iter().map(|item| unsafe { Self::new(item.cast_const().cast()) }))
    }

    /// What lighttpd2 calls its type; `NULL` where there is no value.
    pub fn type_name(self) -> &'static str {
        let Some(value) = self.0 else { return "NULL" };
        // SAFETY: lighttpd2 returns a string constant for each of its types, or NULL.
        let name = unsafe { sys::li_valuetype_string(value.type_).as_ref() };
        // SAFETY: as above.
        name.map_or("unknown", |name| unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("unknown"))
    }
}

/// The bytes of `string`, without the NUL at the end.
///
/// # Safety
/// `string` is NULL or a string that nobody changes during `'a`.
pub(super) unsafe fn bytes<'a>(string: *const sys::GString) -> Option<&'a [u8]> {
    // SAFETY: the caller promises it; glib keeps `len` bytes at `str`.
    unsafe {
        let string = string.as_ref()?;
        (!string.str_.is_null()).then(|| slice::from_raw_parts(string.str_.cast::<u8>(), string.len as usize))
    }
}
