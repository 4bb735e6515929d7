//! Starts and ends a headless Chromium with software WebGPU, and other processes of the tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fantoccini::error::NewSessionError;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

/// A process with its child processes. Dropping it ends them all, also after a panic.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program in a new process group. Its output goes to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Running {
        let file = File::create(log).expect("a log file");
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Running { child, log: log.to_path_buf() }
    }

    /// Returns the program's output so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for `before` in the output, and returns the following text up to one of `ends`.
    pub fn wait_for(&mut self, before: &str, ends: &[char]) -> String {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            let log = self.log();
            if let Some((_, rest)) = log.split_once(before)
                && let Some((found, _)) = rest.split_once(ends)
            {
                return found.to_string();
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("expected {before:?}, but the program ended ({status}):\n{log}");
            }
            sleep(Duration::from_millis(50));
        }
        panic!("expected {before:?} within 30 s, found:\n{}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A negative id means the process group, which includes the driver's browser.
        #[cfg(unix)]
        let _ = Command::new("kill").args(["-9", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `chromedriver` on a free port. Returns it with its address.
pub fn start_driver(driver: &Path, log: &Path) -> (Running, String) {
    let mut command = Command::new(driver);
    let mut running = Running::start(command.args(["--port=0", "--enable-chrome-logs"]), log);
    let port = running.wait_for("was started successfully on port ", &['.', '\n']);
    (running, format!("http://localhost:{port}"))
}

/// The GPU that a browser offers to pages.
#[derive(Clone, Copy)]
pub enum Gpu {
    /// A program on the processor.
    Software,
    /// None: the browser has no WebGPU.
    None,
}

/// Opens a browser with software rendering: these switches provide WebGPU and canvas on a machine
/// without a GPU. Without `--use-angle` the canvas stays empty.
pub async fn open(
    driver: &str,
    browser: &Path,
    profile: &Path,
    gpu: Gpu,
) -> Result<Client, NewSessionError> {
    let profile = format!("--user-data-dir={}", profile.display());
    let webgpu: &[&str] = match gpu {
        Gpu::Software => {
            &["--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-vulkan=swiftshader"]
        }
        Gpu::None => &["--disable-gpu"],
    };
    let switches = [
        "--headless=new",
        "--no-sandbox",
        "--use-angle=swiftshader",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--disable-sync",
        "--disable-quic",
        "--no-first-run",
        "--enable-logging=stderr",
        "--window-size=1440,960",
        &profile,
    ];
    let switches = [webgpu, &switches].concat();
    let options = json!({ "binary": browser, "args": switches });
    let capabilities = json!({ "goog:chromeOptions": options });
    let serde_json::Value::Object(capabilities) = capabilities else { unreachable!("an object") };
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities(capabilities).connect(driver).await
}

/// Returns the log's lines from the page's console.
pub fn console(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(":CONSOLE:")).collect()
}

/// Returns the console's lines that report errors, found by their words: Chromium logs every line
/// with the same level.
pub fn error_lines(console: &[impl AsRef<str>]) -> Vec<&str> {
    let words = ["error", "panicked", "uncaught", "refused", "violates", "failed", "invalid"];
    let is_error = |line: &&str| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    };
    console.iter().map(AsRef::as_ref).filter(is_error).collect()
}

#[test]
fn error_lines_are_found_on_the_console() {
    let log = "[1:1:0101/000000.000000:INFO:CONSOLE:1] \"Uncaught Error: boom\", source: a (1)\n\
               [1:1:0101/000000.000000:INFO:CONSOLE:1] \"plain\", source: a (1)\n\
               [1:1:0101/000000.000000:ERROR:dbus/bus.cc:405] Failed to connect to the bus\n";
    assert_eq!(console(log).len(), 2);
    assert_eq!(error_lines(&console(log)), [log.lines().next().unwrap()]);
}
