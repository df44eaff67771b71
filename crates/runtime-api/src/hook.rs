//! Calls of functions of a *hook script* (access, authentication, groups, dispatch), both halves: what crosses the table, the
//! [`Call`] that the host makes of it and the [`Hook`] that the engine sees.
//!
//! A hook has no body to read and no answer to send; of the transport that it is given only log and TLS variables are used. Runs on the
//! thread of the request, in an Apache child.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use crate::runtime::{Environ, pointer};
use crate::{
    Bytes, Pair, REQUEST_CLIENT_GROUP, REQUEST_HTTPS, REQUEST_SCRIPT_RELOADING, entries, slice,
};

/// `HookView::wanted`: the value of one function, whatever it is.
pub const HOOK_VALUE: u32 = 0;
/// `HookView::wanted`: of each function a name (text of latin-1 characters, or bytes) or None. A function that the script does
/// not have is skipped. Any other value is a TypeError, which is logged ([`HookOutcome::Raised`]); the functions behind it are
/// not called (REQ-133).
pub const HOOK_NAMES: u32 = 1;
/// `HookView::wanted`: the items of the iterable that one function returns.
pub const HOOK_ITEMS: u32 = 2;

/// `kind` of an answer: `None`.
pub const KIND_NONE: u32 = 0;
/// `kind` of an answer: `True`.
pub const KIND_TRUE: u32 = 1;
/// `kind` of an answer: `False`.
pub const KIND_FALSE: u32 = 2;
/// `kind` of an answer: text, in UTF-8.
pub const KIND_TEXT: u32 = 3;
/// `kind` of an answer: bytes.
pub const KIND_BYTES: u32 = 4;
/// `kind` of an answer: something else; the bytes are the name of its type.
pub const KIND_OTHER: u32 = 5;

/// A call of functions of a hook script. All pointers are valid for the call of `hook` only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HookView {
    /// The string entries of the environ. The engine adds `wsgi.errors`, and but for [`HOOK_NAMES`] `mod_wsgi.version`,
    /// `apache.version` and the functions `mod_ssl.*` (REQ-135, REQ-691).
    pub environ: *const Pair,
    /// Number of entries of `environ`.
    pub environ_len: usize,
    /// Interpreter; empty is the main one.
    pub application_group: Bytes,
    /// The script's file.
    pub script: Bytes,
    /// Names of the functions, called in this order.
    pub functions: *const Bytes,
    /// Number of `functions`; 1 but with [`HOOK_NAMES`].
    pub functions_len: usize,
    /// What each of them is given after the environ: text, one character for each byte.
    pub arguments: *const Bytes,
    /// Number of `arguments`.
    pub arguments_len: usize,
    /// `HOOK_*`.
    pub wanted: u32,
    /// Of the `REQUEST_*` flags [`REQUEST_SCRIPT_RELOADING`], [`REQUEST_CLIENT_GROUP`] and [`REQUEST_HTTPS`] (which is the
    /// connection's here).
    pub flags: u32,
    /// Ordinal of the worker thread in its process, from 1.
    pub thread_id: u32,
    /// As in [`crate::RequestView`].
    pub apache_request: *mut c_void,
}

/// Where values go: called for each value of function number `function`, in order. The bytes are valid for the call.
pub type Answer = unsafe extern "C" fn(sink: *mut c_void, function: usize, kind: u32, value: Bytes);

/// How a call of `hook` ended. Nothing that was answered before a failure may be used.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOutcome {
    /// Every function returned, and its values were answered.
    Done = 0,
    /// The script cannot be loaded. Already logged.
    NotLoaded = 1,
    /// The script has no such function. Not logged.
    Missing = 2,
    /// A function raised an exception. Already logged.
    Raised = 3,
    /// With [`HOOK_ITEMS`]: what the function returned cannot be iterated; its type was answered. Not logged.
    NotIterable = 4,
    /// The interpreter could not be had. The cause was logged, not what it is needed for.
    Unavailable = 5,
}

/// A value that a function returned, or an item of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'v> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// Text.
    Text(&'v str),
    /// Bytes.
    Bytes(&'v [u8]),
    /// Something else, or text that is no Unicode; the name of its type.
    Other(&'v str),
}

impl<'v> Value<'v> {
    fn parts(self) -> (u32, Bytes) {
        match self {
            Value::None => (KIND_NONE, Bytes::NONE),
            Value::Bool(true) => (KIND_TRUE, Bytes::NONE),
            Value::Bool(false) => (KIND_FALSE, Bytes::NONE),
            Value::Text(text) => (KIND_TEXT, Bytes::of(text.as_bytes())),
            Value::Bytes(bytes) => (KIND_BYTES, Bytes::of(bytes)),
            Value::Other(name) => (KIND_OTHER, Bytes::of(name.as_bytes())),
        }
    }

    /// Of a kind that is not known, or text that is none, comes the value that nobody grants anything for.
    fn of(kind: u32, bytes: &'v [u8]) -> Value<'v> {
        let text = std::str::from_utf8(bytes);
        match (kind, text) {
            (KIND_NONE, _) => Value::None,
            (KIND_TRUE, _) => Value::Bool(true),
            (KIND_FALSE, _) => Value::Bool(false),
            (KIND_TEXT, Ok(text)) => Value::Text(text),
            (KIND_BYTES, _) => Value::Bytes(bytes),
            (_, text) => Value::Other(text.unwrap_or("unknown")),
        }
    }
}

// The host's half.

/// A call, as the host describes it. Fields mean what those of [`HookView`] mean.
pub struct Call<'a> {
    /// String entries.
    pub environ: Environ<'a>,
    /// Interpreter; empty is the main one.
    pub application_group: &'a [u8],
    /// The script's file.
    pub script: &'a [u8],
    /// Functions.
    pub functions: &'a [&'a [u8]],
    /// Their arguments behind the environ.
    pub arguments: &'a [&'a [u8]],
    /// `HOOK_*`.
    pub wanted: u32,
    /// `REQUEST_*`.
    pub flags: u32,
    /// Ordinal of the worker thread, from 1.
    pub thread_id: u32,
    /// Apache's request, if scripts are to have it.
    pub apache_request: Option<NonNull<c_void>>,
}

impl Call<'_> {
    /// Lets `body` use the view of this call, with the function and sink by which `answer` gets the values.
    pub(crate) fn with_view<R>(
        &self,
        mut answer: &mut dyn FnMut(usize, Value<'_>),
        body: impl FnOnce(&HookView, Answer, *mut c_void) -> R,
    ) -> R {
        let lend = |all: &[&[u8]]| all.iter().map(|one| Bytes::of(one)).collect::<Vec<_>>();
        let (functions, arguments) = (lend(self.functions), lend(self.arguments));
        let (environ, environ_len) = self.environ.raw();
        let view = HookView {
            environ,
            environ_len,
            application_group: Bytes::of(self.application_group),
            script: Bytes::of(self.script),
            functions: functions.as_ptr(),
            functions_len: functions.len(),
            arguments: arguments.as_ptr(),
            arguments_len: arguments.len(),
            wanted: self.wanted,
            flags: self.flags,
            thread_id: self.thread_id,
            apache_request: pointer(self.apache_request),
        };
        body(&view, take, (&raw mut answer).cast())
    }
}

/// The [`Answer`] of [`Call::with_view`].
unsafe extern "C" fn take(sink: *mut c_void, function: usize, kind: u32, value: Bytes) {
    // SAFETY: the sink that `with_view` made, during its call, which nobody else uses meanwhile.
    let answer = unsafe { &mut *sink.cast::<&mut dyn FnMut(usize, Value<'_>)>() };
    // SAFETY: the engine lends the bytes for the call.
    let bytes = unsafe { value.get() }.unwrap_or_default();
    // A panic must not cross the table; without the value the host has nothing to grant anything for.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        answer(function, Value::of(kind, bytes));
    }));
}

// The engine's half.

/// A call, as the engine sees it.
#[derive(Clone, Copy)]
pub struct Hook<'r> {
    view: &'r HookView,
    answer: Answer,
    sink: *mut c_void,
    borrowed: PhantomData<&'r mut ()>,
}

// SAFETY: the sink is only handed back to the host, by one call at a time (`answer` borrows mutably).
unsafe impl Send for Hook<'_> {}

impl<'r> Hook<'r> {
    /// # Safety
    /// The view and everything that it points to live for `'r`; `answer` and `sink` belong together.
    pub(crate) unsafe fn new(view: &'r HookView, answer: Answer, sink: *mut c_void) -> Hook<'r> {
        Hook {
            view,
            answer,
            sink,
            borrowed: PhantomData,
        }
    }

    /// The string entries of the environ.
    pub fn environ(&self) -> impl Iterator<Item = (&'r [u8], Option<&'r [u8]>)> + use<'r> {
        // SAFETY: the host lends that many pairs, and their bytes, for `'r`.
        unsafe { entries(self.view.environ, self.view.environ_len) }
    }

    /// Interpreter; empty is the main one.
    pub fn application_group(&self) -> &'r [u8] {
        field(self.view.application_group)
    }

    /// The script's file.
    pub fn script(&self) -> &'r [u8] {
        field(self.view.script)
    }

    /// Names of the functions.
    pub fn functions(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        // SAFETY: the host lends that many names for `'r`.
        let names: &'r [Bytes] = unsafe { slice(self.view.functions, self.view.functions_len) };
        names.iter().map(|name| field(*name))
    }

    /// What they are given after the environ.
    pub fn arguments(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        // SAFETY: the host lends that many texts for `'r`.
        let texts: &'r [Bytes] = unsafe { slice(self.view.arguments, self.view.arguments_len) };
        texts.iter().map(|text| field(*text))
    }

    /// `HOOK_*`.
    pub fn wanted(&self) -> u32 {
        self.view.wanted
    }

    /// Whether a changed script is loaded again.
    pub fn reloads_scripts(&self) -> bool {
        self.view.flags & REQUEST_SCRIPT_RELOADING != 0
    }

    /// Whether the interpreter's name is made of data of the client.
    pub fn has_client_group(&self) -> bool {
        self.view.flags & REQUEST_CLIENT_GROUP != 0
    }

    /// Whether the client speaks TLS with Apache.
    pub fn is_https(&self) -> bool {
        self.view.flags & REQUEST_HTTPS != 0
    }

    /// Ordinal of this worker thread, from 1.
    pub fn thread_id(&self) -> u32 {
        self.view.thread_id
    }

    /// Apache's request, if scripts are to have it.
    pub fn apache_request(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.view.apache_request)
    }

    /// Hands a value over.
    pub fn answer(&mut self, function: usize, value: Value<'_>) {
        let (kind, bytes) = value.parts();
        // SAFETY: function and sink belong together; the bytes live during the call.
        unsafe { (self.answer)(self.sink, function, kind, bytes) };
    }
}

fn field<'r>(bytes: Bytes) -> &'r [u8] {
    // SAFETY: only called with bytes of a HookView, by methods whose result does not outlive the view's call.
    unsafe { bytes.get() }.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_reaches_the_engine_and_its_values_the_host() {
        let mut environ = Environ::new();
        environ.push(b"REQUEST_METHOD", Some(b"GET"));
        let call = Call {
            environ,
            application_group: b"group",
            script: b"/a.wsgi",
            functions: &[b"one", b"two"],
            arguments: &[b"user"],
            wanted: HOOK_NAMES,
            flags: REQUEST_SCRIPT_RELOADING,
            thread_id: 3,
            apache_request: None,
        };
        let values = [
            Value::None,
            Value::Bool(true),
            Value::Bool(false),
            Value::Text("\u{e9}"),
            Value::Bytes(b"\xff"),
            Value::Other("int"),
        ];
        let mut seen = Vec::new();
        call.with_view(
            &mut |function, value| seen.push((function, format!("{value:?}"))),
            |view, answer, sink| {
                // SAFETY: of this call.
                let mut hook = unsafe { Hook::new(view, answer, sink) };
                assert_eq!(
                    hook.environ().collect::<Vec<_>>(),
                    [(&b"REQUEST_METHOD"[..], Some(&b"GET"[..]))]
                );
                assert_eq!(hook.functions().collect::<Vec<_>>(), [b"one", b"two"]);
                assert_eq!(hook.arguments().collect::<Vec<_>>(), [b"user"]);
                assert_eq!((hook.script(), hook.thread_id()), (&b"/a.wsgi"[..], 3));
                assert!(hook.reloads_scripts());
                for (number, value) in values.into_iter().enumerate() {
                    hook.answer(number, value);
                }
            },
        );
        let expected = values.map(|value| format!("{value:?}"));
        assert_eq!(seen, expected.into_iter().enumerate().collect::<Vec<_>>());
    }

    /// What the host does not know is nothing that anybody is let in for.
    #[test]
    fn an_unknown_kind_is_another_value() {
        assert_eq!(Value::of(99, b""), Value::Other(""));
        assert_eq!(Value::of(KIND_TEXT, b"\xff"), Value::Other("unknown"));
    }
}
