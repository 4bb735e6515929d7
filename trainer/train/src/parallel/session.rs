//! How ranks that are processes meet, and how each learns of the failure of another: by files in a
//! folder that all of them see.
//!
//! Rank N writes only `rank-N.json`. The ranks meet in three steps:
//! 1. Rank 0 writes its file with a random token.
//! 2. Each other rank writes its file with a token of its own and the token of rank 0.
//! 3. Rank 0 adds the tokens of all ranks and NCCL's id to its file, and all ranks start.
//!
//! A file of an earlier start has other tokens, so no rank takes it for one of this start.
//!
//! After that a thread of each rank counts up the heartbeat in its file. Rank 0 watches all other
//! ranks, and they watch rank 0. A failure, or a heartbeat that stops, reaches all of them this way.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use trainer_run::files::lock::FolderLock;
use trainer_run::progress;

use super::failure::FirstFailure;
use super::{RankFailed, World};

/// Name of the folder in a run's folder.
pub const RANKS: &str = "ranks";

/// NCCL's unique id, of 128 bytes.
pub(super) type Id = Vec<u8>;

/// Time limits of a session.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    /// Time in which all ranks have to start.
    pub start_timeout: Duration,
    /// Time between two heartbeats, and between two looks at those of others.
    pub heartbeat_interval: Duration,
}

impl Timing {
    /// A cluster starts its processes one after the other. A rank is noticed as dead after 30 s.
    pub const CLUSTER: Timing = Timing {
        start_timeout: Duration::from_secs(600),
        heartbeat_interval: Duration::from_secs(2),
    };
}

/// Looks in a row that find no heartbeat until a rank counts as dead. Looks are counted, not seconds,
/// so that a file system that does not answer for a while ends no run.
const MAX_MISSED_HEARTBEATS: u32 = 15;
const START_INTERVAL: Duration = Duration::from_millis(50);
/// Time after which a rank that waits for others logs it.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// Content of a rank's file.
#[derive(Clone, Default, Serialize, Deserialize)]
struct RankFile {
    /// Random for each process.
    token: String,
    /// The token of rank 0 that this rank answers.
    leader_token: String,
    num_ranks: usize,
    device: String,
    heartbeat: u64,
    start: Option<Start>,
    failure: Option<RankFailed>,
    has_ended: bool,
}

/// Written by rank 0 when all ranks are there.
#[derive(Clone, Serialize, Deserialize)]
struct Start {
    tokens: Vec<String>,
    nccl_id: Id,
}

/// The membership of this process in a group of ranks. Dropping it states that the rank has ended.
pub(super) struct Session {
    files: Arc<RankFiles>,
    /// The heartbeat's thread ends when it is dropped.
    heartbeat: Option<Sender<()>>,
    /// Of rank 0: no second start uses the folder at the same time.
    _lock: Option<FolderLock>,
}

struct RankFiles {
    folder: PathBuf,
    rank: usize,
    own: Mutex<RankFile>,
    failure: Arc<FirstFailure>,
}

/// A rank that is watched.
struct Peer {
    rank: usize,
    file: RankFile,
    num_missed: u32,
}

impl Session {
    /// Waits until all ranks are there, and returns the id that rank 0 makes with `new_id`.
    ///
    /// # Errors
    /// If ranks are missing after the timeout or have failed, if WORLD_SIZE differs, if a rank is
    /// there twice, or if another start uses the folder.
    pub fn connect(
        folder: &Path,
        world: &World,
        device: &str,
        timing: Timing,
        new_id: impl FnOnce() -> Result<Id>,
    ) -> Result<(Session, Id)> {
        let is_leader = world.rank == 0;
        let lock = is_leader.then(|| FolderLock::alone(folder)).transpose()?;
        if is_leader {
            remove_rank_files(folder)?;
        }
        let token = format!("{:016x}", RandomState::new().hash_one(world.rank));
        let (num_ranks, device) = (world.size, device.to_string());
        let own = RankFile { token, num_ranks, device, ..RankFile::default() };
        let files = Arc::new(RankFiles {
            folder: folder.into(),
            rank: world.rank,
            own: Mutex::new(own),
            failure: Arc::default(),
        });
        let mut session = Session { files, heartbeat: None, _lock: lock };
        let files = session.files.clone();
        let (peers, id) = session.run(|| match is_leader {
            true => files.lead(timing.start_timeout, new_id),
            false => files.follow(timing.start_timeout),
        })?;
        let (heartbeat, is_over) = channel();
        session.heartbeat = Some(heartbeat);
        thread::spawn(move || files.watch(peers, timing.heartbeat_interval, &is_over));
        Ok((session, id))
    }

    /// The first failure of a rank.
    pub fn failure(&self) -> &Arc<FirstFailure> {
        &self.files.failure
    }

    /// Runs this rank. Its error reaches all other ranks.
    ///
    /// # Errors
    /// The error of the rank that failed first. If this rank does not end then, its process does.
    pub fn run<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let RankFiles { rank, failure, .. } = &*self.files;
        let device = self.files.own().device.clone();
        failure.watched(|| failure.run_rank(*rank, &device, run))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without this file the others notice the end by the heartbeat.
        let _ = self.files.write(|own| own.has_ended = true);
    }
}

impl RankFiles {
    fn own(&self) -> std::sync::MutexGuard<'_, RankFile> {
        self.own.lock().expect("no thread panics while it holds this")
    }

    fn path(&self, rank: usize) -> PathBuf {
        self.folder.join(format!("rank-{rank}.json"))
    }

    /// Returns the content of a rank's file; `None` if there is none or it is being written.
    fn read(&self, rank: usize) -> Option<RankFile> {
        serde_json::from_slice(&fs::read(self.path(rank)).ok()?).ok()
    }

    /// Changes this rank's file, and counts up its heartbeat. The file is written in place: a network
    /// file system shows other machines a new file under an old name late.
    fn write(&self, change: impl FnOnce(&mut RankFile)) -> Result<()> {
        let mut own = self.own();
        change(&mut own);
        own.heartbeat += 1;
        own.failure = self.failure.get().cloned();
        let (path, bytes) = (self.path(self.rank), serde_json::to_vec(&*own)?);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Gathers the other ranks, as rank 0.
    fn lead(
        &self,
        timeout: Duration,
        new_id: impl FnOnce() -> Result<Id>,
    ) -> Result<(Vec<Peer>, Id)> {
        self.write(|_| ())?;
        let RankFile { token, num_ranks, .. } = self.own().clone();
        let peers = self.poll(timeout, || {
            let answers = (1..num_ranks).map(|rank| (rank, self.read(rank)));
            let (mut peers, mut missing) = (Vec::new(), Vec::new());
            for (rank, file) in answers {
                let Some(file) = file.filter(|file| file.leader_token == token) else {
                    missing.push(rank.to_string());
                    continue;
                };
                let found = file.num_ranks;
                ensure!(
                    found == num_ranks,
                    "expected WORLD_SIZE {num_ranks} on rank {rank}, found {found}"
                );
                peers.push(Peer { rank, file, num_missed: 0 });
            }
            Ok(if missing.is_empty() { Ok(peers) } else { Err(missing.join(", ")) })
        })?;
        let nccl_id = new_id()?;
        let tokens = peers.iter().map(|peer| peer.file.token.clone());
        let tokens = [token].into_iter().chain(tokens).collect();
        self.write(|own| own.start = Some(Start { tokens, nccl_id: nccl_id.clone() }))?;
        Ok((peers, nccl_id))
    }

    /// Answers rank 0 and waits until it starts the ranks.
    fn follow(&self, timeout: Duration) -> Result<(Vec<Peer>, Id)> {
        self.poll(timeout, || {
            let Some(leader) = self.read(0) else { return Ok(Err("0".into())) };
            let RankFile { token, leader_token, .. } = self.own().clone();
            if leader.token != leader_token {
                // An earlier start, or one that has begun without this process, is not answered.
                if leader.start.is_none() && leader.failure.is_none() && !leader.has_ended {
                    self.write(|own| own.leader_token = leader.token)?;
                }
                return Ok(Err("0".into()));
            }
            if let Some(failure) = leader.failure {
                return Err(failure.into());
            }
            let Some(start) = &leader.start else { return Ok(Err("that rank 0 waits for".into())) };
            ensure!(
                start.tokens.get(self.rank) == Some(&token),
                "expected each rank once and one WORLD_SIZE, found another process that is rank {} \
                 in {}",
                self.rank,
                self.folder.display()
            );
            let id = start.nccl_id.clone();
            Ok(Ok((vec![Peer { rank: 0, file: leader, num_missed: 0 }], id)))
        })
    }

    /// Calls `attempt` until it returns a value instead of the ranks that are missing.
    fn poll<T>(
        &self,
        timeout: Duration,
        mut attempt: impl FnMut() -> Result<Result<T, String>>,
    ) -> Result<T> {
        let (started, mut has_logged) = (Instant::now(), false);
        loop {
            let missing = match attempt()? {
                Ok(value) => return Ok(value),
                Err(missing) => missing,
            };
            let (rank, folder) = (self.rank, self.folder.display());
            if started.elapsed() > timeout {
                bail!(
                    "expected all ranks in {folder} within {} minutes, found none of the ranks \
                     {missing}: every rank needs the same --out, in a folder that all machines see, \
                     such as a network file system",
                    timeout.as_secs() / 60
                );
            }
            if started.elapsed() > QUIET_TIME && !has_logged {
                progress::say(format!("rank {rank} waits for the ranks {missing} in {folder}"));
                has_logged = true;
            }
            thread::sleep(START_INTERVAL);
        }
    }

    /// Writes heartbeats and looks at those of other ranks until the session is over.
    fn watch(&self, mut peers: Vec<Peer>, interval: Duration, is_over: &Receiver<()>) {
        while is_over.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            for peer in &mut peers {
                self.look(peer, interval);
            }
            peers.retain(|peer| !peer.file.has_ended);
            // The others notice a heartbeat that cannot be written.
            let _ = self.write(|_| ());
        }
    }

    fn look(&self, peer: &mut Peer, interval: Duration) {
        let last = &peer.file;
        match self.read(peer.rank) {
            Some(file) if file.token == last.token && file.heartbeat > last.heartbeat => {
                (peer.file, peer.num_missed) = (file, 0);
            }
            _ => peer.num_missed += 1,
        }
        let failure = peer.file.failure.clone();
        let is_dead = peer.num_missed > MAX_MISSED_HEARTBEATS;
        let failure = failure.or_else(|| is_dead.then(|| self.dead(peer, interval)));
        if let Some(failure) = failure {
            self.failure.set(failure);
        }
    }

    fn dead(&self, peer: &Peer, interval: Duration) -> RankFailed {
        let message = format!(
            "it has not written {} for {:?}: its process was killed, or its machine or the way to the \
             folder is gone",
            self.path(peer.rank).display(),
            interval * MAX_MISSED_HEARTBEATS
        );
        RankFailed { rank: peer.rank, device: peer.file.device.clone(), message }
    }
}

/// Removes the files of earlier starts.
fn remove_rank_files(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("rank-") {
            fs::remove_file(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::env;
    use std::process::{Command, Stdio};

    const TIMING: Timing = Timing {
        start_timeout: Duration::from_secs(60),
        heartbeat_interval: Duration::from_millis(100),
    };

    fn connect(folder: &Path, rank: usize, size: usize, timing: Timing) -> Result<(Session, Id)> {
        let world = World { rank, size, local_rank: rank };
        Session::connect(folder, &world, &format!("gpu {rank}"), timing, || Ok(vec![7; 128]))
    }

    /// Sessions of three ranks.
    pub(in crate::parallel) fn sessions(folder: &Path) -> Vec<Session> {
        thread::scope(|scope| {
            let start = |rank| scope.spawn(move || connect(folder, rank, 3, TIMING).unwrap());
            let mut ranks: Vec<_> = [2, 1, 0].map(start).into();
            ranks.reverse();
            let sessions = ranks.into_iter().map(|rank| rank.join().unwrap());
            sessions.map(|(session, id)| (session, assert_eq!(id, [7; 128])).0).collect()
        })
    }

    fn failure(session: &Session) -> String {
        let started = Instant::now();
        loop {
            if let Some(failure) = session.failure().get() {
                return failure.to_string();
            }
            assert!(started.elapsed() < TIMING.start_timeout, "expected a failure");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_error_of_a_rank_reaches_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let failed = sessions.pop().unwrap();
        failed.run(|| -> Result<()> { bail!("no memory left") }).unwrap_err();
        drop(failed);
        let found: Vec<String> = sessions.iter().map(failure).collect();
        assert_eq!(found, ["rank 2 (gpu 2): no memory left"; 2]);
    }

    #[test]
    fn a_rank_that_ends_well_ends_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        drop(sessions.remove(1));
        thread::sleep(TIMING.heartbeat_interval * (MAX_MISSED_HEARTBEATS + 5));
        assert!(sessions.iter().all(|session| session.failure().get().is_none()));
    }

    /// The test starts itself again as rank 1.
    #[test]
    fn a_process_that_is_killed_is_named() {
        const FOLDER: &str = "REWIND_TEST_RANKS";
        const TEST: &str = "parallel::session::tests::a_process_that_is_killed_is_named";
        if let Some(folder) = env::var_os(FOLDER) {
            let _session = connect(Path::new(&folder), 1, 2, TIMING).unwrap();
            thread::sleep(TIMING.start_timeout);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", TEST]).env(FOLDER, folder.path()).stdout(Stdio::null());
        let mut rank_1 = command.spawn().unwrap();
        let (rank_0, _) = connect(folder.path(), 0, 2, TIMING).unwrap();
        rank_1.kill().unwrap();
        rank_1.wait().unwrap();
        let found = failure(&rank_0);
        assert!(found.starts_with("rank 1 (gpu 1): it has not written "), "{found}");
        assert!(found.contains("rank-1.json for 1.5s: its process was killed"), "{found}");
    }

    #[test]
    fn files_of_an_earlier_start_and_a_second_start_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stale = |rank: usize, start| {
            let token = format!("stale {rank}");
            let leader_token = "stale 0".to_string();
            let file = RankFile { token, leader_token, num_ranks: 3, start, ..RankFile::default() };
            let json = serde_json::to_vec(&file).unwrap();
            fs::write(folder.path().join(format!("rank-{rank}.json")), json).unwrap();
        };
        for start in [None, Some(Start { tokens: vec![String::new(); 3], nccl_id: vec![1; 128] })] {
            [0, 1, 2].map(|rank| stale(rank, start.clone()));
            let sessions = sessions(folder.path());
            let second = connect(folder.path(), 0, 3, TIMING).err().unwrap().to_string();
            assert!(second.contains("found it in use"), "{second}");
            assert!(sessions.iter().all(|session| session.failure().get().is_none()));
        }
    }

    #[test]
    fn a_rank_that_does_not_come_is_named_with_the_folder_on_all_that_wait() {
        let folder = &tempfile::tempdir().unwrap();
        let short = Timing { start_timeout: Duration::from_millis(1500), ..TIMING };
        let errors = thread::scope(|scope| {
            let start = |(rank, timing)| {
                scope.spawn(move || {
                    connect(folder.path(), rank, 3, timing).err().unwrap().to_string()
                })
            };
            let ranks = [(0, short), (1, TIMING)].map(start);
            ranks.map(|rank| rank.join().unwrap())
        });
        let expected = format!("rank 0 (gpu 0): expected all ranks in {}", folder.path().display());
        for error in errors {
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.contains("found none of the ranks 2: every rank needs"), "{error}");
        }
        let error = connect(folder.path(), 1, 3, short).err().unwrap().to_string();
        assert!(error.contains("found none of the ranks 0"), "{error}");
    }
}
