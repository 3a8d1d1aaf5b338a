//! The module's options: their values, and where they are among those of others.

use crate::exports::broken;
use crate::names::type_name;
use crate::plugin::{entries, is_named};
use crate::pointer::{Kept, Pointer, PointerValue};
use crate::server::StandInServer;
use crate::value::{Data, Text, Value};
use lighttpd2::sys;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// Options of others that come before the module's; one more comes after.
pub const OPTIONS_BEFORE: usize = 3;

/// What an option of others holds.
pub const FOREIGN_OPTION: i64 = 0x0f0e_0d0c_0b0a_0908;

/// Options of others behind pointers that come before the module's, one of them without a value; one more comes after.
pub const POINTERS_BEFORE: usize = 2;

/// An option of the module's.
#[derive(Clone, Copy)]
pub(crate) enum Plain {
    /// With its value in the request.
    Scalar(usize, sys::liPluginOption),
    /// With its value behind a pointer.
    Pointer(usize, sys::liPluginOptionPtr),
}

/// What an option becomes, and its place among all of its kind.
pub(crate) enum Setting {
    Scalar(usize, sys::liOptionValue),
    Pointer(usize, Pointer),
}

impl Plain {
    /// Its name, and the type of value that it takes.
    fn kind(&self) -> (*const c_char, sys::liValueType) {
        match self {
            Self::Scalar(_, option) => (option.name, option.type_),
            Self::Pointer(_, option) => (option.name, option.type_),
        }
    }
}

impl StandInServer {
    /// Gives every option the value that it has by default.
    pub(crate) fn load_defaults(&self) {
        let (scalars, pointers) = self.plugin_options();
        self.check_names();
        let foreign = sys::liOptionValue { number: FOREIGN_OPTION };
        *self.options() = vec![foreign; OPTIONS_BEFORE + scalars.len() + 1];
        let foreign = || PointerValue::new(&self.heap, ptr::dangling_mut::<u64>().cast(), Kept::Foreign);
        let mut all = vec![None; POINTERS_BEFORE + pointers.len() + 1];
        (all[0], all[POINTERS_BEFORE + pointers.len()]) = (foreign(), foreign());
        *self.pointers() = all;
        let scalars = scalars.into_iter().enumerate().map(|(number, option)| Plain::Scalar(number, option));
        let pointers = pointers.into_iter().enumerate().map(|(number, option)| Plain::Pointer(number, option));
        for option in scalars.chain(pointers) {
            if let Some(setting) = self.parse(option, None) {
                self.set_default(setting);
            }
        }
    }

    /// Lets go of the values that options have by default.
    pub(crate) fn release_defaults(&self) {
        let values = std::mem::take(&mut *self.pointers());
        drop(values);
        self.options().clear();
    }

    /// From now on requests begin with this.
    pub(crate) fn set_default(&self, setting: Setting) {
        match setting {
            Setting::Scalar(index, value) => self.options()[index] = value,
            Setting::Pointer(index, value) => {
                let former = std::mem::replace(&mut self.pointers()[index], value);
                drop(former);
            }
        }
    }

    /// What the option of that name becomes. `None` where the value is refused, which is in the log then.
    pub(crate) fn parse_setting(&self, name: &str, value: Option<&Data>) -> Option<Setting> {
        let single = match value {
            Some(Data::List(items)) if items.len() <= 1 => items.first().cloned().flatten(),
            other => other.cloned(),
        };
        self.parse(self.find_option(name)?, single)
    }

    /// The option of that name.
    pub(crate) fn find_option(&self, name: &str) -> Option<Plain> {
        let (scalars, pointers) = self.plugin_options();
        let scalar = scalars.into_iter().enumerate().find(|(_, option)| is_named(option.name, name));
        let pointer = || pointers.into_iter().enumerate().find(|(_, option)| is_named(option.name, name));
        match scalar {
            Some((number, option)) => Some(Plain::Scalar(number, option)),
            None => pointer().map(|(number, option)| Plain::Pointer(number, option)),
        }
    }

    fn parse(&self, option: Plain, value: Option<Data>) -> Option<Setting> {
        let (name, kind) = option.kind();
        // SAFETY: names are never freed.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        let value = match value {
            Some(single) if kind == sys::LI_VALUE_LIST && single.kind() != sys::LI_VALUE_LIST => {
                Some(Data::List(vec![Some(single)]))
            }
            other => other,
        };
        let mismatch = value.as_ref().map(Data::kind).filter(|given| *given != kind && kind != sys::LI_VALUE_NONE);
        if let Some(given) = mismatch {
            let (given, expected) = (type_name(given), type_name(kind));
            self.log.error(&format!("Unexpected value type '{given}', expected '{expected}' for option {name}"));
            return None;
        }
        match option {
            Plain::Scalar(number, option) => self.parse_scalar(&name, number, option, value),
            Plain::Pointer(number, option) => self.parse_pointer(number, option, value),
        }
    }

    fn parse_scalar(
        &self,
        name: &str,
        number: usize,
        option: sys::liPluginOption,
        value: Option<Data>,
    ) -> Option<Setting> {
        let mut parsed = sys::liOptionValue { number: 0 };
        if let Some(parse) = option.parse_option {
            let value = value.map(|data| Value::new(&self.heap, &data));
            let value = Value::address(value.as_ref());
            // SAFETY: the plugin has filled it in for this; value and result live until it returns.
            let accepted =
                unsafe { parse(self.as_ptr(), self.worker(0), self.plugin(), number, value, &raw mut parsed) };
            return (accepted != 0).then_some(Setting::Scalar(OPTIONS_BEFORE + number, parsed));
        }
        match (option.type_, value) {
            (sys::LI_VALUE_BOOLEAN, Some(Data::Boolean(boolean))) => parsed.boolean = boolean.into(),
            (sys::LI_VALUE_BOOLEAN, None) => parsed.boolean = option.default_value as sys::gboolean,
            (sys::LI_VALUE_NUMBER, Some(Data::Number(number))) => parsed.number = number,
            (sys::LI_VALUE_NUMBER, None) => parsed.number = option.default_value,
            (kind, _) => {
                self.log.error(&format!("Invalid scalar option type '{}' for option {name}", type_name(kind)));
                return None;
            }
        }
        Some(Setting::Scalar(OPTIONS_BEFORE + number, parsed))
    }

    fn parse_pointer(&self, number: usize, option: sys::liPluginOptionPtr, value: Option<Data>) -> Option<Setting> {
        let given = value.as_ref().map(|data| Value::new(&self.heap, data));
        let (pointer, own) = match option.parse_option {
            Some(parse) => {
                let mut parsed: *mut c_void = ptr::null_mut();
                let value = Value::address(given.as_ref());
                // SAFETY: the plugin has filled it in for this; value and result live until it returns.
                let accepted =
                    unsafe { parse(self.as_ptr(), self.worker(0), self.plugin(), number, value, &raw mut parsed) };
                if accepted == 0 {
                    return None;
                }
                (parsed, Kept::Nothing)
            }
            None => self.plain_pointer(option, given),
        };
        let kept = match option.free_option {
            Some(free) => Kept::Module { server: self.as_ptr(), plugin: self.plugin(), number, free },
            None if option.parse_option.is_some() && option.type_ > sys::LI_VALUE_NUMBER => {
                broken("an option behind a pointer that lighttpd2 would free as its own")
            }
            None => own,
        };
        Some(Setting::Pointer(POINTERS_BEFORE + number, PointerValue::new(&self.heap, pointer, kept)))
    }

    /// What lighttpd2 makes of a value where the module has no function for that.
    fn plain_pointer(&self, option: sys::liPluginOptionPtr, given: Option<Value>) -> (*mut c_void, Kept) {
        match given {
            Some(value) => (value.inside(), Kept::Value { _value: value }),
            None if option.type_ == sys::LI_VALUE_STRING => {
                let text = option.default_value.cast::<c_char>();
                // SAFETY: it is NULL or a string.
                let text = if text.is_null() { c"" } else { unsafe { CStr::from_ptr(text) } };
                let text = Text::new(&self.heap, Some(text.to_bytes()));
                (text.as_ptr().cast(), Kept::Text { _text: text })
            }
            None => (ptr::null_mut(), Kept::Nothing),
        }
    }

    /// Ends the program where two things of the module's have one name: lighttpd2 does not register such a plugin.
    fn check_names(&self) {
        let (scalars, pointers) = self.plugin_options();
        let options = scalars.iter().map(|option| option.name).chain(pointers.iter().map(|option| option.name));
        let options: Vec<_> = options.collect();
        let actions = self.plugin_actions().into_iter().map(|action| action.name).collect::<Vec<_>>();
        let setups = self.plugin_setups().into_iter().map(|setup| setup.name).collect::<Vec<_>>();
        for others in [actions, setups] {
            let names = options.iter().chain(&others);
            // SAFETY: names are never freed.
            let mut names: Vec<_> = names.map(|name| unsafe { CStr::from_ptr(*name) }).collect();
            names.sort_unstable();
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                broken("two options, actions or setups of one name");
            }
        }
    }

    /// The plugin's options: with values in the request, and behind pointers.
    fn plugin_options(&self) -> (Vec<sys::liPluginOption>, Vec<sys::liPluginOptionPtr>) {
        // SAFETY: it is NULL or the registered plugin, which changes its lists in `init` only.
        match unsafe { self.plugin().as_ref() } {
            // SAFETY: they are lists.
            Some(plugin) => unsafe {
                (entries(plugin.options, |option| option.name), entries(plugin.optionptrs, |option| option.name))
            },
            None => (Vec::new(), Vec::new()),
        }
    }
}
