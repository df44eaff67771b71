//! The checks before a request is given to an application, in their order: the first that fails ends the request
//! (REQ-021 to REQ-034).
//!
//! Pure; httpd's facts come in. On the thread of the request, in the content handler.

use super::Refused;
use super::refused::shown;

/// What httpd found where the URL points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing, or nothing that it may examine.
    Missing,
    /// A directory.
    Directory,
    /// A file.
    File,
}

/// What is known about the script of a request.
#[derive(Clone, Copy, Debug)]
pub struct ScriptFacts<'a> {
    /// Whether the handler is one of the module's own (`wsgi-script`, `application/x-httpd-wsgi`), not one of
    /// WSGIHandlerScript, which needs neither ExecCGI nor a file (REQ-035).
    pub is_builtin_handler: bool,
    /// Whether a script alias mapped the URL (DIR-009).
    pub forced_by_alias: bool,
    /// Whether `Options` has ExecCGI.
    pub may_execute: bool,
    /// What the file is.
    pub target: Target,
    /// Path of the file.
    pub filename: &'a [u8],
    /// What of the URL is behind the script.
    pub path_info: &'a [u8],
    /// False for `AcceptPathInfo Off`; unset accepts.
    pub accepts_path_info: bool,
}

/// What is known about the body of a request.
#[derive(Clone, Copy, Debug)]
pub struct BodyFacts<'a> {
    /// Transfer-Encoding, if there is one.
    pub transfer_encoding: Option<&'a [u8]>,
    /// Content-Length, if there is one. httpd drops it beside a Transfer-Encoding (REQ-034).
    pub content_length: Option<&'a [u8]>,
    /// LimitRequestBody, bytes; None for no limit.
    pub limit: Option<u64>,
    /// WSGIChunkedRequest.
    pub chunked_allowed: bool,
}

/// All checks in order (REQ-021 to REQ-033).
///
/// # Errors
/// [`Refused`] by the first that fails. With status 413 the body has to be discarded.
pub fn check(script: &ScriptFacts<'_>, body: &BodyFacts<'_>) -> Result<(), Refused> {
    check_script(script)?;
    check_body(body)
}

/// The checks of the script (REQ-021 to REQ-024).
///
/// # Errors
/// [`Refused`]: 403 or 404.
pub fn check_script(facts: &ScriptFacts<'_>) -> Result<(), Refused> {
    let refuse = |status, code, text: &str| {
        Err(Refused::with_code(
            status,
            code,
            text.replace("{file}", &shown(facts.filename)),
        ))
    };
    if facts.is_builtin_handler {
        if !facts.forced_by_alias && !facts.may_execute {
            return refuse(
                403,
                134,
                "script {file} may not be run: set 'Options +ExecCGI' for its directory, or map it with \
                 WSGIScriptAlias",
            );
        }
        match facts.target {
            Target::Missing => {
                return refuse(
                    404,
                    135,
                    "script {file} does not exist, or Apache's user may not look at it: check the path in \
                     WSGIScriptAlias and the permissions of every directory above it",
                );
            }
            Target::Directory => {
                return refuse(
                    403,
                    136,
                    "{file} is a directory, not a script: map the URL to a script file, or end both the alias \
                     and its target with a slash",
                );
            }
            Target::File => {}
        }
    }
    if !facts.accepts_path_info && !facts.path_info.is_empty() {
        let text = format!(
            "script {} was asked for with the additional path '{}', which 'AcceptPathInfo Off' forbids",
            shown(facts.filename),
            shown(facts.path_info),
        );
        return Err(Refused::with_code(404, 137, text));
    }
    Ok(())
}

/// The checks of the body (REQ-030 to REQ-033).
///
/// # Errors
/// [`Refused`]: 400, 411, 413 or 501.
pub fn check_body(facts: &BodyFacts<'_>) -> Result<(), Refused> {
    if let Some(encoding) = facts.transfer_encoding {
        if !encoding.eq_ignore_ascii_case(b"chunked") {
            let text = format!(
                "the request has Transfer-Encoding '{}', of which only 'chunked' is known",
                shown(encoding)
            );
            return Err(Refused::with_code(501, 138, text));
        }
        if !facts.chunked_allowed {
            let text = "the request has a chunked body: set 'WSGIChunkedRequest On' if the application can read \
                        one without CONTENT_LENGTH";
            return Err(Refused::with_code(411, 139, text.to_owned()));
        }
        return Ok(());
    }
    let Some(value) = facts.content_length else {
        return Ok(());
    };
    let Some(length) = decimal(value) else {
        let text = format!(
            "the request has Content-Length '{}', which is no length",
            shown(value)
        );
        return Err(Refused::with_code(400, 141, text));
    };
    match facts.limit {
        Some(limit) if limit != 0 && length > limit => Err(Refused {
            status: 413,
            code: None,
            text: format!(
                "the request has a body of {length} bytes, of which LimitRequestBody allows {limit}"
            ),
        }),
        _ => Ok(()),
    }
}

/// A file offset in plain decimal digits.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_i64, |length, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        length.checked_mul(10)?.checked_add(i64::from(digit))
    })?;
    u64::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: ScriptFacts<'_> = ScriptFacts {
        is_builtin_handler: true,
        forced_by_alias: true,
        may_execute: false,
        target: Target::File,
        filename: b"/srv/app.wsgi",
        path_info: b"",
        accepts_path_info: true,
    };

    const BODY: BodyFacts<'_> = BodyFacts {
        transfer_encoding: None,
        content_length: None,
        limit: None,
        chunked_allowed: false,
    };

    fn codes(result: Result<(), Refused>) -> (u16, u16) {
        match result {
            Ok(()) => (0, 0),
            Err(refused) => (refused.status, refused.code.unwrap_or(0)),
        }
    }

    /// REQ-021: ExecCGI is wanted only of scripts that no alias mapped.
    #[test]
    fn execution_has_to_be_allowed() {
        for (forced_by_alias, may_execute, expected) in [
            (false, false, (403, 134)),
            (false, true, (0, 0)),
            (true, false, (0, 0)),
        ] {
            let facts = ScriptFacts {
                forced_by_alias,
                may_execute,
                ..SCRIPT
            };
            assert_eq!(codes(check_script(&facts)), expected);
        }
    }

    /// REQ-022, REQ-023: the file has to be there and be none of directory.
    #[test]
    fn the_file_has_to_be_there() {
        for (target, expected) in [
            (Target::Missing, (404, 135)),
            (Target::Directory, (403, 136)),
            (Target::File, (0, 0)),
        ] {
            assert_eq!(
                codes(check_script(&ScriptFacts { target, ..SCRIPT })),
                expected
            );
        }
    }

    /// REQ-024: AcceptPathInfo Off.
    #[test]
    fn path_info_has_to_be_accepted() {
        for (path_info, accepts_path_info, expected) in [
            (&b"/x"[..], false, (404, 137)),
            (b"/x", true, (0, 0)),
            (b"", false, (0, 0)),
        ] {
            let facts = ScriptFacts {
                path_info,
                accepts_path_info,
                ..SCRIPT
            };
            assert_eq!(codes(check_script(&facts)), expected);
        }
    }

    /// REQ-035: handler scripts skip REQ-021 to REQ-023, not REQ-024.
    #[test]
    fn handler_scripts_need_no_file() {
        let handler = ScriptFacts {
            is_builtin_handler: false,
            forced_by_alias: false,
            target: Target::Missing,
            ..SCRIPT
        };
        assert_eq!(codes(check_script(&handler)), (0, 0));
        let path = ScriptFacts {
            path_info: b"/x",
            accepts_path_info: false,
            ..handler
        };
        assert_eq!(codes(check_script(&path)), (404, 137));
    }

    /// REQ-030 to REQ-034: bodies, row by row.
    #[test]
    fn bodies() {
        for (encoding, length, limit, chunked_allowed, expected) in [
            (None, None, None, false, (0, 0)),
            (Some("gzip"), None, None, true, (501, 138)),
            (Some("gzip, chunked"), None, None, true, (501, 138)),
            (Some(""), None, None, true, (501, 138)),
            (Some("chunked"), None, None, false, (411, 139)),
            (Some("Chunked"), None, None, true, (0, 0)),
            (Some("chunked"), Some("5"), Some(1), true, (0, 0)),
            (None, Some("5"), None, false, (0, 0)),
            (None, Some("0"), Some(1), false, (0, 0)),
            (None, Some("-5"), None, false, (400, 141)),
            (None, Some("+5"), None, false, (400, 141)),
            (None, Some("5x"), None, false, (400, 141)),
            (None, Some(""), None, false, (400, 141)),
            (
                None,
                Some("99999999999999999999"),
                Some(1),
                false,
                (400, 141),
            ),
            (None, Some("10"), Some(10), false, (0, 0)),
            (None, Some("11"), Some(10), false, (413, 0)),
            (None, Some("11"), Some(0), false, (0, 0)),
        ] {
            let facts = BodyFacts {
                transfer_encoding: encoding.map(str::as_bytes),
                content_length: length.map(str::as_bytes),
                limit,
                chunked_allowed,
            };
            assert_eq!(
                codes(check_body(&facts)),
                expected,
                "{encoding:?} {length:?} {limit:?}"
            );
        }
    }

    /// REQ-021 to REQ-033: the first that fails ends the request. Each step mends what the one before found.
    #[test]
    fn the_order_is_that_of_the_rows() {
        let mut script = ScriptFacts {
            forced_by_alias: false,
            target: Target::Missing,
            path_info: b"/x",
            accepts_path_info: false,
            ..SCRIPT
        };
        let mut body = BodyFacts {
            transfer_encoding: Some(b"gzip"),
            content_length: Some(b"x"),
            ..BODY
        };
        let mut seen = Vec::new();
        seen.push(codes(check(&script, &body)).1);
        script.may_execute = true;
        seen.push(codes(check(&script, &body)).1);
        script.target = Target::Directory;
        seen.push(codes(check(&script, &body)).1);
        script.target = Target::File;
        seen.push(codes(check(&script, &body)).1);
        script.path_info = b"";
        seen.push(codes(check(&script, &body)).1);
        body.transfer_encoding = Some(b"chunked");
        seen.push(codes(check(&script, &body)).1);
        body.transfer_encoding = None;
        seen.push(codes(check(&script, &body)).1);
        assert_eq!(seen, [134, 135, 136, 137, 138, 139, 141]);
    }

    /// ERR-01: code first, then the file and what to do about it.
    #[test]
    fn records_name_the_file() {
        let facts = ScriptFacts {
            target: Target::Missing,
            ..SCRIPT
        };
        let record = check_script(&facts).unwrap_err().to_string();
        assert!(
            record.starts_with("WSGI0135: script /srv/app.wsgi does not exist"),
            "{record}"
        );
        let facts = BodyFacts {
            content_length: Some(b"2"),
            limit: Some(1),
            ..BODY
        };
        let record = check_body(&facts).unwrap_err().to_string();
        assert!(
            record.starts_with("the request has a body of 2 bytes"),
            "{record}"
        );
    }

    /// A file name with `{file}` in it is shown as it is.
    #[test]
    fn odd_file_names_are_shown() {
        let facts = ScriptFacts {
            target: Target::Missing,
            filename: b"/{file}\xff",
            ..SCRIPT
        };
        let record = check_script(&facts).unwrap_err().to_string();
        assert!(record.contains("script /{file}\u{fffd} does"), "{record}");
    }
}
