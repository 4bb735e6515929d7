//! `rewind-serve`: serves the page, and a demonstration with it.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use tokio::sync::oneshot;
use web_viewer::server::{Limits, router, serve};

/// Serves the page that segments scans in the browser. Scans stay in the browser: nothing is
/// uploaded, here or elsewhere. Research use only, not a medical device.
///
/// Ctrl-C and SIGTERM let downloads in progress finish, for at most 20 seconds; a second one ends
/// the server at once.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The folder of the page, as `cargo xtask page` makes it.
    #[arg(long, value_name = "DIR")]
    page: PathBuf,
    /// A folder with a demonstration: manifest.json, a model bundle and a case.
    #[arg(long, value_name = "DIR")]
    demo: Option<PathBuf>,
    /// The address and port to listen on; 127.0.0.1 is reached from this machine only.
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
            "{listen} is in use by another program: end that one, or choose another port with \
             --listen {}:{}",
            listen.ip(),
            listen.port().wrapping_add(1).max(1024),
        ),
        _ => anyhow::Error::from(error).context(format!("cannot listen on {listen}")),
    })?;
    let address = listener.local_addr().context("the listening address")?;
    // Whether or not anyone reads it: the page is served all the same.
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
        let limit_secs = limits.grace.as_secs();
        log(&format!("ending: downloads in progress have {limit_secs} s to finish"));
    };
    match serve(listener, router, limits, stopped).await {
        0 => {}
        num_cut => log(&format!("ended with {num_cut} downloads unfinished")),
    }
    Ok(())
}

/// Writes a line to stderr, whether or not anyone reads it.
fn log(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// The signals that ask the server to end.
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
        // Without a handler there is nothing to wait for: the default action ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
