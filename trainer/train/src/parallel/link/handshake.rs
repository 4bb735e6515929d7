//! How the first rank and the others meet: it listens where MASTER_PORT says, where anybody may come;
//! they say who they are.

use std::io::{self, BufReader, Read};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::super::World;
use super::{Message, hear, keep_asking};
use trainer_run::progress;

/// By when whoever comes has said who they are, to the last byte; and by when a machine that is reached
/// for has answered.
const HELLO: Duration = Duration::from_secs(10);
/// Between two looks at whether somebody has come.
const PAUSE: Duration = Duration::from_millis(50);
/// After how long it is said who is waited for.
const QUIET: Duration = Duration::from_secs(2);
/// How many may be listened to at once beside the ranks: whoever else finds an open port.
const STRANGERS: usize = 64;

/// The connections of all other ranks, each with the rank and its device.
pub(super) fn gather(
    listener: &TcpListener,
    world: &World,
    patience: Duration,
) -> Result<Vec<(usize, String, TcpStream)>> {
    listener.set_nonblocking(true)?;
    let (started, mut said) = (Instant::now(), false);
    let mut found: Vec<(usize, String, TcpStream)> = Vec::new();
    let (heard, all_heard) = mpsc::channel();
    let mut num_guests = 0;
    while found.len() + 1 < world.size {
        let missing = || {
            let is_there = |rank: &usize| found.iter().any(|(there, ..)| there == rank);
            let missing = (1..world.size).filter(|rank| !is_there(rank)).map(|n| n.to_string());
            missing.collect::<Vec<_>>().join(", ")
        };
        let waited = started.elapsed();
        ensure!(
            waited < patience,
            "expected {} ranks, found none of the numbers {} in {} minutes",
            world.size,
            missing(),
            patience.as_secs() / 60
        );
        if waited > QUIET && !said {
            progress::say(format!("rank 0 waits for the ranks {}", missing()));
            said = true;
        }
        if num_guests < world.size + STRANGERS
            && let Ok((stream, _)) = listener.accept()
        {
            num_guests += 1;
            let heard = heard.clone();
            // Each by itself: one that says nothing keeps no other waiting.
            thread::spawn(move || {
                let message = hello(&stream);
                let _ = heard.send((stream, message));
            });
            continue;
        }
        let Ok((stream, message)) = all_heard.recv_timeout(PAUSE) else { continue };
        num_guests -= 1;
        // Whoever else finds an open port is no rank, and no reason to end.
        if let Some(message) = message {
            let (rank, device) = checked(message, world)?;
            ensure!(
                found.iter().all(|(there, ..)| *there != rank),
                "expected each rank once, found rank {rank} twice"
            );
            found.push((rank, device, stream));
        }
    }
    Ok(found)
}

/// What is said first on a connection, if it is what a rank says.
fn hello(stream: &TcpStream) -> Option<Message> {
    stream.set_nonblocking(false).and_then(|()| keep_asking(stream)).ok()?;
    let message = hear_within(stream, HELLO).ok()??;
    matches!(message, Message::Hello { .. }).then_some(message)
}

/// The rank that said hello, and its device.
fn checked(message: Message, world: &World) -> Result<(usize, String)> {
    let Message::Hello { version, size, rank, device } = message else {
        bail!("expected a rank's greeting, found {message:?}")
    };
    let own = env!("CARGO_PKG_VERSION");
    ensure!(version == own, "expected Rewind {own} on rank {rank}, found {version}");
    ensure!(
        size == world.size && (1..size).contains(&rank),
        "expected a rank below {}, found rank {rank} of {size}",
        world.size
    );
    Ok((rank, device))
}

/// A connection to the first rank, which may start later than this one.
pub(super) fn reach((host, port): (&str, u16), patience: Duration) -> Result<TcpStream> {
    let (started, mut said) = (Instant::now(), false);
    loop {
        match connected((host, port)) {
            Ok(stream) => return Ok(stream),
            Err(error) if started.elapsed() > patience => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot reach rank 0 at {host}:{port}, as MASTER_ADDR and MASTER_PORT say"
                    )
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
        if started.elapsed() > QUIET && !said {
            progress::say(format!("waiting for rank 0 at {host}:{port}"));
            said = true;
        }
    }
}

/// By any of the host's addresses.
fn connected(host: (&str, u16)) -> Result<TcpStream> {
    let mut last = None;
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, HELLO) {
            Ok(stream) => {
                keep_asking(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("expected an address of that name, found none")?.into())
}

/// The next message, whole by then; none at the end. Of the stream nothing is read beyond it.
///
/// # Errors
/// When it is none, or does not come.
pub(super) fn hear_within(stream: &TcpStream, patience: Duration) -> Result<Option<Message>> {
    let until = Instant::now() + patience;
    let message = hear(&mut BufReader::with_capacity(1, InTime { stream, until }));
    stream.set_read_timeout(None)?;
    message
}

/// A stream that has to give what is asked of it by some time: a limit on each read alone would let
/// whoever sends a byte now and then go on for ever.
struct InTime<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Read for InTime<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Link;
    use super::*;
    use std::io::Write;

    /// Two strangers who say nothing come before the only other rank, and stay.
    #[test]
    fn who_says_nothing_keeps_no_rank_waiting() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let connect = move |rank| {
            let master = ("127.0.0.1".to_string(), port);
            let world = World { rank, size: 2, local_rank: rank, master };
            Link::connect(&world, "cpu", 3 * HELLO, || Ok([7; 128])).unwrap()
        };
        let started = Instant::now();
        let first = thread::spawn(move || connect(0));
        let strangers = [(); 2].map(|()| reach(("127.0.0.1", port), HELLO).unwrap());
        let (_other, id) = connect(1);
        let (_first, _) = first.join().unwrap();
        assert!(id == [7; 128] && started.elapsed() < HELLO / 2, "{:?}", started.elapsed());
        drop(strangers);
    }

    #[test]
    fn a_greeting_in_drops_has_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            // Until the other side has had enough.
            scope.spawn(move || {
                while other.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(10));
                }
            });
            let started = Instant::now();
            assert!(hear_within(&stream, Duration::from_millis(100)).is_err());
            assert!(started.elapsed() < Duration::from_secs(5));
            drop(stream);
        });
    }
}
