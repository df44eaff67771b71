//! Scripts that tests write.

/// A script that imports `modules` (as after `import`) and whose application has these lines as its body.
pub fn script(modules: &str, body: &str) -> String {
    let mut text = format!("import {modules}\n\ndef application(environ, start_response):\n");
    for line in body.lines() {
        text += &format!("    {line}\n");
    }
    text
}

/// As [`script`], with `sys` imported.
pub fn app(body: &str) -> String {
    script("sys", body)
}
