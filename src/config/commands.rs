//! httpd's command table, made at compile time from the rows of `wsgi-core` (GEN-13): names with the NULs that C wants, contexts
//! as httpd's bits, and for each record the number of its row.

use std::ffi::{c_char, c_int};
use std::ptr;

use apache_sys::{TakeOne, command_rec};
use wsgi_core::config::{Arity, Context, DIRECTIVES};

use crate::apache::command::allowed;

/// Records: one for each directive, and the end mark.
pub const COUNT: usize = DIRECTIVES.len() + 1;

/// The rows' texts with a NUL behind each: name, help, name, help …
static TEXTS: [u8; texts_length()] = texts();

/// The table: `one` is the function of directives, `section` that of the section.
pub const fn records(one: TakeOne, section: TakeOne) -> [command_rec; COUNT] {
    let mut records = [apache_sys::END_OF_COMMANDS; COUNT];
    let mut row = 0;
    let mut start = 0;
    while row < DIRECTIVES.len() {
        let directive = &DIRECTIVES[row];
        let name: *const c_char = TEXTS.split_at(start).1.as_ptr().cast();
        start += directive.name.len() + 1;
        let help: *const c_char = TEXTS.split_at(start).1.as_ptr().cast();
        start += directive.help.len() + 1;
        // Not a pointer, a number: what httpd keeps for us with the record.
        let number = ptr::without_provenance_mut(row);
        let bits = bits_of(directive.context);
        records[row] = match (directive.arity, directive.section) {
            (Arity::One, false) => apache_sys::take_one(name, one, number, bits, help),
            (Arity::Raw, false) => apache_sys::raw_arguments(name, one, number, bits, help),
            (_, true) => apache_sys::raw_arguments(name, section, number, bits, help),
        };
        row += 1;
    }
    records
}

/// Where httpd itself lets a directive stand. What it cannot express (main server only) is checked when it is read.
const fn bits_of(context: Context) -> c_int {
    match context {
        Context::S | Context::SV => allowed::SERVER,
        Context::SVD => allowed::SERVER_AND_DIRECTORY,
        Context::SVDH => allowed::EVERYWHERE,
        Context::DH => allowed::DIRECTORY,
    }
}

const fn texts_length() -> usize {
    let mut length = 0;
    let mut row = 0;
    while row < DIRECTIVES.len() {
        length += DIRECTIVES[row].name.len() + DIRECTIVES[row].help.len() + 2;
        row += 1;
    }
    length
}

const fn texts() -> [u8; texts_length()] {
    let mut all = [0; texts_length()];
    let mut end = 0;
    let mut row = 0;
    while row < DIRECTIVES.len() {
        let texts = [
            DIRECTIVES[row].name.as_bytes(),
            DIRECTIVES[row].help.as_bytes(),
        ];
        let mut which = 0;
        while which < texts.len() {
            let mut index = 0;
            while index < texts[which].len() {
                all[end] = texts[which][index];
                end += 1;
                index += 1;
            }
            // The NUL is there already.
            end += 1;
            which += 1;
        }
        row += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GEN-13: each directive has its name and its help in httpd's table, in the order of the rows, each ended by a NUL.
    #[test]
    fn texts_follow_the_rows() {
        let mut texts = TEXTS.split(|&byte| byte == 0);
        for directive in DIRECTIVES {
            assert_eq!(texts.next(), Some(directive.name.as_bytes()));
            assert_eq!(
                texts.next(),
                Some(directive.help.as_bytes()),
                "{}",
                directive.name
            );
        }
        // What is behind the last NUL.
        assert_eq!(texts.next(), Some(&b""[..]));
        assert_eq!(texts.next(), None);
    }

    /// CTX-01 to CTX-07: contexts as httpd's bits.
    #[test]
    fn contexts_become_bits() {
        let server = apache_sys::RSRC_CONF;
        assert_eq!(bits_of(Context::S), server);
        assert_eq!(bits_of(Context::SV), server);
        assert_eq!(bits_of(Context::SVD), server | apache_sys::ACCESS_CONF);
        assert_eq!(bits_of(Context::SVDH), apache_sys::OR_FILEINFO);
        assert_eq!(bits_of(Context::DH), apache_sys::OR_AUTHCFG);
    }
}
