//! `mod_wsgi.server_metrics()`: Apache's scoreboard as a dict (MET-60 to MET-64).

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use wsgi_core::scoreboard::{ProcessRow, Scoreboard, WorkerRow};

use super::process;

/// Apache's processes and threads, and what they do. None unless WSGIServerMetrics (in a daemon, `server-metrics`) is On.
#[pyfunction]
pub(super) fn server_metrics(py: Python<'_>) -> PyResult<Option<Bound<'_, PyDict>>> {
    // A process that the application forked has no share in the conversation with the supervisor. Asked before the GIL is
    // given up, because locks may be held there by threads that it does not have.
    if !process::is_the_original() {
        return Ok(None);
    }
    let scoreboard = py.detach(process::server_metrics);
    scoreboard
        .map(|scoreboard| server(py, &scoreboard))
        .transpose()
}

fn server<'py>(py: Python<'py>, scoreboard: &Scoreboard) -> PyResult<Bound<'py, PyDict>> {
    let summary = &scoreboard.summary;
    let running = summary.current_time.saturating_sub(summary.restart_time);
    let processes = PyList::empty(py);
    for (number, (row, workers)) in scoreboard.processes().enumerate() {
        processes.append(process_row(py, number, row, workers)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("server_limit", summary.server_limit)?;
    dict.set_item("thread_limit", summary.thread_limit)?;
    dict.set_item("running_generation", summary.running_generation)?;
    dict.set_item("restart_time", seconds(summary.restart_time))?;
    dict.set_item("current_time", seconds(summary.current_time))?;
    dict.set_item("running_time", running / 1_000_000)?;
    dict.set_item("processes", processes)?;
    Ok(dict)
}

fn process_row<'py, 'w>(
    py: Python<'py>,
    number: usize,
    row: &ProcessRow,
    workers: impl Iterator<Item = &'w WorkerRow>,
) -> PyResult<Bound<'py, PyDict>> {
    let list = PyList::empty(py);
    for worker in workers {
        list.append(worker_row(py, worker)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("process_num", number)?;
    dict.set_item("pid", row.pid)?;
    dict.set_item("generation", row.generation)?;
    dict.set_item("quiescing", row.quiescing)?;
    dict.set_item("workers", list)?;
    Ok(dict)
}

fn worker_row<'py>(py: Python<'py>, row: &WorkerRow) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("thread_num", row.thread_num)?;
    dict.set_item("generation", row.generation)?;
    dict.set_item("status", row.status())?;
    dict.set_item("access_count", row.access_count)?;
    dict.set_item("bytes_served", row.bytes_served)?;
    dict.set_item("start_time", seconds(row.start_time))?;
    dict.set_item("stop_time", seconds(row.stop_time))?;
    dict.set_item("last_used", seconds(row.last_used))?;
    dict.set_item("client", latin1(py, &row.client))?;
    dict.set_item("request", latin1(py, &row.request))?;
    dict.set_item("vhost", latin1(py, &row.vhost))?;
    Ok(dict)
}

/// Text of one character for each byte.
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    let text: String = bytes.iter().copied().map(char::from).collect();
    PyString::new(py, &text)
}

/// Seconds since the epoch, of microseconds.
#[allow(clippy::cast_precision_loss)] // a float has the precision for times of our age
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1_000_000.0
}
