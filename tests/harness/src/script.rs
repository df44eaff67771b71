//! Scripts that tests write, and bodies.

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

/// `len` bytes in which a piece that is missing, doubled or out of its place shows.
pub fn pattern(len: usize) -> Vec<u8> {
    let piece: Vec<u8> = (0..251 * 64).map(|at| (at * 31 % 251) as u8).collect();
    let mut bytes = piece.repeat(len / piece.len() + 1);
    bytes.truncate(len);
    bytes
}

/// Python: `in_a_copy(question)` is `repr(question())`, asked in a process that this one forks and that has a minute to answer, or
/// `nothing`.
pub const IN_A_COPY: &str = "import os, select, signal

def in_a_copy(question):
    end, begin = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(begin, repr(question()).encode())
        finally:
            os._exit(0)
    os.close(begin)
    answer = os.read(end, 100).decode() if select.select([end], [], [], 60)[0] else 'nothing'
    os.close(end)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return answer

";
