//! `rewind-serve`: serves the page and, optionally, a demonstration.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use tokio::sync::oneshot;
use web_viewer::server::{Limits, router, serve};

/// Serves the page that segments scans in the browser. Scans stay in the browser: nothing is
/// uploaded. Research use only, not a medical device.
///
/// Ctrl-C and SIGTERM let downloads in progress finish, for at most 20 seconds. A second signal ends
/// the server at once.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The folder with the page, made by `cargo xtask page`.
    #[arg(long, value_name = "DIR")]
    page: PathBuf,
    /// The folder with a demonstration: manifest.json, a model bundle and a case.
    #[arg(long, value_name = "DIR")]
    demo: Option<PathBuf>,
    /// The address and port to listen on. 127.0.0.1 is reachable from this machine only.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { page, demo, listen } = Args::parse();
    let limits = Limits::default();
    let router = router(&page, demo.as_deref())?;
    let mut signals = Signals::new().context("signals that end the server")?;
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "{listen} is in use by another program: end that program, or choose another port with \
             --listen {}:{}",
            listen.ip(),
            listen.port().wrapping_add(1).max(1024),
        ),
        _ => anyhow::Error::from(error).context(format!("cannot listen on {listen}")),
    })?;
    let address = listener.local_addr().context("the listening address")?;
    // The page is served even if stdout is closed.
    let _ = writeln!(
        stdout(),
        "Rewind is at http://{address}/ (Ctrl-C ends it)\nResearch use only, not a medical device."
    );

    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        signals.next().await;
        let _ = stop.send(());
        signals.next().await;
        std::process::exit(130);
    });
    let stopped = async {
        let _ = stopped.await;
        let limit_secs = limits.shutdown_timeout.as_secs();
        log(&format!("stopping: downloads in progress have {limit_secs} s to finish"));
    };
    match serve(listener, router, limits, stopped).await {
        0 => {}
        num_unfinished => log(&format!("stopped with {num_unfinished} downloads unfinished")),
    }
    Ok(())
}

/// Writes a line to stderr. Ignores a closed stderr.
fn log(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// The signals that stop the server.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {})
    }

    async fn next(&mut self) {
        // Without a handler the signal's default action ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
