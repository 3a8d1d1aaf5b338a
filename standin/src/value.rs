//! Values of the configuration, as lighttpd2 lays them out.

use crate::memory::{Heap, Object};
use lighttpd2::sys;
use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::sync::Arc;

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Of type none.
    None,
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(i64),
    /// A string of any bytes.
    String(Vec<u8>),
    /// A list, in which NULL may stand for a value.
    List(Vec<Option<Data>>),
    /// A string without bytes: its pointer is NULL.
    NullString,
    /// A list that is NULL.
    NullList,
    /// A value of another type, with nothing in it.
    Other(sys::liValueType),
}

impl Data {
    /// lighttpd2's number for its type.
    pub fn kind(&self) -> sys::liValueType {
        match self {
            Self::None => sys::LI_VALUE_NONE,
            Self::Boolean(_) => sys::LI_VALUE_BOOLEAN,
            Self::Number(_) => sys::LI_VALUE_NUMBER,
            Self::String(_) | Self::NullString => sys::LI_VALUE_STRING,
            Self::List(_) | Self::NullList => sys::LI_VALUE_LIST,
            Self::Other(kind) => *kind,
        }
    }
}

impl From<serde_json::Value> for Data {
    /// A number that is not an integer becomes none. An object becomes a list of pairs, as lighttpd2 has it.
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Bool(boolean) => Self::Boolean(boolean),
            serde_json::Value::Number(number) => number.as_i64().map_or(Self::None, Self::Number),
            serde_json::Value::String(string) => Self::String(string.into_bytes()),
            serde_json::Value::Array(items) => Self::List(items.into_iter().map(|item| Some(item.into())).collect()),
            serde_json::Value::Object(members) => {
                let pair = |(name, value): (String, serde_json::Value)| {
                    Some(Self::List(vec![Some(Self::String(name.into_bytes())), Some(value.into())]))
                };
                Self::List(members.into_iter().map(pair).collect())
            }
            serde_json::Value::Null => Self::None,
        }
    }
}

/// A value that the module can look at. It is gone when this is dropped.
pub struct Value {
    abi: Object<sys::liValue>,
    inside: Inside,
}

enum Inside {
    Nothing,
    String { text: Text },
    List { list: Object<sys::GPtrArray>, _pointers: Object<sys::gpointer>, _items: Vec<Option<Value>> },
}

impl Value {
    /// Lays out `data`.
    pub fn new(heap: &Arc<Heap>, data: &Data) -> Self {
        let abi = Object::<sys::liValue>::unset(heap);
        let value = abi.as_ptr();
        // SAFETY: nobody else knows the object yet.
        let inside = unsafe {
            (*value).type_ = data.kind();
            match data {
                Data::None | Data::Other(_) => Inside::Nothing,
                Data::Boolean(boolean) => {
                    (*value).data.boolean = (*boolean).into();
                    Inside::Nothing
                }
                Data::Number(number) => {
                    (*value).data.number = *number;
                    Inside::Nothing
                }
                Data::String(bytes) => {
                    let text = Text::new(heap, Some(bytes));
                    (*value).data.string = text.as_ptr();
                    Inside::String { text }
                }
                Data::NullString => {
                    let text = Text::new(heap, None);
                    (*value).data.string = text.as_ptr();
                    Inside::String { text }
                }
                Data::NullList => {
                    (*value).data.list = ptr::null_mut();
                    Inside::Nothing
                }
                Data::List(items) => {
                    let items: Vec<_> =
                        items.iter().map(|item| item.as_ref().map(|item| Self::new(heap, item))).collect();
                    let addresses: Vec<_> = items.iter().map(|item| Self::address(item.as_ref()).cast()).collect();
                    let pointers = Object::copy_of(heap, &addresses);
                    let list = Object::<sys::GPtrArray>::unset(heap);
                    // glib allocates nothing for an empty array.
                    (*list.as_ptr()).pdata = if items.is_empty() { ptr::null_mut() } else { pointers.as_ptr() };
                    (*list.as_ptr()).len = items.len() as sys::guint;
                    (*value).data.list = list.as_ptr();
                    Inside::List { list, _pointers: pointers, _items: items }
                }
            }
        };
        Self { abi, inside }
    }

    /// What `li_value_extract_ptr` takes out of it: its string or list.
    pub fn inside(&self) -> *mut c_void {
        match &self.inside {
            Inside::Nothing => ptr::null_mut(),
            Inside::String { text } => text.as_ptr().cast(),
            Inside::List { list, .. } => list.as_ptr().cast(),
        }
    }

    /// Where it is; NULL where there is none.
    pub fn address(value: Option<&Self>) -> *mut sys::liValue {
        value.map_or(ptr::null_mut(), |value| value.abi.as_ptr())
    }
}

/// A `GString`.
pub struct Text {
    abi: Object<sys::GString>,
    bytes: Object<u8>,
    /// Room for so many, and a NUL.
    room: usize,
}

impl Text {
    /// A string of these bytes, and a NUL; with a NULL pointer where there are none.
    pub fn new(heap: &Arc<Heap>, bytes: Option<&[u8]>) -> Self {
        let stored = with_nul(heap, bytes.unwrap_or_default());
        let abi = Object::<sys::GString>::unset(heap);
        // SAFETY: nobody else knows the object yet.
        unsafe {
            (*abi.as_ptr()).str_ = if bytes.is_some() { stored.as_ptr().cast() } else { ptr::null_mut() };
        }
        let mut text = Self { abi, bytes: stored, room: 0 };
        text.set_length(bytes.unwrap_or_default().len());
        text
    }

    /// Makes it a string of these bytes, which are elsewhere than those before.
    pub fn replace(&mut self, heap: &Arc<Heap>, bytes: &[u8]) {
        self.bytes = with_nul(heap, bytes);
        // SAFETY: the module does not look at it meanwhile.
        unsafe { (*self.abi.as_ptr()).str_ = self.bytes.as_ptr().cast() };
        self.set_length(bytes.len());
    }

    /// Where it is.
    pub fn as_ptr(&self) -> *mut sys::GString {
        self.abi.as_ptr()
    }

    /// What is in it now, also where the module has changed that. `None` where it is no string any more.
    pub fn contents(&self) -> Option<Vec<u8>> {
        // SAFETY: the object is there; of the bytes no more are read than there are.
        unsafe {
            let abi = self.abi.as_ptr();
            let length = usize::try_from((*abi).len).ok().filter(|length| *length <= self.room)?;
            let is_same =
                (*abi).str_ == self.bytes.as_ptr().cast() && (*abi).allocated_len == self.room as sys::gsize + 1;
            let with_nul = slice::from_raw_parts(self.bytes.as_ptr(), self.room + 1).get(..=length)?;
            with_nul.strip_suffix(b"\0").filter(|_| is_same).map(<[u8]>::to_vec)
        }
    }

    fn set_length(&mut self, length: usize) {
        self.room = length;
        // SAFETY: the module does not look at it meanwhile.
        unsafe {
            (*self.abi.as_ptr()).len = length as sys::gsize;
            (*self.abi.as_ptr()).allocated_len = length as sys::gsize + 1;
        }
    }
}

/// The bytes of a string.
///
/// # Safety
/// `text` is NULL, or a string that stays as it is during `'a`.
pub(crate) unsafe fn bytes<'a>(text: *const sys::GString) -> &'a [u8] {
    // SAFETY: the caller promises it.
    unsafe {
        match text.as_ref().filter(|text| !text.str_.is_null()) {
            Some(text) => slice::from_raw_parts(text.str_.cast(), text.len as usize),
            None => &[],
        }
    }
}

fn with_nul(heap: &Arc<Heap>, bytes: &[u8]) -> Object<u8> {
    Object::copy_of(heap, &[bytes, b"\0"].concat())
}
