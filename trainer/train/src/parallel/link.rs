//! How processes find each other, and learn of each other's end: every rank but the first holds one
//! connection to it. It brings NCCL's id, by which they then add up without it, and stays open: a
//! process that dies closes it, in whatever way it dies.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};

use super::{RankFailed, World};

mod handshake;

use handshake::{gather, hear_within, reach};

/// The longest line: what a rank says when it fails names its cases.
const MOST_BYTES: u64 = 1 << 16;
/// How long a machine may not answer before it counts as gone.
const GONE: Duration = Duration::from_secs(30);
/// How often it is asked in the second half of that time.
const ASKED: u32 = 3;

/// NCCL's unique id.
pub(super) type Id = [u8; 128];

/// One line each, as JSON.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// To the first rank: who is there.
    Hello { version: String, size: usize, rank: usize, device: String },
    /// To the others, once all are there: NCCL's id.
    Start(Vec<u8>),
    /// Of a rank that fails.
    Failed { rank: usize, device: String, message: String },
    /// Of one that ends well.
    Bye,
}

/// A rank's connections: the first's to all others, the others' to the first.
pub(super) struct Link {
    shared: Arc<Shared>,
    rank: usize,
    device: String,
}

struct Shared {
    /// By what is on their other side.
    peers: Vec<(usize, Mutex<TcpStream>)>,
    failure: Mutex<Option<RankFailed>>,
}

impl Link {
    /// Waits for all ranks, for as long as `patience`, and brings all of them the id that the first
    /// makes; `device` is what this one computes on.
    ///
    /// # Errors
    /// When ranks do not come, or do not fit together: other versions, a rank that is there twice.
    pub fn connect(
        world: &World,
        device: &str,
        patience: Duration,
        id: impl FnOnce() -> Result<Id>,
    ) -> Result<(Link, Id)> {
        let (host, port) = &world.master;
        let (streams, id) = match world.rank {
            0 => {
                // The first of these also hears those of the second, where there is IPv6.
                let any: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
                let any = any.map(|address| SocketAddr::new(address, *port));
                let listener = TcpListener::bind(&any[..]).with_context(|| {
                    format!("cannot listen on port {port}, which MASTER_PORT names")
                })?;
                let streams = gather(&listener, world, patience)?;
                let id = id()?;
                for (_, _, stream) in &streams {
                    say(stream, &Message::Start(id.to_vec()))?;
                }
                (streams, id)
            }
            _ => {
                let stream = reach((host, *port), patience)?;
                let (version, device) = (env!("CARGO_PKG_VERSION").into(), device.to_string());
                let (size, rank) = (world.size, world.rank);
                say(&stream, &Message::Hello { version, size, rank, device })?;
                let id = match hear_within(&stream, patience) {
                    Ok(Some(Message::Start(id))) => id.try_into().ok(),
                    _ => None,
                };
                let Some(id) = id else {
                    bail!("expected rank 0 at {host} to start the ranks, but it ended; see there")
                };
                (vec![(0, format!("at {host}"), stream)], id)
            }
        };
        Ok((Link::of(world.rank, device, streams)?, id))
    }

    fn of(rank: usize, device: &str, streams: Vec<(usize, String, TcpStream)>) -> Result<Link> {
        let mut peers = Vec::new();
        let mut listened = Vec::new();
        for (peer, device, stream) in streams {
            listened.push((peer, device, stream.try_clone()?));
            peers.push((peer, Mutex::new(stream)));
        }
        let shared = Arc::new(Shared { peers, failure: Mutex::new(None) });
        for (peer, device, stream) in listened {
            let shared = shared.clone();
            // It ends when the other side does.
            thread::spawn(move || shared.listen(peer, device, &stream));
        }
        Ok(Link { shared, rank, device: device.to_string() })
    }

    /// Who failed first, as far as it is known here.
    pub fn failure(&self) -> Option<RankFailed> {
        self.shared.failure().clone()
    }

    /// Tells all that this rank fails.
    pub fn fail(&self, message: String) {
        let (rank, device) = (self.rank, self.device.clone());
        self.shared.fail(RankFailed { rank, device, message }, self.rank);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for (_, stream) in &self.shared.peers {
            if let Ok(stream) = stream.lock() {
                // One that is not there any more need not be told.
                let _ = say(&stream, &Message::Bye);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
        }
    }
}

impl Shared {
    fn failure(&self) -> std::sync::MutexGuard<'_, Option<RankFailed>> {
        self.failure.lock().expect("no thread panics while it holds this")
    }

    /// Keeps a failure, if it is the first, and passes it on to all but where it comes from.
    fn fail(&self, failure: RankFailed, from: usize) {
        let mut first = self.failure();
        if first.is_some() {
            return;
        }
        *first = Some(failure.clone());
        drop(first);
        let RankFailed { rank, device, mut message } = failure;
        // A line has an end.
        message.truncate(message.floor_char_boundary(MOST_BYTES as usize / 8));
        let message = Message::Failed { rank, device, message };
        for (_, stream) in self.peers.iter().filter(|(peer, _)| *peer != from) {
            if let Ok(stream) = stream.lock() {
                // One that is not there any more need not be told.
                let _ = say(&stream, &message);
            }
        }
    }

    /// Listens to one rank until it ends, well or not.
    fn listen(&self, peer: usize, device: String, stream: &TcpStream) {
        let message = match hear(&mut BufReader::new(stream)) {
            Ok(Some(Message::Bye)) => return,
            Ok(Some(Message::Failed { rank, device, message })) => {
                return self.fail(RankFailed { rank, device, message }, peer);
            }
            Ok(Some(other)) => format!("expected news of a rank's end, found {other:?}"),
            Ok(None) => {
                "its process ended without a word: it was killed, or its machine is gone".into()
            }
            Err(error) if is_silence(&error) => {
                format!("its machine, or the network to it, has not answered for {GONE:?}")
            }
            Err(error) => format!("its connection was lost: {error:#}"),
        };
        self.fail(RankFailed { rank: peer, device, message }, peer);
    }
}

/// Lets the system ask, of a connection on which nothing comes, whether the other side is still there:
/// a machine that lost its power, or the network to it, closes none.
fn keep_asking(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let rest = GONE / 2 / ASKED;
    let keepalive = TcpKeepalive::new().with_time(GONE / 2).with_interval(rest);
    socket.set_tcp_keepalive(&keepalive.with_retries(ASKED))?;
    // Nothing is asked while something that was sent is not confirmed; that has a limit of its own.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(GONE))?;
    Ok(())
}

fn is_silence(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn say(mut stream: &TcpStream, message: &Message) -> Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    Ok(stream.write_all(line.as_bytes())?)
}

/// The next message; none at the end.
fn hear(from: &mut impl BufRead) -> Result<Option<Message>> {
    let mut line = Vec::new();
    from.take(MOST_BYTES).read_until(b'\n', &mut line)?;
    match line.is_empty() {
        true => Ok(None),
        false => Ok(Some(serde_json::from_slice(&line).context("expected a message of a rank")?)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Links of three ranks over this machine's own network.
    pub(in crate::parallel) fn links() -> Vec<Link> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let connect = move |rank: usize| {
            let master = ("127.0.0.1".to_string(), port);
            let world = World { rank, size: 3, local_rank: rank, master };
            let id = || Ok(std::array::from_fn(|n| n as u8));
            Link::connect(&world, &format!("gpu {rank}"), PATIENCE, id).unwrap()
        };
        let ranks = [2, 1, 0].map(|rank| thread::spawn(move || connect(rank)));
        // Somebody who is no rank comes too.
        for _ in 0..200 {
            if let Ok(mut stranger) = TcpStream::connect(("127.0.0.1", port)) {
                stranger.write_all(b"GET / HTTP/1.1\n").unwrap();
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut links: Vec<Link> = ranks
            .into_iter()
            .map(|rank| {
                let (link, id) = rank.join().unwrap();
                assert_eq!(id[..3], [0, 1, 2]);
                link
            })
            .collect();
        links.reverse();
        links
    }

    fn failure(link: &Link) -> String {
        let started = Instant::now();
        loop {
            if let Some(failure) = link.failure() {
                return failure.to_string();
            }
            assert!(started.elapsed() < PATIENCE, "expected a failure");
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_rank_that_fails_tells_all_others_why() {
        let links = links();
        links[2].fail("no memory left".into());
        let found: Vec<String> = links.iter().map(failure).collect();
        assert_eq!(found, vec!["rank 2 (gpu 2): no memory left"; 3]);
    }

    #[test]
    fn a_rank_that_is_killed_is_named_on_all_others() {
        let links = links();
        // What the system does with a killed process's connections.
        let (_, stream) = &links[1].shared.peers[0];
        stream.lock().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
        for link in [&links[0], &links[2]] {
            let found = failure(link);
            assert!(found.starts_with("rank 1 (gpu 1): its process ended"), "{found}");
        }
    }

    /// A machine that vanishes cannot be had in a test: what the system was told, can.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_asks_whether_the_other_machines_are_still_there() {
        for link in links() {
            for (_, stream) in &link.shared.peers {
                let stream = stream.lock().unwrap();
                let socket = SockRef::from(&*stream);
                let rest = socket.tcp_keepalive_interval().unwrap();
                let asked = socket.tcp_keepalive_time().unwrap()
                    + rest * socket.tcp_keepalive_retries().unwrap();
                assert!(socket.keepalive().unwrap() && asked == GONE, "{asked:?}");
                assert_eq!(socket.tcp_user_timeout().unwrap(), Some(GONE));
            }
        }
    }

    #[test]
    fn ranks_that_end_well_alarm_nobody() {
        let mut links = links();
        drop(links.remove(1));
        thread::sleep(Duration::from_millis(50));
        assert!(links.iter().all(|link| link.failure().is_none()));
    }

    #[test]
    fn a_rank_that_never_comes_is_named() {
        let world = World { rank: 0, size: 2, local_rank: 0, master: ("localhost".into(), 0) };
        let error = Link::connect(&world, "gpu", Duration::from_millis(10), || Ok([0; 128]));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("expected 2 ranks, found none of the numbers 1"), "{error}");
    }
}
