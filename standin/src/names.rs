//! What lighttpd2 calls the methods of HTTP and the types of values.

use crate::exports::broken;
use lighttpd2::sys;
use std::ffi::{CStr, c_char};
use std::{ptr, slice};

/// The methods, by their numbers.
const METHODS: [&CStr; 22] = [
    c"GET",
    c"POST",
    c"HEAD",
    c"OPTIONS",
    c"PROPFIND",
    c"MKCOL",
    c"PUT",
    c"DELETE",
    c"COPY",
    c"MOVE",
    c"PROPPATCH",
    c"REPORT",
    c"CHECKOUT",
    c"CHECKIN",
    c"VERSION-CONTROL",
    c"UNCHECKOUT",
    c"MKACTIVITY",
    c"MERGE",
    c"LOCK",
    c"UNLOCK",
    c"LABEL",
    c"CONNECT",
];

/// The method of that name.
pub fn method_of(name: &[u8]) -> sys::liHttpMethod {
    let number = METHODS.iter().position(|known| known.to_bytes() == name);
    number.map_or(sys::LI_HTTP_METHOD_UNSET, |number| number as sys::liHttpMethod)
}

/// What lighttpd2 calls a method; `None` for a number that stands for none.
pub(crate) fn name_of_method(method: sys::liHttpMethod) -> Option<&'static CStr> {
    if method == sys::LI_HTTP_METHOD_UNSET {
        return Some(c"UNKNOWN");
    }
    usize::try_from(method).ok().and_then(|number| METHODS.get(number).copied())
}

/// What lighttpd2 calls a type of values.
pub fn type_name(kind: sys::liValueType) -> &'static str {
    name_of_type(kind).to_str().unwrap_or_default()
}

fn name_of_type(kind: sys::liValueType) -> &'static CStr {
    match kind {
        sys::LI_VALUE_NONE => c"none",
        sys::LI_VALUE_BOOLEAN => c"boolean",
        sys::LI_VALUE_NUMBER => c"number",
        sys::LI_VALUE_STRING => c"string",
        sys::LI_VALUE_LIST => c"list",
        sys::LI_VALUE_ACTION => c"action",
        sys::LI_VALUE_CONDITION => c"condition",
        _ => c"<unknown>",
    }
}

/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_http_method_from_string(
    method_str: *const sys::gchar,
    len: sys::gssize,
) -> sys::liHttpMethod {
    let Ok(length) = usize::try_from(len) else { broken("a method name of negative length") };
    // SAFETY: the caller promises as many bytes.
    method_of(unsafe { slice::from_raw_parts(method_str.cast(), length) })
}

/// NULL and no length for what is no method.
///
/// # Safety
/// As lighttpd2's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_http_method_string(method: sys::liHttpMethod, len: *mut sys::guint) -> *mut sys::gchar {
    let name = name_of_method(method);
    // SAFETY: the caller promises room for the length.
    unsafe { *len = name.map_or(0, |name| name.count_bytes() as sys::guint) };
    name.map_or(ptr::null_mut(), |name| name.as_ptr().cast_mut())
}

/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn li_valuetype_string(type_: sys::liValueType) -> *const c_char {
    name_of_type(type_).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the exported function says of a method.
    fn exported(method: sys::liHttpMethod) -> Option<Vec<u8>> {
        let mut length = 99;
        // SAFETY: there is room for the length, and the name has as many bytes.
        unsafe {
            let name = li_http_method_string(method, &raw mut length);
            if name.is_null() {
                assert_eq!(length, 0, "{method}");
                return None;
            }
            assert_eq!(*name.add(length as usize), 0, "{method} has a NUL at the end");
            Some(slice::from_raw_parts(name.cast(), length as usize).to_vec())
        }
    }

    #[test]
    fn methods_have_lighttpd2s_names() {
        for (method, name) in [
            (sys::LI_HTTP_METHOD_GET, "GET"),
            (sys::LI_HTTP_METHOD_PUT, "PUT"),
            (sys::LI_HTTP_METHOD_VERSION_CONTROL, "VERSION-CONTROL"),
            (sys::LI_HTTP_METHOD_CONNECT, "CONNECT"),
        ] {
            assert_eq!(exported(method).as_deref(), Some(name.as_bytes()));
            assert_eq!(method_of(name.as_bytes()), method);
        }
        assert_eq!(exported(sys::LI_HTTP_METHOD_UNSET).as_deref(), Some(&b"UNKNOWN"[..]));
        assert_eq!(method_of(b"UNKNOWN"), sys::LI_HTTP_METHOD_UNSET);
        for none in [sys::LI_HTTP_METHOD_CONNECT + 1, -2, i32::MIN, i32::MAX] {
            assert_eq!(exported(none), None, "{none}");
        }
    }
}
