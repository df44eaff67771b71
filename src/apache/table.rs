//! APR tables: headers, environment variables, notes. Names are matched without regard to case; values are bytes.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr::NonNull;

use apache_sys::{apr_array_header_t, apr_table_entry_t, apr_table_t};

use super::{Pool, text};

/// A table that lives for `'t`. Entries keep their order of insertion.
#[derive(Clone, Copy, Debug)]
pub struct Table<'t> {
    raw: NonNull<apr_table_t>,
    lives: PhantomData<&'t apr_table_t>,
}

impl<'t> Table<'t> {
    /// Wraps a table of httpd.
    ///
    /// # Safety
    /// `raw` is a live table for `'t`, with texts that live as long, used by this thread only.
    pub(super) unsafe fn from_raw(raw: *mut apr_table_t) -> Table<'t> {
        Table {
            raw: NonNull::new(raw).expect("httpd makes these tables"),
            lives: PhantomData,
        }
    }

    /// Value of the first entry with this name; None also for an entry without value.
    pub fn get(&self, name: &CStr) -> Option<&'t [u8]> {
        // SAFETY: a live table and a C string.
        let value = unsafe { apache_sys::apr_table_get(self.raw.as_ptr(), name.as_ptr()) };
        // SAFETY: texts of the table live for 't: pools do not free single pieces.
        unsafe { text::bytes(value) }
    }

    /// [`Table::get`] for a name that is not a literal.
    pub fn get_named(&self, name: &[u8]) -> Option<&'t [u8]> {
        self.get(&text::c_string(name))
    }

    /// Whether there is an entry of this name (with a value).
    pub fn has(&self, name: &CStr) -> bool {
        self.get(name).is_some()
    }

    /// Replaces all entries of this name by one; both texts are copied.
    pub fn set(&self, name: &CStr, value: &[u8]) {
        let value = self.pool().copy_text(value);
        let name = self.pool().copy_text(name.to_bytes());
        // SAFETY: a live table; both texts live in its own pool.
        unsafe { apache_sys::apr_table_setn(self.raw.as_ptr(), name.as_ptr(), value.as_ptr()) };
    }

    /// Adds an entry, keeping others of the same name; both texts are copied.
    pub fn add(&self, name: &[u8], value: &[u8]) {
        let value = self.pool().copy_text(value);
        let name = self.pool().copy_text(name);
        // SAFETY: a live table; both texts live in its own pool.
        unsafe { apache_sys::apr_table_addn(self.raw.as_ptr(), name.as_ptr(), value.as_ptr()) };
    }

    /// Appends the value to that of the first entry of this name, behind a comma, or adds an entry; both texts are copied.
    pub fn merge(&self, name: &[u8], value: &[u8]) {
        let value = self.pool().copy_text(value);
        let name = self.pool().copy_text(name);
        // SAFETY: a live table; both texts live in its own pool.
        unsafe { apache_sys::apr_table_mergen(self.raw.as_ptr(), name.as_ptr(), value.as_ptr()) };
    }

    /// Removes all entries of this name.
    pub fn unset(&self, name: &CStr) {
        // SAFETY: a live table and a C string.
        unsafe { apache_sys::apr_table_unset(self.raw.as_ptr(), name.as_ptr()) };
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names and values, in order. A value is None for a variable without value (ENV-24). The table must not change meanwhile;
    /// an iterator that saw a change ends early or repeats, but stays valid.
    pub fn iter(&self) -> Entries<'t> {
        Entries {
            table: *self,
            next: 0,
        }
    }

    fn array(&self) -> &apr_array_header_t {
        // SAFETY: a live table.
        let array = unsafe { apache_sys::apr_table_elts(self.raw.as_ptr()) };
        // SAFETY: the array header is the table's first part and lives as long; the borrow ends before the table can change.
        unsafe { array.as_ref() }.expect("a table has an array")
    }

    fn entries(&self) -> &[apr_table_entry_t] {
        let array = self.array();
        if array.elts.is_null() {
            return &[];
        }
        let length = usize::try_from(array.nelts).unwrap_or(0);
        // SAFETY: APR keeps `nelts` initialised entries at `elts`; the borrow ends before the table can change.
        unsafe { std::slice::from_raw_parts(array.elts.cast::<apr_table_entry_t>(), length) }
    }

    fn pool(&self) -> Pool<'t> {
        let pool = self.array().pool;
        // SAFETY: the pool that a table was made in lives as long as the table.
        unsafe { Pool::from_raw(pool) }
    }
}

/// Iterator of [`Table::iter`].
#[derive(Clone, Debug)]
pub struct Entries<'t> {
    table: Table<'t>,
    next: usize,
}

impl<'t> Iterator for Entries<'t> {
    type Item = (&'t [u8], Option<&'t [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = *self.table.entries().get(self.next)?;
            self.next += 1;
            // SAFETY: names of the table live for 't.
            let name = unsafe { text::bytes(entry.key) };
            // SAFETY: values as well.
            let value = unsafe { text::bytes(entry.val) };
            if let Some(name) = name {
                return Some((name, value));
            }
        }
    }
}
