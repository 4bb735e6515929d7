//! The meeting of ranks that are processes, and the spread of a failure, by files in a folder that all
//! of them see. Rank N writes only `rank-N.json`. The ranks meet in three steps:
//! 1. Rank 0 writes its file with a random token and NCCL's id.
//! 2. Each other rank writes its file with a token of its own and the token of rank 0.
//! 3. Rank 0 adds the tokens of all ranks to its file, and all ranks start.
//!
//! A file of an earlier start has other tokens, so no rank takes it for one of this start.
//!
//! While a rank runs, it counts up the heartbeat in its file. Rank 0 watches the other ranks, and they
//! watch rank 0. A failure, or a heartbeat that stops, reaches all ranks this way.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use trainer_run::files::lock::FolderLock;
use trainer_run::progress;

use super::failure::FirstFailure;
use super::{RankFailed, World};

/// Name of the folder in a run's folder.
pub(crate) const RANKS: &str = "ranks";
/// Time in which all ranks have to start: a cluster starts them one after the other.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(600);
const START_INTERVAL: Duration = Duration::from_millis(50);
/// Time after which a rank that waits for others logs it.
const QUIET_TIME: Duration = Duration::from_secs(2);
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 2000 });
/// Looks in a row that find no heartbeat until a rank counts as dead, after 30 s. Looks are counted,
/// not seconds, so that a file system that does not answer for a while ends no run.
const MAX_MISSED_HEARTBEATS: u32 = 15;

/// NCCL's unique id, of 128 bytes.
pub(super) type Id = Vec<u8>;

/// Content of a rank's file.
#[derive(Clone, Default, Serialize, Deserialize)]
struct RankFile {
    /// Random for each process.
    token: String,
    /// The token of rank 0 that this rank answers.
    leader_token: String,
    /// Written by rank 0 when all ranks are there.
    tokens: Vec<String>,
    /// Written by rank 0.
    nccl_id: Id,
    num_ranks: usize,
    device: String,
    heartbeat: u64,
    failure: Option<RankFailed>,
    has_ended: bool,
}

/// The membership of this process in a group of ranks. Dropping it states that the rank has ended.
pub(super) struct Session {
    folder: PathBuf,
    rank: usize,
    own: Mutex<RankFile>,
    /// The ranks that this one watches, their files, and the heartbeats missed in a row.
    watched: Mutex<Vec<(usize, RankFile, u32)>>,
    /// The first failure of a rank.
    pub failure: Arc<FirstFailure>,
    /// Of rank 0: no second start uses the folder at the same time.
    _lock: Option<FolderLock>,
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
        timeout: Duration,
        new_id: impl FnOnce() -> Result<Id>,
    ) -> Result<(Session, Id)> {
        let is_leader = world.rank == 0;
        let lock = is_leader.then(|| FolderLock::alone(folder)).transpose()?;
        let token = format!("{:016x}", RandomState::new().hash_one(world.rank));
        let (num_ranks, device) = (world.size, device.to_string());
        let session = Session {
            folder: folder.into(),
            rank: world.rank,
            own: Mutex::new(RankFile { token, num_ranks, device, ..RankFile::default() }),
            watched: Mutex::default(),
            failure: Arc::default(),
            _lock: lock,
        };
        let id = session.run(|| match is_leader {
            true => session.lead(timeout, new_id()?),
            false => session.follow(timeout),
        })?;
        Ok((session, id))
    }

    /// Runs this rank with a heartbeat. Its error reaches all other ranks.
    ///
    /// # Errors
    /// The error of the rank that failed first. If this rank does not end then, its process does.
    pub fn run<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let (device, mut last) = (self.own().device.clone(), Instant::now());
        let heartbeat = || {
            if last.elapsed() >= HEARTBEAT_INTERVAL {
                self.look();
                // The others notice a heartbeat that cannot be written.
                let _ = self.write(|_| ());
                last = Instant::now();
            }
        };
        self.failure.watched(heartbeat, || self.failure.run_rank(self.rank, &device, run))
    }

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
    fn lead(&self, timeout: Duration, nccl_id: Id) -> Result<Id> {
        self.write(|own| own.nccl_id = nccl_id.clone())?;
        let RankFile { token, num_ranks, .. } = self.own().clone();
        self.poll(timeout, || {
            let (mut answers, mut missing) = (Vec::new(), Vec::new());
            for rank in 1..num_ranks {
                match self.read(rank).filter(|file| file.leader_token == token) {
                    None => missing.push(rank.to_string()),
                    Some(file) => {
                        let found = file.num_ranks;
                        ensure!(
                            found == num_ranks,
                            "expected WORLD_SIZE={num_ranks} on rank {rank}, found {found}"
                        );
                        answers.push((rank, file, 0));
                    }
                }
            }
            if !missing.is_empty() {
                return Ok(Some(missing.join(", ")));
            }
            let tokens = answers.iter().map(|(_, file, _)| file.token.clone());
            let tokens = [token.clone()].into_iter().chain(tokens).collect();
            *self.watched.lock().expect("no thread panics while it holds this") = answers;
            self.write(|own| own.tokens = tokens).map(|()| None)
        })?;
        Ok(nccl_id)
    }

    /// Answers rank 0 and waits until it starts the ranks.
    fn follow(&self, timeout: Duration) -> Result<Id> {
        let mut id = Id::new();
        self.poll(timeout, || {
            let Some(leader) = self.read(0) else { return Ok(Some("0".into())) };
            let RankFile { token, leader_token, .. } = self.own().clone();
            if leader.token != leader_token {
                // An earlier start, or one that has begun without this process, is not answered.
                if leader.tokens.is_empty() && leader.failure.is_none() && !leader.has_ended {
                    self.write(|own| own.leader_token = leader.token)?;
                }
                return Ok(Some("0".into()));
            }
            if let Some(failure) = leader.failure {
                return Err(failure.into());
            }
            if leader.tokens.is_empty() {
                return Ok(Some("that rank 0 waits for".into()));
            }
            ensure!(
                leader.tokens.get(self.rank) == Some(&token),
                "expected each rank once and one WORLD_SIZE, found another process that is rank {} \
                 in {}",
                self.rank,
                self.folder.display()
            );
            id = leader.nccl_id.clone();
            *self.watched.lock().expect("no thread panics while it holds this") =
                vec![(0, leader, 0)];
            Ok(None)
        })?;
        Ok(id)
    }

    /// Waits until `missing` returns no ranks.
    fn poll(
        &self,
        timeout: Duration,
        mut missing: impl FnMut() -> Result<Option<String>>,
    ) -> Result<()> {
        let (started, mut has_logged) = (Instant::now(), false);
        while let Some(missing) = missing()? {
            let (rank, folder, waited) = (self.rank, self.folder.display(), started.elapsed());
            ensure!(
                waited < timeout,
                "expected all ranks in {folder} within {} minutes, found none of the ranks \
                 {missing}: every rank needs the same --out, in a folder that all machines see, \
                 such as a network file system",
                timeout.as_secs() / 60
            );
            if waited > QUIET_TIME && !has_logged {
                progress::say(format!("rank {rank} waits for the ranks {missing} in {folder}"));
                has_logged = true;
            }
            thread::sleep(START_INTERVAL);
        }
        Ok(())
    }

    /// Looks for failures and missed heartbeats of the watched ranks.
    fn look(&self) {
        let mut watched = self.watched.lock().expect("no thread panics while it holds this");
        for (rank, last, num_missed) in &mut *watched {
            match self.read(*rank) {
                Some(file) if file.token == last.token && file.heartbeat > last.heartbeat => {
                    (*last, *num_missed) = (file, 0);
                }
                _ => *num_missed += 1,
            }
            if let Some(failure) = &last.failure {
                self.failure.set(failure.clone());
            } else if *num_missed > MAX_MISSED_HEARTBEATS {
                let message = format!(
                    "it has not written {} for {:?}: its process was killed, or its machine or the \
                     way to the folder is gone",
                    self.path(*rank).display(),
                    HEARTBEAT_INTERVAL * MAX_MISSED_HEARTBEATS
                );
                self.failure.set(RankFailed { rank: *rank, device: last.device.clone(), message });
            }
        }
        watched.retain(|(_, last, _)| !last.has_ended);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without this file the others notice the end by the heartbeat.
        let _ = self.write(|own| own.has_ended = true);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use anyhow::bail;
    use std::env;
    use std::process::{Command, Stdio};

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn connect(folder: &Path, rank: usize, size: usize, timeout: Duration) -> Result<Session> {
        let (world, device) = (World { rank, size, local_rank: rank }, format!("gpu {rank}"));
        let connected = Session::connect(folder, &world, &device, timeout, || Ok(vec![7; 128]));
        connected.map(|(session, id)| (session, assert_eq!(id, [7; 128])).0)
    }

    /// Returns the sessions of three ranks.
    pub(in crate::parallel) fn sessions(folder: &Path) -> Vec<Session> {
        thread::scope(|scope| {
            let start = |rank| scope.spawn(move || connect(folder, rank, 3, TIMEOUT).unwrap());
            [0, 1, 2].map(start).into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    /// Runs ranks until one fails or the time is over.
    fn errors(sessions: &[Session], time: Duration) -> Vec<Option<String>> {
        let wait = |session: &Session| -> Result<()> {
            let started = Instant::now();
            while started.elapsed() < time {
                session.failure.check()?;
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        };
        thread::scope(|scope| {
            let run = |session| move || Session::run(session, || wait(session)).err();
            let ranks: Vec<_> = sessions.iter().map(|session| scope.spawn(run(session))).collect();
            let errors = ranks.into_iter().map(|rank| rank.join().unwrap());
            errors.map(|error| error.map(|error| error.to_string())).collect()
        })
    }

    #[test]
    fn the_error_of_a_rank_reaches_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        let failed = sessions.pop().unwrap();
        failed.run(|| -> Result<()> { bail!("no memory left") }).unwrap_err();
        drop(failed);
        let expected = Some("rank 2 (gpu 2): no memory left".to_string());
        assert_eq!(errors(&sessions, TIMEOUT), [expected.clone(), expected]);
    }

    #[test]
    fn a_rank_that_ends_well_ends_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut sessions = sessions(folder.path());
        drop(sessions.remove(1));
        let time = HEARTBEAT_INTERVAL * (MAX_MISSED_HEARTBEATS + 5);
        assert_eq!(errors(&sessions, time), [None, None]);
    }

    /// The test starts itself again as rank 1.
    #[test]
    fn a_process_that_is_killed_is_named() {
        const FOLDER: &str = "REWIND_TEST_RANKS";
        const TEST: &str = "parallel::session::tests::a_process_that_is_killed_is_named";
        if let Some(folder) = env::var_os(FOLDER) {
            let session = connect(Path::new(&folder), 1, 2, TIMEOUT).unwrap();
            errors(&[session], TIMEOUT);
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", TEST]).env(FOLDER, folder.path()).stdout(Stdio::null());
        let mut rank_1 = command.spawn().unwrap();
        let rank_0 = [connect(folder.path(), 0, 2, TIMEOUT).unwrap()];
        let time = HEARTBEAT_INTERVAL * (MAX_MISSED_HEARTBEATS + 5);
        assert_eq!(errors(&rank_0, time), [None]);
        rank_1.kill().unwrap();
        rank_1.wait().unwrap();
        let error = errors(&rank_0, TIMEOUT).remove(0).unwrap();
        assert!(error.starts_with("rank 1 (gpu 1): it has not written "), "{error}");
        assert!(error.contains("rank-1.json for 1.5s: its process was killed"), "{error}");
    }

    #[test]
    fn files_of_an_earlier_start_and_a_second_start_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for tokens in [vec![], vec!["of an earlier start".to_string(); 3]] {
            for rank in 0..3 {
                let (token, leader_token) = (tokens.concat() + "token", "token".to_string());
                let tokens = tokens.clone();
                let file = RankFile { token, leader_token, tokens, ..RankFile::default() };
                let json = serde_json::to_vec(&file).unwrap();
                fs::write(folder.path().join(format!("rank-{rank}.json")), json).unwrap();
            }
            let sessions = sessions(folder.path());
            let second = connect(folder.path(), 0, 3, TIMEOUT).err().unwrap().to_string();
            assert!(second.contains("found it in use"), "{second}");
            assert_eq!(errors(&sessions, 3 * HEARTBEAT_INTERVAL), [None, None, None]);
        }
    }

    #[test]
    fn a_missing_rank_is_named_with_the_folder_on_all_ranks_that_wait() {
        let folder = &tempfile::tempdir().unwrap();
        let short = Duration::from_millis(1500);
        let error = |rank, timeout| connect(folder.path(), rank, 3, timeout).err().unwrap();
        let errors = thread::scope(|scope| {
            let rank_1 = scope.spawn(|| error(1, TIMEOUT));
            [error(0, short), rank_1.join().unwrap()]
        });
        let expected = format!("rank 0 (gpu 0): expected all ranks in {}", folder.path().display());
        for error in errors {
            let error = error.to_string();
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.contains("found none of the ranks 2: every rank needs"), "{error}");
        }
        let error = error(1, short).to_string();
        assert!(error.contains("found none of the ranks 0: every rank needs"), "{error}");
    }
}
