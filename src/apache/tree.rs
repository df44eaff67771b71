//! httpd's configuration as a tree of directives, those of other modules included.
//!
//! httpd has resolved `Include`, `<IfModule>`, `<IfDefine>` and macros when it made the tree. Each pass over the configuration makes
//! a new one in the pool of that configuration; so directives are borrowed from a server of it. In the httpd parent, in hooks that
//! get the configuration: text of macros is gone once these have returned.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr;

use apache_sys::{ap_directive_t, apr_pool_t};

use super::{Server, text};

/// A directive or section of a configuration that lives for `'s`.
#[derive(Clone, Copy)]
pub struct Directive<'s> {
    record: &'s ap_directive_t,
    lives: PhantomData<Server<'s>>,
}

impl<'s> Directive<'s> {
    /// The directives at the top of the configuration that the server belongs to, in the order in which they are written.
    pub fn all(_main: &Server<'s>) -> impl Iterator<Item = Directive<'s>> + use<'s> {
        // SAFETY: reading a pointer that httpd sets, before it calls hooks, to null or the tree of the configuration.
        let first = unsafe { apache_sys::ap_conftree };
        list(first)
    }

    /// Name as its module writes it, without `<`.
    pub fn name(&self) -> &'s [u8] {
        let name = self.full_name();
        name.strip_prefix(b"<").unwrap_or(name)
    }

    /// Whether it is a section.
    pub fn is_section(&self) -> bool {
        self.full_name().starts_with(b"<")
    }

    fn full_name(&self) -> &'s [u8] {
        // SAFETY: text of the tree lives as long as the tree.
        unsafe { text::bytes(self.record.directive) }.unwrap_or_default()
    }

    /// The directives of a section; none for what is no section.
    pub fn inner(&self) -> impl Iterator<Item = Directive<'s>> + use<'s> {
        list(self.record.first_child)
    }

    /// File and line; the file may be the description of a macro.
    pub fn place(&self) -> (&'s [u8], u32) {
        // SAFETY: text of the tree lives as long as the tree.
        let file = unsafe { text::bytes(self.record.filename) };
        let line = u32::try_from(self.record.line_num).unwrap_or(0);
        (file.unwrap_or_default(), line)
    }

    /// Whether its arguments have this text in them, as they are written.
    pub fn mentions(&self, part: &[u8]) -> bool {
        // SAFETY: text of the tree lives as long as the tree.
        let arguments = unsafe { text::bytes(self.record.args) }.unwrap_or_default();
        arguments.windows(part.len()).any(|found| found == part)
    }

    /// The arguments as httpd gives them to modules: without quotes, `${VARIABLE}` replaced; of a section without its `>`.
    pub fn words(&self) -> Vec<Vec<u8>> {
        // SAFETY: text of the tree lives as long as the tree.
        let mut arguments = unsafe { text::bytes(self.record.args) }.unwrap_or_default();
        if self.is_section() {
            let end = arguments.iter().rposition(|&byte| byte == b'>');
            arguments = &arguments[..end.unwrap_or(arguments.len())];
        }
        words(arguments)
    }
}

/// A directive and those behind it.
fn list<'s>(first: *mut ap_directive_t) -> impl Iterator<Item = Directive<'s>> + use<'s> {
    // SAFETY: null or a record of the tree, which lives for 's and does not change any more.
    let borrowed = |raw: *mut ap_directive_t| unsafe { raw.as_ref::<'s>() };
    let records = std::iter::successors(borrowed(first), move |record| borrowed(record.next));
    records.map(|record| Directive {
        record,
        lives: PhantomData,
    })
}

/// A pool for what is not needed after the call.
struct Scratch(*mut apr_pool_t);

impl Scratch {
    fn new() -> Option<Scratch> {
        let mut pool = ptr::null_mut();
        // SAFETY: a place for the pool; no parent, abort function or allocator is asked for.
        let status = unsafe {
            apache_sys::apr_pool_create_ex(&mut pool, ptr::null_mut(), None, ptr::null_mut())
        };
        (status == 0 && !pool.is_null()).then_some(Scratch(pool))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and nothing in it is borrowed: words are copies.
        unsafe { apache_sys::apr_pool_destroy(self.0) };
    }
}

fn words(arguments: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let Some(pool) = Scratch::new() else {
        return found;
    };
    let line = text::c_string(arguments);
    let mut rest: *const c_char = line.as_ptr();
    loop {
        // SAFETY: `rest` points into `line`, which ends with a NUL.
        let is_left = unsafe { CStr::from_ptr(rest) };
        if is_left.is_empty() {
            return found;
        }
        // SAFETY: a live pool, and a C string that the function moves within.
        let word = unsafe { apache_sys::ap_getword_conf(pool.0, &mut rest) };
        // SAFETY: a C string in the pool, copied at once.
        found.push(unsafe { text::bytes(word) }.unwrap_or_default().to_vec());
    }
}
