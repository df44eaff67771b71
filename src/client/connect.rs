//! Connecting to a group's listener (DMN-212 to DMN-215). Any thread of an Apache child.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use wsgi_sys::stream;

use super::failure::Failure;
use super::group::GroupClient;
use super::pool::Link;
use super::turn::Turn;

/// Pause after a refused connect, until [`SHORT_PAUSES`] were spent so.
const SHORT_PAUSE: Duration = Duration::from_millis(125);
/// Pause afterwards.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// How long to pause shortly in all.
const SHORT_PAUSES: Duration = Duration::from_secs(2);
/// While a backlog is full the kernel waits, and goes on at once when there is room; this often we look whether the
/// group is failing.
const LOOK: Duration = Duration::from_secs(1);

/// Connects; `connects` counts every attempt. The stream has `timeout` for each operation. `turn` ends where there is something to
/// wait for.
///
/// # Errors
/// [`Failure::Failing`], [`Failure::Socket`], [`Failure::ConnectTimeout`] or [`Failure::Connect`].
pub(super) fn open(
    group: &GroupClient,
    timeout: Option<Duration>,
    connects: &mut u32,
    turn: &mut Turn<'_>,
) -> Result<Link, Failure> {
    let limit = group.limits.connect_timeout;
    let started = Instant::now();
    let mut paused = Duration::ZERO;
    loop {
        if group.board.is_failing() {
            return Err(Failure::Failing {
                group: group.name.clone(),
            });
        }
        let left = if turn.is_held() {
            Duration::ZERO
        } else {
            limit.saturating_sub(started.elapsed())
        };
        let socket = stream::socket().map_err(Failure::Socket)?;
        // Without connect-timeout nothing is waited for.
        stream::set_timeouts(socket.as_fd(), Some(left.min(LOOK))).map_err(Failure::Socket)?;
        let connected = stream::connect(socket.as_fd(), &group.socket);
        if connected.is_err() && turn.is_held() {
            // Tried again when others may go.
            turn.end();
            continue;
        }
        *connects = connects.saturating_add(1);
        let source = match connected {
            Ok(()) => {
                stream::set_timeouts(socket.as_fd(), timeout).map_err(Failure::Socket)?;
                return Ok(Link {
                    socket,
                    timeout,
                    place: None,
                });
            }
            Err(source) => source,
        };
        let refused = match source.kind() {
            ErrorKind::ConnectionRefused => true,
            ErrorKind::WouldBlock => false,
            _ => {
                let user = wsgi_sys::process::effective_uid();
                return Err(Failure::Connect {
                    path: group.socket.clone(),
                    user,
                    source,
                });
            }
        };
        if started.elapsed() >= limit {
            let (path, waited) = (group.socket.clone(), started.elapsed());
            return Err(Failure::ConnectTimeout {
                path,
                waited,
                source,
            });
        }
        if refused {
            let pause = if paused < SHORT_PAUSES {
                SHORT_PAUSE
            } else {
                LONG_PAUSE
            };
            sleep(pause);
            paused += pause;
        }
    }
}
